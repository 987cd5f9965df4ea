//! The last layer, loss and metrics of a model, fitted to what its answers are to be.

use super::Config;
use super::series::drop_quantiles;
use crate::data::Targets;
use crate::layers::{Activation, LayerConfig, RescalingConfig};
use crate::model::Class;
use crate::train::{Objective, heads};
use crate::{Error, Result};
use serde_json::json;

/// The layer that makes numbers of the file's size.
const RESCALING: &str = "rescaling_of_targets";

impl Config {
    /// Gives the last layer, a Dense, the units and the activation that these targets take, and the recipe their loss and
    /// metrics: one sigmoid for two classes, a softmax for more, a sigmoid each where a text has any number of them, one linear
    /// unit for numbers. The classes' names are kept. A Rescaling of [`scale_numbers`](Self::scale_numbers) is taken off.
    ///
    /// # Errors
    /// [`Error::Layer`] where the model has several outputs, one a step, or one that does not come from a Dense.
    pub fn fit_head(&mut self, targets: &Targets) -> Result<()> {
        let (units, activation, loss) = match targets {
            Targets::Numbers => (1, Activation::Linear, "mse"),
            Targets::Labels(classes) => (classes.len(), Activation::Sigmoid, "binary_crossentropy"),
            Targets::Classes(classes) if classes.len() == 2 => {
                (1, Activation::Sigmoid, "binary_crossentropy")
            }
            Targets::Classes(classes) => {
                (classes.len(), Activation::Softmax, "sparse_categorical_crossentropy")
            }
        };
        self.drop_rescaling();
        drop_quantiles(&mut self.model);
        let name = self.model.last().map(|layer| layer.name.clone()).unwrap_or_default();
        let wrong = |what: &str| Err(Error::layer(name.as_str(), what));
        let outputs = heads(&self.model)?;
        let [head] = outputs.as_slice() else { return wrong("a model of texts and labels has one output") };
        if head.shape.len() != 2 {
            return wrong(
                "gives one value a step where a classifier gives one a text: set return_sequences to false in the last \
                 recurrent layer",
            );
        }
        let is_so = head.width() == units && head.activation == Some(activation);
        match self.model.layers.iter_mut().find(|layer| layer.name == name).map(|layer| &mut layer.class) {
            Some(Class::Dense(dense)) => (dense.units, dense.activation) = (units, activation),
            _ if is_so => {}
            _ => {
                let class = activation.name();
                return wrong(&format!(
                    "is the last layer and no Dense, so it cannot be fitted to the labels; end the model with a Dense of \
                     {units} units and activation {class}"
                ));
            }
        }
        self.recipe.set_loss(json!(loss));
        self.recipe.metrics = match targets.labels() {
            Some(_) => {
                let arguments = json!({ "average": "micro", "threshold": 0.5 });
                json!(["binary_accuracy", { "class_name": "F1Score", "config": arguments }])
            }
            None => json!([Objective::guess_metric(loss)]),
        };
        self.classes = targets.classes().or(targets.labels()).unwrap_or_default().to_vec();
        (self.multi_label, self.label_separator) = (targets.labels().is_some(), None);
        Ok(())
    }

    /// Lets a model of numbers learn them with a mean of 0 and a standard deviation of 1: a Rescaling after the last layer
    /// makes numbers of the file's size of them. In a graph nothing is changed.
    pub fn scale_numbers(&mut self, mean: f64, deviation: f64) {
        if self.model.is_graph() || (mean, deviation) == (0.0, 1.0) {
            return;
        }
        let class = Class::Rescaling(RescalingConfig { scale: deviation, offset: mean });
        self.model.layers.push(LayerConfig::new(RESCALING, class));
    }

    /// Takes such a layer off.
    pub(super) fn drop_rescaling(&mut self) {
        if self.rescales_numbers() {
            self.model.layers.pop();
        }
    }

    /// Whether the model ends so.
    fn rescales_numbers(&self) -> bool {
        let mut last = self.model.layers.iter().rev();
        !self.model.is_graph()
            && last
                .next()
                .is_some_and(|layer| matches!(layer.class, Class::Rescaling(_)) && layer.name == RESCALING)
            && last.next().is_some_and(|layer| matches!(layer.class, Class::Dense(_)))
    }

    /// What the model's answers stand for, as far as it says so.
    pub fn targets(&self) -> Option<Targets> {
        match self.classes.is_empty() {
            false if self.multi_label => Some(Targets::Labels(self.classes.clone())),
            false => Some(Targets::Classes(self.classes.clone())),
            true => heads(&self.model)
                .is_ok_and(|heads| {
                    heads.len() == 1
                        && heads[0].width() == 1
                        && (heads[0].activation == Some(Activation::Linear) || self.rescales_numbers())
                })
                .then_some(Targets::Numbers),
        }
    }

    /// Checks that there is a name for every class, or none.
    pub(super) fn check_classes(&self) -> Result<()> {
        let named = self.classes.len();
        if named == 0 {
            return Ok(());
        }
        let outputs = heads(&self.model)?;
        let width = outputs.first().map_or(0, |head| head.width());
        let expected = if width == 1 && !self.multi_label { 2 } else { width };
        if outputs.len() != 1 || named != expected {
            return Err(Error::argument(
                "classes",
                format!("{named} names for a model of {expected} classes"),
            ));
        }
        Ok(())
    }
}

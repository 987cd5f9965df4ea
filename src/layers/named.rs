//! A layer with its name in a model, and what the model says of its training.

use super::activation::Activation;
use super::carried::Carried;
use super::flow::{Flow, Values};
use super::layer::{Config, Layer, Pass, Placed, TensorRef};
use super::losses::add_activity;
use super::regularizer::Regularizer;
use super::rules::TrainingRules;
use super::shape::{Checked, Shape};
use candle_core::{Result, Var};
use candle_nn::VarBuilder;
use std::fmt::Debug;
use std::sync::Arc;

/// A layer with its name and its place in a model, as other layers and models hold it.
pub trait Named: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// The layer's name.
    fn name(&self) -> &str;
    /// Keras's name of its class.
    fn class_name(&self) -> &'static str;
    /// Its arguments.
    fn config(&self) -> &dyn Config;
    /// Its arguments, to change them.
    fn config_mut(&mut self) -> &mut dyn Config;
    /// In a graph, what each call is given.
    fn inbound_nodes(&self) -> &[Vec<TensorRef>];
    /// Whether a call with initial states heeds its input's mask.
    fn mask_with_states(&self) -> bool;
    /// What holds for its variables in training.
    fn rules(&self) -> &TrainingRules;

    /// Its shapes and variables, as [`Config::place`] and its [`rules`](Self::rules) make them.
    ///
    /// # Errors
    /// If an input does not fit, or a rule is of a variable that the layer cannot have.
    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let mut placed = self.config().place(inputs)?;
        self.rules().mark(&mut placed.variables)?;
        Ok(placed)
    }

    /// The layer over inputs of these shapes, going by its [`rules`](Self::rules).
    ///
    /// # Errors
    /// As [`Config::build`].
    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let layer = self.config().build(inputs, vb)?;
        let (rules, activation) = (self.rules(), self.config().output_activation());
        Ok(match (rules.trainable, rules.activity_regularizer) {
            (true, None) => layer,
            (trainable, regularizer) => {
                Arc::new(Ruled { layer, activation, frozen: !trainable, regularizer })
            }
        })
    }
}

/// A layer that is frozen, or whose outputs add to the loss.
#[derive(Debug)]
struct Ruled {
    layer: Arc<dyn Layer>,
    /// The activation that the layer leaves out where a pass asks for logits.
    activation: Option<Activation>,
    frozen: bool,
    regularizer: Option<Regularizer>,
}

impl Layer for Ruled {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let mut outputs = self.layer.run(inputs, Pass { frozen: pass.frozen || self.frozen, ..pass })?;
        if let (Some(regularizer), Some(losses)) = (self.regularizer, pass.losses) {
            // Rows of a table are read once, for the squares of their gradients are of all that uses them.
            for output in &mut outputs {
                if let Values::Rows(rows) = &output.values {
                    output.values = Values::Strand(rows.strand()?);
                }
            }
            let mut values = outputs.iter().map(Flow::strand).collect::<Result<Vec<_>>>()?;
            if let (true, Some(activation), Some(first)) = (pass.logits, self.activation, values.first_mut())
            {
                *first = activation.over(first)?;
            }
            add_activity(regularizer, &values, losses)?;
        }
        Ok(outputs)
    }

    fn children(&self) -> Vec<&dyn Layer> {
        self.layer.children()
    }

    fn reset_states(&self) {
        self.layer.reset_states();
    }

    fn carried(&self) -> Vec<&Carried> {
        self.layer.carried()
    }

    fn moving(&self) -> Vec<(String, Var)> {
        if self.frozen { vec![] } else { self.layer.moving() }
    }

    fn mixes_samples(&self) -> bool {
        !self.frozen && self.layer.mixes_samples()
    }
}

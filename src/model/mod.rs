//! Models as data: [`ModelConfig`] lists the layers in Keras's names, [`Model`] runs them, [`Weights`] holds their
//! variables.

mod config;
mod padding;
mod summary;
mod until;
mod weights;

pub use crate::layers::{Class, LayerConfig, ModelConfig, Shape, TensorRef};
pub use config::NamedShapes;
pub use summary::{Summary, SummaryLayer};
pub(crate) use until::{IS_INPUT, left_out, no_such_layer};
pub use weights::Weights;

use crate::layers::{
    Activation, Carried, Constraint, Flow, Graph, Layer, Losses, Mode, Pass, Regularizer, TokenSquares,
    Values, Watch,
};
use crate::{Error, Result};
use candle_core::{DType, Tensor, Var};
use candle_nn::VarBuilder;

/// A model built from its configuration.
///
/// A *stateful* model ([`ModelConfig::is_stateful`]) remembers: each call begins with the states that the last one left,
/// row by row, so every call must have as many rows as the first, those of Keras's `batch_size`
/// ([`ModelConfig::batch_size`], which a call does not check). [`reset_states`](Self::reset_states) begins anew. A clone
/// shares its layers, and so the states.
#[derive(Clone, Debug)]
pub struct Model {
    config: ModelConfig,
    graph: Graph,
    /// The shapes of its inputs; of one that no InputLayer stands for, none.
    inputs: Vec<Option<Shape>>,
    /// Whether it ends as a binary classifier does.
    binary: bool,
    /// Whether padding around ids can be left out.
    skips_padding: bool,
    /// Of each output, the activation that a pass for logits leaves out.
    activations: Vec<Option<Activation>>,
    /// Variables with what they add to the loss.
    regularized: Vec<(Tensor, Regularizer)>,
    /// Variables with what is done to them after each step.
    constrained: Vec<(Tensor, Constraint)>,
    /// Variables of frozen layers by full name.
    frozen: Vec<(String, Tensor)>,
}

impl Model {
    /// Builds `config` with the variables that `vb` holds under the layers' names.
    ///
    /// # Errors
    /// If the layers do not fit each other, or a variable is missing or of another shape.
    pub fn new(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let placement = config.place()?;
        let shape = |&call: &usize| {
            let call = &placement.calls[call];
            call.layer.and_then(|_| call.outputs.first().cloned())
        };
        let inputs = placement.inputs.iter().map(shape).collect();
        let binary = config.check_binary_classifier().is_ok();
        let (mut regularized, mut constrained, mut frozen) = (vec![], vec![], vec![]);
        for placed in &placement.layers {
            for variable in &placed.variables {
                let name = format!("{}.{}", placed.layer.name, variable.name);
                let tensor = || vb.get(variable.shape.as_slice(), &name);
                // What is frozen adds nothing in Keras.
                if let (Some(regularizer), true) = (variable.regularizer, variable.trainable) {
                    regularized.push((tensor()?, regularizer));
                }
                if let (Some(constraint), true) = (&variable.constraint, variable.trainable) {
                    constrained.push((tensor()?, constraint.clone()));
                }
                if variable.frozen {
                    frozen.push((name.clone(), tensor()?));
                }
            }
        }
        let ends: Vec<_> = placement.outputs.iter().map(|&(call, _)| placement.calls[call].layer).collect();
        let ends: Vec<Option<Activation>> = ends
            .into_iter()
            .map(|layer| placement.layers[layer?].layer.class.config().output_activation())
            .collect();
        let skips_padding = placement.skips_padding();
        let graph = Graph::new(config, placement, vb)?;
        let left_out = |(activation, ends): (Option<Activation>, bool)| activation.filter(|_| ends);
        let activations = ends.into_iter().zip(graph.ends_of_outputs()).map(left_out).collect();
        regularized.iter().for_each(|(tensor, _)| TokenSquares::set_dense(tensor));
        Ok(Self {
            config: config.clone(),
            graph,
            inputs,
            binary,
            skips_padding,
            activations,
            regularized,
            constrained,
            frozen,
        })
    }

    /// Whether what it gives for a text does not hang on the padding around it: its first layer masks id 0, and every other
    /// heeds the mask. Columns of zeros that a whole batch has at its ends are then left out, so that a batch takes as long as
    /// its longest text.
    pub fn skips_padding(&self) -> bool {
        self.skips_padding
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.graph.input_count()
    }

    /// Runs a model of one input and one output: ids (batch, time), or features (batch, time, features), to what the
    /// last layer gives; for a classifier of the zoo, (batch, 1) probabilities.
    ///
    /// # Errors
    /// If the input does not fit the first layer, an id is beyond the vocabulary, or there are several inputs. Of
    /// several outputs the first is given.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.first(xs, mode.into())
    }

    /// Runs the model: its inputs in order to its outputs in order.
    ///
    /// # Errors
    /// If there are more or fewer inputs than the model has, or one does not fit.
    pub fn forward_all(&self, xs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>> {
        let inputs: Vec<Flow> = xs.iter().cloned().map(Flow::from).collect();
        let flows = self.graph.run_all(&self.flows(&inputs)?, mode.into())?;
        Ok(flows.iter().map(|flow| flow.values.tensor()).collect::<candle_core::Result<_>>()?)
    }

    /// Runs the model on inputs with masks (batch, time), u8, 0 where a step is to be skipped, to outputs with theirs. An
    /// input of texts is [`Texts`](crate::layers::Texts)`.into()`.
    ///
    /// # Errors
    /// As [`forward_all`](Self::forward_all), and if a mask does not fit its input.
    pub fn call(&self, inputs: &[Flow], mode: Mode) -> Result<Vec<Flow>> {
        Ok(self.graph.run_all(&self.flows(inputs)?, mode.into())?)
    }

    /// As [`forward`](Self::forward), up to the last layer's sigmoid: (batch, 1) logits.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if the model does not end in one sigmoid a sample.
    pub fn logits(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        if !self.binary {
            self.config.check_binary_classifier()?;
        }
        self.first(xs, Pass { mode, logits: true, ..Pass::default() })
    }

    /// Runs the model as training needs it, on tensors or on inputs with masks: the outputs in order, up to the activations that their layers end in (see
    /// [`end_activations`](Self::end_activations)), and what is added to the loss.
    ///
    /// # Errors
    /// As [`forward_all`](Self::forward_all).
    pub fn call_for_loss<X: Clone + Into<Flow>>(
        &self,
        xs: &[X],
        mode: Mode,
    ) -> Result<(Vec<Flow>, Option<Tensor>)> {
        let losses = Losses::default();
        let pass = Pass { mode, logits: true, losses: Some(&losses), ..Pass::default() };
        let inputs: Vec<Flow> = xs.iter().cloned().map(X::into).collect();
        let outputs = self.graph.run_all(&self.flows(&inputs)?, pass)?;
        for (variable, regularizer) in &self.regularized {
            losses.add(regularizer.penalty(variable)?);
        }
        Ok((outputs, losses.total()?))
    }

    /// Of each output, the activation that [`call_for_loss`](Self::call_for_loss) leaves out: that of the layer it comes
    /// from, where nothing else needs what the layer gives.
    pub fn end_activations(&self) -> &[Option<Activation>] {
        &self.activations
    }

    /// Brings the variables that have a constraint within it: after each step of an optimiser.
    ///
    /// # Errors
    /// If the model was built over detached tensors.
    pub fn constrain(&self) -> Result<()> {
        for (variable, constraint) in &self.constrained {
            if !variable.is_variable() {
                let what = "the model was built over tensors that cannot change; build it over variables";
                return Err(Error::argument("constraint", what));
            }
            Var::from_tensor(variable)?.set(&constraint.apply(&variable.detach())?)?;
        }
        Ok(())
    }

    /// The variables of frozen layers by full name.
    pub fn frozen(&self) -> &[(String, Tensor)] {
        &self.frozen
    }

    fn first(&self, xs: &Tensor, pass: Pass) -> Result<Tensor> {
        let flows = self.graph.run_all(&self.flows(&[xs.clone().into()])?, pass)?;
        match flows.first() {
            Some(flow) => Ok(flow.values.tensor()?),
            None => Err(Error::layer(self.config.name.as_str(), "the model has no output")),
        }
    }

    /// The moving statistics of BatchNormalization by full name: a training pass moves them, no optimiser does.
    pub fn moving(&self) -> Vec<(String, Var)> {
        self.graph.moving()
    }

    /// What stateful layers carry from batch to batch, in the order of the layers.
    pub fn carried(&self) -> Vec<Option<Vec<Tensor>>> {
        self.graph.carried().into_iter().map(Carried::get).collect()
    }

    /// Goes on from what stateful layers carried.
    ///
    /// # Errors
    /// The states of a model with another number of layers that carry some.
    pub fn set_carried(&self, states: &[Option<Vec<Tensor>>]) -> Result<()> {
        let layers = self.graph.carried();
        if layers.len() != states.len() {
            let what =
                format!("{} are given, the model has {} layers with states", states.len(), layers.len());
            return Err(Error::argument("carried states", what));
        }
        layers.into_iter().zip(states).for_each(|(layer, states)| layer.set(states.clone()));
        Ok(())
    }

    /// The first layer, in the order in which they run, whose output holds NaN or infinite numbers. What stateful layers carry
    /// stays as it is.
    ///
    /// # Errors
    /// As [`forward_all`](Self::forward_all).
    pub fn first_not_finite(&self, xs: &[Tensor], mode: Mode) -> Result<Option<String>> {
        let (watch, carried) = (Watch::default(), self.carried());
        let inputs: Vec<Flow> = xs.iter().cloned().map(Flow::from).collect();
        self.graph.run_all(&self.flows(&inputs)?, Pass { mode, watch: Some(&watch), ..Pass::default() })?;
        self.set_carried(&carried)?;
        Ok(watch.found())
    }

    /// Forgets what stateful layers carry from batch to batch.
    pub fn reset_states(&self) {
        self.graph.reset_states();
    }

    /// The inputs as Keras takes them: a last axis of 1 may be missing, or be there once too often.
    fn flows(&self, inputs: &[Flow]) -> Result<Vec<Flow>> {
        if inputs.len() != self.inputs.len() {
            let (needed, given) = (self.inputs.len(), inputs.len());
            let what = format!("the model `{}` has {needed} inputs, given {given}", self.config.name);
            return Err(Error::argument("input", what));
        }
        let fit = |(input, shape): (&Flow, &Option<Shape>)| {
            let input = fit(input, shape.as_ref())?;
            if self.skips_padding { padding::left_out(input) } else { Ok(input) }
        };
        Ok(inputs.iter().zip(&self.inputs).map(fit).collect::<candle_core::Result<_>>()?)
    }
}

/// An input in the shape of the model's.
fn fit(input: &Flow, shape: Option<&Shape>) -> candle_core::Result<Flow> {
    // An Embedding without an InputLayer takes ids of any shape.
    let Some(shape) = shape else { return Ok(input.clone()) };
    let dims = |dims: &[usize]| match dims {
        [rest @ .., 1] if dims.len() == shape.len() + 1 => Some(rest.to_vec()),
        _ if dims.len() + 1 == shape.len() && shape.last() == Some(&Some(1)) => Some([dims, &[1]].concat()),
        _ => None,
    };
    let values = match &input.values {
        Values::Texts(texts) => match dims(texts.dims()) {
            Some(dims) => Values::Texts(texts.reshape(dims)?),
            None => Values::Texts(texts.clone()),
        },
        values => {
            let xs = values.tensor()?;
            // Bytes are numbers here; operations take u8 for truths.
            let xs = if xs.dtype() == DType::U8 { xs.to_dtype(DType::U32)? } else { xs };
            Values::Tensor(match dims(xs.dims()) {
                Some(dims) => xs.reshape(dims)?,
                None => xs,
            })
        }
    };
    Ok(Flow { values, mask: input.mask.clone() })
}

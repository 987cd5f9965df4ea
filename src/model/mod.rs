//! Models as data: [`ModelConfig`] lists the layers in Keras's names, [`Model`] runs them, [`Weights`] holds their
//! variables.

mod class;
mod config;
mod layer;
mod place;
mod summary;
mod weights;
mod wrappers;

pub use class::{Class, InputConfig};
pub use config::{LayerConfig, ModelConfig, NamedShapes, Shape, TensorRef};
pub use summary::{Summary, SummaryLayer};
pub use weights::Weights;
pub use wrappers::{BidirectionalConfig, CellConfig, MergeMode, RnnConfig, TimeDistributedConfig};

use crate::nn::Mode;
use crate::{Error, Result};
use candle_core::{Tensor, Var};
use candle_nn::VarBuilder;
use layer::{Flow, Layer};
use place::PlacedCall;

/// A model built from its configuration.
#[derive(Clone, Debug)]
pub struct Model {
    config: ModelConfig,
    /// A layer for each of the configuration's; none for an InputLayer.
    layers: Vec<Option<Layer>>,
    /// Those calls that the outputs need, each after those whose outputs it takes.
    calls: Vec<PlacedCall>,
    needed: Vec<bool>,
    inputs: Vec<usize>,
    outputs: Vec<(usize, usize)>,
    /// Whether it ends as a binary classifier does.
    binary: bool,
}

impl Model {
    /// Builds `config` with the variables that `vb` holds under the layers' names.
    ///
    /// # Errors
    /// If the layers do not fit each other, or a variable is missing or of another shape.
    pub fn new(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Self::build(config, None, vb)
    }

    /// The same for a model within a model, whose inputs have the shapes `given`.
    fn build(config: &ModelConfig, given: Option<&[Shape]>, vb: VarBuilder) -> Result<Self> {
        let placement = config.place_on(given)?;
        let mut layers = Vec::with_capacity(config.layers.len());
        for placed in &placement.layers {
            layers.push(match placed.layer.class {
                Class::InputLayer(_) => None,
                _ => Some(Layer::new(placed.layer, &placed.inputs, vb.pp(&placed.layer.name))?),
            });
        }
        let mut needed = vec![false; placement.calls.len()];
        for &(call, _) in &placement.outputs {
            needed[call] = true;
        }
        for (index, call) in placement.calls.iter().enumerate().rev() {
            if needed[index] {
                for &(from, _) in &call.inputs {
                    needed[from] = true;
                }
            }
        }
        let (calls, inputs, outputs) = (placement.calls, placement.inputs, placement.outputs);
        let binary = given.is_none() && config.check_binary_classifier().is_ok();
        Ok(Self { config: config.clone(), layers, calls, needed, inputs, outputs, binary })
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Runs a model of one input and one output: ids (batch, time), or features (batch, time, features), to what the
    /// last layer gives; for a classifier of the zoo, (batch, 1) probabilities.
    ///
    /// # Errors
    /// If the input does not fit the first layer, an id is beyond the vocabulary, or there are several inputs. Of
    /// several outputs the first is given.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.first(xs, mode, false)
    }

    /// Runs the model: its inputs in order to its outputs in order.
    ///
    /// # Errors
    /// If there are more or fewer inputs than the model has, or one does not fit.
    pub fn forward_all(&self, xs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>> {
        let flows = self.run(&self.flows(xs)?, mode, false)?;
        flows.iter().map(|flow| flow.values.tensor()).collect()
    }

    /// As [`forward`](Self::forward), up to the last layer's sigmoid: (batch, 1) logits.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if the last layer is no Dense with one sigmoid unit.
    pub fn logits(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        if !self.binary {
            self.config.check_binary_classifier()?;
        }
        self.first(xs, mode, true)
    }

    fn first(&self, xs: &Tensor, mode: Mode, logits: bool) -> Result<Tensor> {
        let flows = self.run(&self.flows(std::slice::from_ref(xs))?, mode, logits)?;
        match flows.first() {
            Some(flow) => flow.values.tensor(),
            None => Err(Error::layer(self.config.name.as_str(), "the model has no output")),
        }
    }

    /// The companions of the embeddings that are being trained, by the name of the table's variable: see
    /// [`Embedding::squares`](crate::nn::Embedding::squares).
    pub fn squares(&self) -> Vec<(String, Var)> {
        let mut squares = vec![];
        self.visit(&mut |layer| squares.extend(layer.squares()));
        squares
    }

    /// The moving statistics of BatchNormalization by full name: a training pass moves them, no optimiser does.
    pub fn moving(&self) -> Vec<(String, Var)> {
        let mut moving = vec![];
        self.visit(&mut |layer| moving.extend(layer.moving()));
        moving
    }

    /// Forgets what stateful layers carry from batch to batch.
    pub fn reset_states(&self) {
        self.visit(&mut |layer| layer.reset_states());
    }

    fn visit(&self, visit: &mut dyn FnMut(&Layer)) {
        self.layers.iter().flatten().for_each(|layer| layer.visit(visit));
    }

    /// The inputs as Keras takes them: a last axis of 1 may be missing, or be there once too often.
    fn flows(&self, xs: &[Tensor]) -> Result<Vec<Flow>> {
        if xs.len() != self.inputs.len() {
            let (needed, given) = (self.inputs.len(), xs.len());
            let what = format!("the model `{}` has {needed} inputs, given {given}", self.config.name);
            return Err(Error::argument("input", what));
        }
        let fit = |(xs, &call): (&Tensor, &usize)| {
            let shape = self.calls[call].outputs.first().map(Vec::as_slice).unwrap_or_default();
            // An Embedding without an InputLayer takes ids of any shape.
            let xs = match self.calls[call].layer {
                None => xs.clone(),
                Some(_) if xs.rank() == shape.len() + 1 && xs.dims().last() == Some(&1) => {
                    xs.squeeze(xs.rank() - 1)?
                }
                Some(_) if xs.rank() + 1 == shape.len() && shape.last() == Some(&Some(1)) => {
                    xs.unsqueeze(xs.rank())?
                }
                Some(_) => xs.clone(),
            };
            Ok(Flow::new(xs, None))
        };
        xs.iter().zip(&self.inputs).map(fit).collect()
    }

    fn run(&self, inputs: &[Flow], mode: Mode, logits: bool) -> Result<Vec<Flow>> {
        let mut given: Vec<Option<Vec<Flow>>> = vec![None; self.calls.len()];
        let mut uses = vec![0usize; self.calls.len()];
        for (_, call) in self.calls.iter().enumerate().filter(|&(index, _)| self.needed[index]) {
            for &(from, _) in &call.inputs {
                uses[from] += 1;
            }
        }
        for &(call, _) in &self.outputs {
            uses[call] += 1;
        }
        for (&call, flow) in self.inputs.iter().zip(inputs) {
            given[call] = Some(vec![flow.clone()]);
        }
        let missing =
            || Error::layer(self.config.name.as_str(), "a layer was called before its input was there");
        for (index, call) in self.calls.iter().enumerate() {
            let Some(layer) = call.layer.and_then(|layer| self.layers.get(layer)?.as_ref()) else { continue };
            if !self.needed[index] {
                continue;
            }
            let mut flows = Vec::with_capacity(call.inputs.len());
            for &(from, tensor) in &call.inputs {
                let flow = given[from].as_ref().and_then(|flows| flows.get(tensor)).cloned();
                flows.push(flow.ok_or_else(missing)?);
                // What nothing needs any more is let go.
                uses[from] -= 1;
                if uses[from] == 0 {
                    given[from] = None;
                }
            }
            let last = logits && self.outputs.first().is_some_and(|&(call, _)| call == index);
            given[index] = Some(layer.forward(&flows, mode, last)?);
        }
        let output = |&(call, tensor): &(usize, usize)| {
            given[call].as_ref().and_then(|flows| flows.get(tensor)).cloned().ok_or_else(missing)
        };
        self.outputs.iter().map(output).collect()
    }
}

//! Models as data: [`ModelConfig`] lists the layers in Keras's names, [`Model`] runs them, [`Weights`] holds their
//! variables.

mod config;
mod summary;
mod weights;

pub use config::{Class, InputConfig, LayerConfig, ModelConfig, Shape};
pub use summary::{Summary, SummaryLayer};
pub use weights::Weights;

use crate::nn::{
    Activation, Call, Dense, Dropout, Embedding, Gru, Lstm, Mode, RecurrentLayer, SimpleRnn, Source,
};
use crate::{Error, Result};
use candle_core::{DType, Module, Tensor, Var};
use candle_nn::VarBuilder;
use std::sync::Arc;

/// A model built from its configuration.
#[derive(Clone, Debug)]
pub struct Model {
    config: ModelConfig,
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
enum Layer {
    Embedding(Embedding),
    Recurrent(Arc<dyn RecurrentLayer>),
    Dropout(Dropout),
    Dense(Dense),
}

/// What flows from layer to layer.
struct Flow {
    values: Values,
    /// (batch, time): 0 where a step is to be skipped.
    mask: Option<Tensor>,
}

/// Values, or the rows of an embedding table that a recurrent layer will read itself.
enum Values {
    Tensor(Tensor),
    Rows { embedding: Embedding, ids: Tensor },
}

impl Values {
    fn tensor(self) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            Self::Rows { embedding, ids } => Ok(embedding.forward(&ids)?),
        }
    }
}

impl Model {
    /// Builds `config` with the variables that `vb` holds under the layers' names.
    ///
    /// # Errors
    /// If the layers do not fit each other, or a variable is missing or of another shape.
    pub fn new(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let mut layers = Vec::with_capacity(config.layers.len());
        for placed in config.place()? {
            let (input, vb) = (placed.input_dim, vb.pp(&placed.layer.name));
            layers.push(match &placed.layer.class {
                Class::InputLayer(_) => continue,
                Class::Embedding(config) => Layer::Embedding(Embedding::new(*config, vb)?),
                Class::SimpleRNN(config) => {
                    Layer::Recurrent(Arc::new(SimpleRnn::new(input, config.clone(), vb)?))
                }
                Class::LSTM(config) => Layer::Recurrent(Arc::new(Lstm::new(input, config.clone(), vb)?)),
                Class::GRU(config) => Layer::Recurrent(Arc::new(Gru::new(input, config.clone(), vb)?)),
                Class::Dropout(config) => Layer::Dropout(Dropout::new(*config, vb)?),
                Class::Dense(config) => Layer::Dense(Dense::new(input, *config, vb)?),
            });
        }
        Ok(Self { config: config.clone(), layers })
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Runs all layers: ids (batch, time), or features (batch, time, features), to what the last layer gives; for a
    /// classifier of the zoo, (batch, 1) probabilities.
    ///
    /// # Errors
    /// If the input does not fit the first layer, or an id is beyond the vocabulary.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(&self.layers, xs, mode)
    }

    /// The same up to the last layer's sigmoid: (batch, 1) logits.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if the last layer is no Dense with one sigmoid unit.
    pub fn logits(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        match self.layers.split_last() {
            Some((Layer::Dense(dense), before))
                if dense.config().activation == Activation::Sigmoid && dense.config().units == 1 =>
            {
                Ok(dense.linear(&self.run(before, xs, mode)?)?)
            }
            _ => {
                self.config.check_binary_classifier()?;
                Err(Error::layer(self.config.name.as_str(), "it is no binary classifier"))
            }
        }
    }

    /// The companions of the embeddings that are being trained, by the name of the table's variable: see
    /// [`Embedding::squares`].
    pub fn squares(&self) -> Vec<(String, Var)> {
        let squares = |layer: &Layer| match layer {
            Layer::Embedding(embedding) => embedding.squares(),
            _ => None,
        };
        self.layers.iter().filter_map(squares).collect()
    }

    /// Forgets what stateful layers carry from batch to batch.
    pub fn reset_states(&self) {
        for layer in &self.layers {
            if let Layer::Recurrent(layer) = layer {
                layer.reset_states();
            }
        }
    }

    fn run(&self, layers: &[Layer], xs: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut flow = Flow { values: Values::Tensor(xs.clone()), mask: None };
        for layer in layers {
            flow = layer.forward(flow, mode)?;
        }
        flow.values.tensor()
    }
}

impl Layer {
    fn forward(&self, flow: Flow, mode: Mode) -> Result<Flow> {
        match self {
            Self::Embedding(embedding) => {
                let ids = embedding.check_ids(&flow.values.tensor()?)?;
                let mask = embedding.compute_mask(&ids)?;
                let values = match ids.rank() {
                    2 => Values::Rows { embedding: embedding.clone(), ids },
                    _ => Values::Tensor(embedding.forward(&ids)?),
                };
                Ok(Flow { values, mask })
            }
            Self::Recurrent(layer) => {
                let source = match &flow.values {
                    Values::Tensor(xs) => Source::Features(xs),
                    Values::Rows { embedding, ids } => Source::Rows { embedding, ids },
                };
                let output = layer.run(source, Call { mask: flow.mask.as_ref(), states: None, mode })?.output;
                // The mask goes on with the sequence only.
                Ok(Flow {
                    values: Values::Tensor(output),
                    mask: flow.mask.filter(|_| layer.return_sequences()),
                })
            }
            Self::Dropout(dropout) => {
                let values = Values::Tensor(dropout.forward(&flow.values.tensor()?, mode)?);
                Ok(Flow { values, mask: flow.mask })
            }
            Self::Dense(dense) => {
                let xs = flow.values.tensor()?;
                if xs.dtype() != DType::F32 && xs.dtype().is_int() {
                    return Err(Error::argument("input", "a Dense layer needs floats, given integers"));
                }
                Ok(Flow { values: Values::Tensor(dense.forward(&xs)?), mask: flow.mask })
            }
        }
    }
}

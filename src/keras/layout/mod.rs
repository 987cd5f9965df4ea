//! Weights alone in other people's names: Keras's, PyTorch's and candle-nn's, in a `.safetensors` or a PyTorch file.
//!
//! In the layouts `pytorch` and `candle-nn` every layer is a module of its name: `lstm.weight_ih_l0`, `dense.weight`. A
//! PyTorch module whose attributes have the layers' names takes such a file as its `state_dict`, with no code of this
//! crate; so do `candle_nn::lstm`, `gru`, `linear` and `embedding` with an ordinary `VarBuilder`.
//!
//! | Keras | PyTorch, candle-nn | tensors |
//! |---|---|---|
//! | `Embedding` | `Embedding` | `weight` |
//! | `Dense` | `Linear` | `weight`, `bias` |
//! | `LSTM`, `GRU` with `reset_after` | the same | `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0` |
//! | `SimpleRNN` with tanh or relu | `RNN`, in PyTorch only | the same four |
//! | `Bidirectional` | `bidirectional=True` | the four, and with `_reverse` |
//! | `Conv1D`, `Conv2D` | `Conv1d`, `Conv2d` | `weight`, `bias` |
//! | `Conv1DTranspose`, `Conv2DTranspose` | `ConvTranspose1d`, `ConvTranspose2d` | `weight`, `bias` |
//! | `BatchNormalization` | `BatchNorm1d` | `weight`, `bias`, `running_mean`, `running_var` |
//! | `LayerNormalization` | `LayerNorm` | `weight`, `bias` |
//! | `GroupNormalization` | `GroupNorm` | `weight`, `bias` |
//! | `PReLU` with one number a channel | `PReLU` | `weight` |
//!
//! A `TimeDistributed` layer is its inner layer, a nested model a module of modules.

mod file;
mod find;
mod form;
mod modules;
#[cfg(test)]
mod tests;
pub(super) mod view;

pub use file::{weights_from_safetensors, weights_from_torch};

use super::hard_sigmoid::{HardSigmoid, KEY as HARD_SIGMOID};
use crate::formats::file::write_atomic;
use crate::formats::safetensors::to_safetensors;
use crate::model::ModelConfig;
use crate::{Error, Result};
use candle_core::Tensor;
use modules::Module;
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

/// Names and shapes of the tensors in a `.safetensors`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Keras's, which are this crate's: `lstm.kernel` (features, 4 units).
    #[default]
    Keras,
    /// candle-nn's: `lstm.weight_ih_l0` (4 units, features).
    CandleNn,
    /// PyTorch's, nearly the same.
    PyTorch,
}

/// A model's variables in a layout.
#[derive(Clone, Debug)]
pub struct LaidOut {
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// What whoever builds the modules must know, a line each: arguments that are no default of theirs.
    pub notes: Vec<String>,
}

impl LaidOut {
    /// Writes the tensors as a `.safetensors`, whole or not at all; `metadata` is what the file says of itself, as a rule
    /// that of [`Layout::metadata`]. The same content gives the same bytes.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be written; an older file stays as it was then.
    pub fn save(&self, path: impl AsRef<Path>, metadata: &BTreeMap<&str, String>) -> Result<()> {
        write_atomic(path, &to_safetensors(&self.tensors, metadata)?)
    }
}

impl Layout {
    /// The three.
    pub const ALL: [Self; 3] = [Self::Keras, Self::CandleNn, Self::PyTorch];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keras => "keras",
            Self::CandleNn => "candle-nn",
            Self::PyTorch => "pytorch",
        }
    }

    /// The variables of `config` in this layout.
    ///
    /// # Errors
    /// [`Error::Layer`] where the layout cannot hold a layer, with the reason; where `variables` lacks one.
    pub fn apply(self, config: &ModelConfig, variables: &BTreeMap<String, Tensor>) -> Result<LaidOut> {
        if self == Self::Keras {
            return Ok(LaidOut { tensors: variables.clone(), notes: vec![] });
        }
        lay_out(&modules::modules(config, self)?, self, variables)
    }

    /// What a safetensors file of `config` in this layout says of itself: its format, the model's name, and which
    /// `hard_sigmoid` the weights were made for, since the architecture will come from another file, which may mean
    /// Keras's other function of that name.
    pub fn metadata(self, config: &ModelConfig) -> BTreeMap<&'static str, String> {
        let format = match self {
            Self::Keras => "candle-recurrent",
            Self::CandleNn => "candle-nn",
            // PyTorch's tools look for it.
            Self::PyTorch => "pt",
        };
        let mut metadata = BTreeMap::from([("format", format.to_string()), ("model", config.name.clone())]);
        if let Some(used) = serde_json::to_value(config).ok().as_ref().and_then(HardSigmoid::used) {
            metadata.insert(HARD_SIGMOID, used.formula().into());
        }
        metadata
    }

    /// Reads tensors of this layout as the variables of `config`. Modules are found by the layers' names, which may have
    /// those of a larger module before them (`model.lstm`), or, where names differ, by what they hold, if only one of them
    /// fits; `lstm.weight_ih_l1` of a stacked LSTM is the next LSTM of the
    /// model. The tensors of a cell (`LSTMCell`: `weight_ih` without `_l0`) are those of a layer of one.
    ///
    /// # Errors
    /// Where a module of the layout cannot compute what a layer does, and where a layer's tensors are not there, are of
    /// other shapes, fit several modules, or are left over.
    pub fn revert(
        self,
        config: &ModelConfig,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<BTreeMap<String, Tensor>> {
        match self {
            Self::Keras => Ok(tensors.clone()),
            _ => {
                let modules = modules::modules(config, self)?;
                // What a module there computes, whatever its numbers are here.
                modules.iter().try_for_each(|module| module.check(self))?;
                find::variables(&modules, tensors)
            }
        }
    }

    /// Which layout the tensors of these names are in.
    pub fn detect<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let last = |name: &'a str| name.rsplit('.').next().unwrap_or(name);
        let foreign = |name: &'a str| {
            let last = last(name);
            matches!(last, "weight" | "running_mean" | "running_var" | "weight_ih" | "weight_hh")
                || ["weight_ih_l", "weight_hh_l"].iter().any(|start| last.starts_with(start))
        };
        match names.clone().any(foreign) {
            false => Self::Keras,
            true if names.clone().any(|name| name.contains(".backward_layer.weight_ih_l0")) => Self::CandleNn,
            true => Self::PyTorch,
        }
    }
}

fn lay_out(modules: &[Module], layout: Layout, variables: &BTreeMap<String, Tensor>) -> Result<LaidOut> {
    let mut notes = Vec::new();
    let mut tensors = BTreeMap::new();
    for module in modules {
        module.check(layout)?;
        notes.extend(module.notes.iter().map(|note| format!("layer {}: {note}", module.layer)));
        for part in &module.parts {
            let variable = variables.get(&part.variable);
            let variable = variable.ok_or_else(|| {
                Error::layer(module.layer.as_str(), format!("the variable {} is missing", part.variable))
            })?;
            let names = part.suffixes.iter().map(|suffix| module.name(suffix));
            tensors.extend(names.zip(part.form.apply(variable)?));
        }
    }
    Ok(LaidOut { tensors, notes })
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == name).ok_or_else(|| {
            let what = format!("`{name}` is unknown; known are keras, candle-nn and pytorch");
            Error::argument("layout", what)
        })
    }
}

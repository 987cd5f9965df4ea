//! The named models of the Keras chapter, built into the program, those of its first edition and those of its second,
//! which trains with Adam (`NAME-adam`): their architectures and recipes
//! (`models/NAME/config.json`), and the weights and vocabularies they were trained to.

use crate::checkpoint::{Checkpoint, Config};
use crate::model::{Model, ModelConfig, Weights};
use crate::text::Tokenizer;
use crate::train::History;
use crate::{Error, Result};
use candle_core::Device;
use std::path::{Path, PathBuf};

/// A model of the zoo: a folder under `models/`, embedded.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    config: &'static str,
    weights: &'static [u8],
    tokenizer: &'static str,
    history: &'static str,
}

/// A file of a model's folder, as a path for `include_str!`.
macro_rules! file {
    ($name:literal, $file:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/models/", $name, "/", $file)
    };
}

macro_rules! entry {
    ($name:literal) => {
        Entry {
            name: $name,
            config: include_str!(file!($name, "config.json")),
            weights: include_bytes!(file!($name, "model.safetensors")),
            tokenizer: include_str!(file!($name, "tokenizer.json")),
            history: include_str!(file!($name, "history.csv")),
        }
    };
}

static ENTRIES: &[Entry] = &[
    entry!("simple-rnn"),
    entry!("lstm"),
    entry!("dropout-lstm"),
    entry!("stacked-lstm"),
    entry!("gru"),
    entry!("lstm-adam"),
    entry!("dropout-lstm-adam"),
    entry!("stacked-lstm-adam"),
    entry!("gru-adam"),
];

/// All models, in the chapter's order.
pub fn entries() -> &'static [Entry] {
    ENTRIES
}

/// The models' names, in the chapter's order.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.name)
}

/// The model of this name.
///
/// # Errors
/// [`Error::Argument`] for a name that is not in the zoo, with the nearest one that is.
pub fn get(name: &str) -> Result<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let all: Vec<&str> = names().collect();
        let hint = match crate::error::nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the zoo has {}", all.join(", ")),
        };
        Error::argument("model", format!("`{name}` is neither in the zoo nor a file or folder; {hint}"))
    })
}

impl Entry {
    /// Layers and recipe.
    ///
    /// # Errors
    /// None for a zoo that passes its tests.
    pub fn config(&self) -> Result<Config> {
        Config::from_json(self.config, &self.origin("config.json"))
    }

    /// The weights, checked against `config`.
    ///
    /// # Errors
    /// If they do not fit `config`.
    pub fn weights(&self, config: &ModelConfig, device: &Device) -> Result<Weights> {
        Weights::from_bytes(config, self.weights, &self.origin("model.safetensors"), device)
    }

    /// The vocabulary that the weights belong to.
    ///
    /// # Errors
    /// None for a zoo that passes its tests.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Tokenizer::from_bytes(self.tokenizer)
    }

    /// The figures of every epoch of the training.
    ///
    /// # Errors
    /// None for a zoo that passes its tests.
    pub fn history(&self) -> Result<History> {
        History::from_csv(self.history, &self.origin("history.csv"))
    }

    /// The whole, ready for prediction.
    ///
    /// # Errors
    /// None for a zoo that passes its tests.
    pub fn load(&self, device: &Device) -> Result<Checkpoint> {
        let config = self.config()?;
        let model = Model::new(&config.model, self.weights(&config.model, device)?.detached())?;
        Ok(Checkpoint { config, model, tokenizer: Some(self.tokenizer()?), device: device.clone() })
    }

    /// How messages name an embedded file.
    fn origin(&self, file: &str) -> PathBuf {
        Path::new("models").join(self.name).join(file)
    }
}

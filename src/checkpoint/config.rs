//! `config.json`: a model and how it is trained.

use crate::data;
use crate::formats::read_text;
use crate::json;
use crate::model::ModelConfig;
use crate::text::{Padding, Side};
use crate::train::{EarlyStopping, FitConfig, ModelCheckpoint, RmsPropConfig};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// What `config.json` says: the layers, the recipe of their training and, once trained, what it came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    /// The layers.
    pub model: ModelConfig,
    /// How they are trained.
    pub recipe: Recipe,
    /// The figures of the checkpoint beside this file; none for a model that is not trained yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
}

/// How a model is trained. The default is the zoo's recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Token ids are below this; 500, or what the model's Embedding says.
    pub vocab_size: usize,
    /// Token ids in a review; 100, or what the model's InputLayer says.
    pub max_len: usize,
    /// Where zeros are put to short reviews: `pre` or `post`.
    #[serde(skip_serializing_if = "Side::is_default")]
    pub padding: Side,
    /// Where long reviews are cut: `pre` or `post`.
    #[serde(skip_serializing_if = "Side::is_default")]
    pub truncating: Side,
    /// The part of the training reviews that is kept for validation; 0.2.
    pub validation_split: f64,
    /// RMSprop's options; a learning rate of 1e-4, else Keras's defaults.
    pub optimizer: RmsPropConfig,
    /// Reviews a step; 64.
    pub batch_size: usize,
    /// The most epochs; 100.
    pub epochs: usize,
    /// Epochs without a better validation loss before training stops; 3.
    pub patience: usize,
}

/// The figures of a trained model, those of its best epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// What it was trained on: `builtin`, `imdb`, or a file's or folder's name.
    pub data: String,
    /// The seed of the run.
    pub seed: u64,
    /// Epochs trained.
    pub epochs: usize,
    /// The epoch, counted from 1, whose weights were kept.
    pub best_epoch: usize,
    /// Validation loss after that epoch.
    pub val_loss: f64,
    /// Validation accuracy after that epoch.
    pub val_accuracy: f64,
    /// Loss on the test reviews; none for a run that was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// Accuracy on the test reviews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// Seconds that the training took.
    pub seconds: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            vocab_size: 500,
            max_len: 100,
            padding: Side::Pre,
            truncating: Side::Pre,
            validation_split: 0.2,
            optimizer: RmsPropConfig { learning_rate: 1e-4, ..RmsPropConfig::default() },
            batch_size: 64,
            epochs: 100,
            patience: 3,
        }
    }
}

/// The file as it stands: what the recipe leaves out of the text's shape, the model says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    model: ModelConfig,
    #[serde(default)]
    recipe: Map<String, Value>,
    #[serde(default)]
    results: Option<Results>,
}

impl TryFrom<RawConfig> for Config {
    type Error = Error;

    fn try_from(RawConfig { model, mut recipe, results }: RawConfig) -> Result<Self> {
        for (field, value) in [("vocab_size", model.vocab_size()), ("max_len", model.max_len())] {
            if let (Some(value), false) = (value, recipe.contains_key(field)) {
                recipe.insert(field.into(), value.into());
            }
        }
        let recipe = json::from_value(&recipe.into()).map_err(|wrong| Error::argument("recipe", wrong))?;
        let config = Self { model, recipe, results };
        config.check()?;
        Ok(config)
    }
}

impl Config {
    /// The configuration of a model that comes without a recipe: the zoo's, with the text's shape that the model has.
    /// Unlike elsewhere, models that do not read text are let pass.
    pub fn of_model(model: ModelConfig) -> Self {
        let recipe = Recipe::default();
        let recipe = Recipe {
            vocab_size: model.vocab_size().unwrap_or(recipe.vocab_size),
            max_len: model.max_len().unwrap_or(recipe.max_len),
            ..recipe
        };
        Self { model, recipe, results: None }
    }

    /// From JSON; `origin` stands for the file in messages.
    ///
    /// # Errors
    /// [`Error::File`] where it is no such JSON, a class, field or activation is unknown, the layers do not fit each
    /// other, or the recipe does not fit the model.
    pub fn from_json(json: &str, origin: &Path) -> Result<Self> {
        json::from_str(json).map_err(|what| Error::file(origin, what))
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be read, or as [`Config::from_json`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_json(&read_text(path)?, path)
    }

    /// The text of a `config.json`.
    ///
    /// # Errors
    /// None that a checked configuration can cause; [`Error::Argument`] otherwise.
    pub fn to_json(&self) -> Result<String> {
        let mut json =
            serde_json::to_string_pretty(self).map_err(|error| Error::argument("config.json", error))?;
        json.push('\n');
        Ok(json)
    }

    /// Sets the vocabulary's size and the length of a review, in the recipe and in the model.
    pub fn set_text_shape(&mut self, vocab_size: usize, max_len: usize) {
        (self.recipe.vocab_size, self.recipe.max_len) = (vocab_size, max_len);
        self.model.set_text_shape(vocab_size, max_len);
    }

    /// Checks the model, the recipe, and that they fit.
    ///
    /// # Errors
    /// The first thing found wrong, with its layer or field.
    pub fn check(&self) -> Result<()> {
        self.model.variables()?;
        self.recipe.check()?;
        let reads_text = self.model.vocab_size().is_some();
        let stateful = self.model.layers.iter().find(|layer| layer.class.config().is_stateful());
        if let Some(layer) = stateful.filter(|_| reads_text) {
            let what =
                "a classifier of separate texts cannot be stateful: each text begins anew; set it to false";
            return Err(Error::layer(layer.name.as_str(), what));
        }
        let shapes = [
            (
                "recipe.vocab_size",
                self.recipe.vocab_size,
                self.model.vocab_size(),
                "the Embedding's input_dim",
            ),
            ("recipe.max_len", self.recipe.max_len, self.model.max_len(), "the InputLayer's length"),
        ];
        for (field, value, model, what) in shapes {
            if let Some(expected) = model.filter(|&expected| expected != value) {
                return Err(Error::argument(
                    field,
                    format!("{value}, but {what} is {expected}; make them equal"),
                ));
            }
        }
        Ok(())
    }
}

impl Recipe {
    /// Checks every figure's range.
    ///
    /// # Errors
    /// [`Error::Argument`] with the field's name.
    pub fn check(&self) -> Result<()> {
        for (field, value) in [
            ("recipe.vocab_size", self.vocab_size),
            ("recipe.max_len", self.max_len),
            ("recipe.batch_size", self.batch_size),
            ("recipe.epochs", self.epochs),
        ] {
            if value == 0 {
                return Err(Error::argument(field, "0, expected at least 1"));
            }
        }
        if self.max_len > data::MAX_LEN {
            let what = format!("{}, expected at most {}", self.max_len, data::MAX_LEN);
            return Err(Error::argument("recipe.max_len", what));
        }
        if !(self.validation_split > 0.0 && self.validation_split < 1.0) {
            let what = format!("{}, expected a number between 0 and 1", self.validation_split);
            return Err(Error::argument("recipe.validation_split", what));
        }
        self.optimizer.check()
    }

    /// How the ids of a review come to `max_len`.
    pub fn padding(&self) -> Padding {
        Padding { padding: self.padding, truncating: self.truncating }
    }

    /// How the data sets are made for this recipe, with seed 42 for all else.
    pub fn data_options(&self) -> data::Options {
        data::Options {
            vocab_size: self.vocab_size,
            max_len: self.max_len,
            validation_split: self.validation_split,
            padding: self.padding(),
            ..data::Options::default()
        }
    }

    /// The recipe as the training loop takes it: early stopping on the validation loss with the best weights restored,
    /// and every better epoch handed to the observer.
    pub fn fit_config(&self, seed: u64) -> FitConfig {
        FitConfig {
            epochs: self.epochs,
            batch_size: self.batch_size,
            seed,
            early_stopping: Some(EarlyStopping {
                patience: self.patience,
                restore_best_weights: true,
                ..EarlyStopping::default()
            }),
            checkpoint: ModelCheckpoint { save_best_only: true, ..ModelCheckpoint::default() },
            ..FitConfig::default()
        }
    }
}

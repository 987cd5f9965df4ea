//! `config.json`: a model and how it is trained.

use super::saved::{Saved, check_version};
use crate::data::series::{SequenceConfig, SeriesConfig};
use crate::data::{self, Array};
use crate::formats::read_text;
use crate::json;
use crate::model::{Class, ModelConfig};
use crate::text::{Padding, Side, TokenizerKind};
use crate::train::{
    Callback, CallbackConfig, Compile, EarlyStopping, Figures, FitConfig, Head, Loss, ModelCheckpoint,
    Objective, OptimizerConfig, RmsProp, Shuffle, heads,
};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The layers and the recipe.
pub const CONFIG_FILE: &str = "config.json";

/// What `config.json` says: the layers, the recipe of their training and, once trained, what it came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    /// The layers.
    pub model: ModelConfig,
    /// How they are trained.
    pub recipe: Recipe,
    /// What the classes are called: two of one sigmoid, else one a unit; none where nobody named them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Whether a row may be of any number of the classes, each of which then has a unit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub multi_label: bool,
    /// What stands between several labels of a row in the file that it was trained on, where something does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_separator: Option<String>,
    /// Of a model of people's own texts, the command that it was trained by, without the folders of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The series that it forecasts, where it was trained on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesConfig>,
    /// The sequences that it tells apart, where it was trained on such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequences: Option<SequenceConfig>,
    /// The figures of the checkpoint beside this file; none for a model that is not trained yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
    /// The files that were saved with it, by their sums.
    #[serde(rename = "checkpoint", skip_serializing_if = "Option::is_none")]
    pub saved: Option<Saved>,
}

/// How a model is trained. The default is the zoo's recipe, the loss left open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Token ids are below this; 500, or what the model's Embedding says.
    pub vocab_size: usize,
    /// Token ids in a review; 100, or what the model's InputLayer says.
    pub max_len: usize,
    /// What people's own texts are split into: `word`, `char` or `bpe`; nothing where a file says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerKind>,
    /// Where zeros are put to short reviews: `pre` or `post`.
    #[serde(skip_serializing_if = "Side::is_default")]
    pub padding: Side,
    /// Where long reviews are cut: `pre` or `post`.
    #[serde(skip_serializing_if = "Side::is_default")]
    pub truncating: Side,
    /// The part of the training rows that is kept for validation; 0.2.
    pub validation_split: f64,
    /// The optimiser in Keras's words; RMSprop with a learning rate of 1e-4, else Keras's defaults.
    pub optimizer: OptimizerConfig,
    /// The loss, or one for each output, as in Keras's `compile`; nothing where head and labels are to tell.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub loss: Value,
    /// What the outputs' losses are multiplied by in the sum.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub loss_weights: Value,
    /// The metrics, or those of each output.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub metrics: Value,
    /// The metrics that sample weights matter to.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub weighted_metrics: Value,
    /// By class, how much its rows count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "class_weight")]
    pub class_weight: BTreeMap<u32, f64>,
    /// Rows a step; 64.
    pub batch_size: usize,
    /// The most epochs; 100.
    pub epochs: usize,
    /// The order of the training rows: `once` drawn for all epochs, `every_epoch` anew, or `never`.
    #[serde(skip_serializing_if = "Shuffle::is_default")]
    pub shuffle: Shuffle,
    /// Put rows of like length into a batch: for models that skip padding.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub group_by_length: bool,
    /// What ends the run, keeps epochs and changes the learning rate, in Keras's words. By default the run stops after 3
    /// epochs without a better validation loss, and the best epoch is kept.
    pub callbacks: Vec<CallbackConfig>,
}

/// The figures of a trained model, those of its best epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Results {
    /// What it was trained on: `builtin`, `imdb`, or a file's or folder's name.
    pub data: String,
    /// The seed of the run.
    pub seed: u64,
    /// Epochs trained.
    pub epochs: usize,
    /// The epoch, counted from 1, whose weights were kept.
    pub best_epoch: usize,
    /// The figures of that epoch: `val_loss`, `val_accuracy`, …, without a validation `loss`, …; then those of the test data,
    /// `test_loss`, …; none of these for a run that was interrupted.
    #[serde(flatten)]
    pub figures: Figures,
    /// Seconds that the training took.
    pub seconds: f64,
}

impl Results {
    /// The figure of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.figures.get(name)
    }

    /// The loss that the run was judged by: of the validation, or without one of the training.
    pub fn judged_loss(&self) -> f64 {
        self.get("val_loss").or_else(|| self.get("loss")).unwrap_or(f64::NAN)
    }
}

impl TryFrom<Map<String, Value>> for Results {
    type Error = String;

    fn try_from(mut fields: Map<String, Value>) -> std::result::Result<Self, String> {
        fn take<T: serde::de::DeserializeOwned>(
            fields: &mut Map<String, Value>,
            name: &str,
        ) -> std::result::Result<T, String> {
            let value = fields.shift_remove(name).ok_or_else(|| format!("the field `{name}` is missing"))?;
            json::from_value(&value).map_err(|wrong| format!("{name}: {wrong}"))
        }
        let (data, seed) = (take(&mut fields, "data")?, take(&mut fields, "seed")?);
        let (epochs, best_epoch) = (take(&mut fields, "epochs")?, take(&mut fields, "best_epoch")?);
        let seconds = take(&mut fields, "seconds")?;
        if let Some((name, value)) = fields.iter().find(|(_, value)| !value.is_number()) {
            return Err(format!("{name}: {value}, expected a number"));
        }
        Ok(Self { data, seed, epochs, best_epoch, figures: fields.into(), seconds })
    }
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            vocab_size: 500,
            max_len: 100,
            tokenizer: None,
            padding: Side::Pre,
            truncating: Side::Pre,
            validation_split: 0.2,
            optimizer: OptimizerConfig::from(RmsProp::default()).with_learning_rate(1e-4),
            loss: Value::Null,
            loss_weights: Value::Null,
            metrics: Value::Null,
            weighted_metrics: Value::Null,
            class_weight: BTreeMap::new(),
            batch_size: 64,
            epochs: 100,
            shuffle: Shuffle::default(),
            group_by_length: false,
            callbacks: callbacks(3),
        }
    }
}

/// The names of an object are the numbers of classes.
fn class_weight<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<u32, f64>, D::Error> {
    let named = BTreeMap::<String, f64>::deserialize(deserializer)?;
    let number = |(class, weight): (String, f64)| match class.parse() {
        Ok(class) => Ok((class, weight)),
        Err(_) => Err(serde::de::Error::custom(format!("{class:?} is no class's number"))),
    };
    named.into_iter().map(number).collect()
}

/// Early stopping after so many epochs without a better validation loss, the best epoch kept.
fn callbacks(patience: usize) -> Vec<CallbackConfig> {
    vec![EarlyStopping::patience(patience).into(), ModelCheckpoint::best().into()]
}

/// The file as it stands: what the recipe leaves out of the text's shape, the model says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    model: ModelConfig,
    #[serde(default)]
    recipe: Map<String, Value>,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default)]
    multi_label: bool,
    #[serde(default)]
    label_separator: Option<String>,
    #[serde(default)]
    command: Option<String>,
    series: Option<SeriesConfig>,
    #[serde(default)]
    sequences: Option<SequenceConfig>,
    #[serde(default)]
    results: Option<Results>,
    #[serde(default)]
    checkpoint: Option<Saved>,
}

impl TryFrom<RawConfig> for Config {
    type Error = Error;

    fn try_from(raw: RawConfig) -> Result<Self> {
        let RawConfig {
            model,
            mut recipe,
            classes,
            multi_label,
            label_separator,
            command,
            series,
            sequences,
            results,
            checkpoint: saved,
        } = raw;
        for (field, value) in [("vocab_size", model.vocab_size()), ("max_len", model.max_len())] {
            if let (Some(value), false) = (value, recipe.contains_key(field)) {
                recipe.insert(field.into(), value.into());
            }
        }
        // What `callbacks` says today, older files said in a word.
        if let Some(patience) = recipe.shift_remove("patience") {
            if recipe.contains_key("callbacks") {
                return Err(Error::argument(
                    "recipe.patience",
                    "stands beside `callbacks`; leave one of them out",
                ));
            }
            let patience: usize =
                json::from_value(&patience).map_err(|wrong| Error::argument("recipe.patience", wrong))?;
            recipe.insert("callbacks".into(), serde_json::to_value(callbacks(patience)).unwrap_or_default());
        }
        let recipe = json::from_value(&recipe.into()).map_err(|wrong| Error::argument("recipe", wrong))?;
        let config = Self {
            model,
            recipe,
            classes,
            multi_label,
            label_separator,
            command,
            series,
            sequences,
            results,
            saved,
        };
        config.check()?;
        Ok(config)
    }
}

/// A part of a recipe from JSON that stands elsewhere, such as on a command line.
///
/// # Errors
/// [`Error::Argument`] with what is wrong.
pub fn from_value<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T> {
    json::from_value(value).map_err(|wrong| Error::argument("JSON", wrong))
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
        Self {
            model,
            recipe,
            classes: vec![],
            multi_label: false,
            label_separator: None,
            command: None,
            series: None,
            sequences: None,
            results: None,
            saved: None,
        }
    }

    /// From JSON; `origin` stands for the file in messages.
    ///
    /// # Errors
    /// [`Error::File`] where it is no such JSON, a class, field or activation is unknown, the layers do not fit each
    /// other, or the recipe does not fit the model.
    pub fn from_json(json: &str, origin: &Path) -> Result<Self> {
        check_version(json, origin)?;
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
        let wrong = |error| Error::argument("config.json", error);
        let mut value = serde_json::to_value(self).map_err(wrong)?;
        if let (None, Some(recipe)) = (self.model.vocab_size(), value["recipe"].as_object_mut()) {
            recipe.retain(|field, _| !matches!(field.as_str(), "vocab_size" | "max_len"));
        }
        let mut json = serde_json::to_string_pretty(&value).map_err(wrong)?;
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
        if !self.recipe.loss.is_null() {
            self.objective()?;
        }
        self.check_classes()?;
        self.series.as_ref().map_or(Ok(()), SeriesConfig::check)?;
        self.sequences.as_ref().map_or(Ok(()), SequenceConfig::check)?;
        let reads_text = self.model.layers.iter().any(|layer| matches!(layer.class, Class::Embedding(_)));
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

impl Config {
    /// What the recipe is to reach with the model's outputs.
    ///
    /// # Errors
    /// As [`Objective::of_compile`].
    pub fn objective(&self) -> Result<Objective> {
        Objective::of_compile(&self.recipe.compile(), &heads(&self.model)?)
    }
}

impl Config {
    /// Takes a loss, where the recipe has none, from the outputs' last activations and the targets; and the metrics that go
    /// with it, where it has none either. Gives in words what was taken; nothing where the recipe says all.
    ///
    /// # Errors
    /// If the layers do not fit each other, or there are fewer targets than outputs.
    pub fn guess_objective(&mut self, targets: &[Array]) -> Result<Option<String>> {
        let heads = heads(&self.model)?;
        if !self.recipe.loss.is_null() {
            if self.recipe.metrics.is_null() && self.recipe.weighted_metrics.is_null() {
                // One loss alone says what else is of interest.
                let loss = match &self.recipe.loss {
                    Value::String(name) if heads.len() == 1 => name.parse::<Loss>().ok(),
                    _ => None,
                };
                let metric = loss.map(|loss| Value::from(Objective::guess_metric(loss.name())));
                self.recipe.metrics = metric.into_iter().collect();
            }
            return Ok(None);
        }
        if heads.len() != targets.len() {
            let what = format!("{} arrays of targets for {} outputs", targets.len(), heads.len());
            return Err(Error::Data(what));
        }
        let guess = |(head, targets): (&Head, &Array)| Objective::guess_loss(head, targets);
        let losses: Vec<&str> = heads.iter().zip(targets).map(guess).collect();
        let metrics: Vec<[&str; 1]> = losses.iter().map(|loss| [Objective::guess_metric(loss)]).collect();
        let mut words = format!("loss {}", losses.join(", "));
        let several = losses.len() > 1;
        self.recipe.loss =
            if several { json!(losses) } else { losses.first().copied().unwrap_or_default().into() };
        if self.recipe.metrics.is_null() && self.recipe.weighted_metrics.is_null() {
            words.push_str(&format!(", metrics {}", metrics.concat().join(", ")));
            self.recipe.metrics = if several { json!(metrics) } else { json!(metrics.concat()) };
        }
        Ok(Some(format!(
            "{words}: taken from the last activation and the targets; say --loss, --metrics for others"
        )))
    }
}

impl Recipe {
    /// Loss and metrics, as in Keras's `compile`.
    pub fn compile(&self) -> Compile {
        Compile {
            loss: self.loss.clone(),
            loss_weights: self.loss_weights.clone(),
            metrics: self.metrics.clone(),
            weighted_metrics: self.weighted_metrics.clone(),
        }
    }

    /// Sets the loss. Metrics and factors that were for another one go.
    pub fn set_loss(&mut self, loss: Value) {
        self.loss = loss;
        (self.loss_weights, self.metrics, self.weighted_metrics) = (Value::Null, Value::Null, Value::Null);
    }

    /// The patience of early stopping, where there is such a callback.
    pub fn patience(&self) -> Option<usize> {
        self.callbacks.iter().find_map(|callback| match callback {
            CallbackConfig::EarlyStopping(rule) => Some(rule.patience),
            _ => None,
        })
    }

    /// Sets it, or adds the callback.
    pub fn set_patience(&mut self, patience: usize) {
        let rule = self.callbacks.iter_mut().find_map(|callback| match callback {
            CallbackConfig::EarlyStopping(rule) => Some(rule),
            _ => None,
        });
        match rule {
            Some(rule) => rule.patience = patience,
            None => self.callbacks.push(EarlyStopping::patience(patience).into()),
        }
    }

    /// Lets every callback watch this figure, whichever way it is better.
    pub fn set_monitor(&mut self, figure: &str) {
        for callback in &mut self.callbacks {
            let (monitor, mode) = callback.watched();
            (*monitor, *mode) = (figure.into(), Default::default());
        }
    }

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
        self.callbacks.iter().try_for_each(Callback::check)?;
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

    /// The recipe as the training loop takes it.
    pub fn fit_config(&self, seed: u64) -> FitConfig {
        FitConfig {
            epochs: self.epochs,
            batch_size: self.batch_size,
            shuffle: self.shuffle,
            group_by_length: self.group_by_length,
            seed,
            callbacks: self.callbacks.clone(),
            class_weight: self.class_weight.clone(),
            ..FitConfig::default()
        }
    }
}

//! Reading and writing a model folder.

use super::card;
use super::claim::Claim;
use super::config::{CONFIG_FILE, Config};
use super::parts::{self, Waiting};
use super::saved::Saved;
use crate::formats::file::{TEMPORARY, cause, sync_folder, utf8, write_atomic, write_beside};
use crate::formats::safetensors::to_safetensors;
use crate::layers::Mode;
use crate::model::{Model, ModelConfig, Weights};
use crate::text::{Encoded, Tokenizer, pad_sequences_with};
use crate::train::{Epoch, History};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The optimiser's state, by variable, where training is to go on.
pub const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// The vocabulary.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The state of a run, from which it goes on.
pub const STATE_FILE: &str = "state.safetensors";
/// The figures of every epoch.
pub const HISTORY_FILE: &str = "history.csv";
/// The loss curves as SVG.
pub const SVG_FILE: &str = "loss.svg";
/// The loss curves as PNG.
pub const PNG_FILE: &str = "loss.png";
/// Forecasts of the test part as SVG, of a model that was trained on a series.
pub const FORECAST_SVG_FILE: &str = "forecast.svg";
/// The same as PNG.
pub const FORECAST_PNG_FILE: &str = "forecast.png";
/// The model card.
pub const CARD_FILE: &str = "README.md";

/// A model with what it takes to use it.
pub struct Checkpoint {
    /// Layers and recipe.
    pub config: Config,
    /// The model, its weights detached: for evaluation and prediction.
    pub model: Model,
    /// The vocabulary, where there is one.
    pub tokenizer: Option<Tokenizer>,
    /// Where the model's weights are.
    pub device: Device,
}

impl Checkpoint {
    /// The probability of the positive class for each text, by a classifier with a vocabulary.
    ///
    /// # Errors
    /// A checkpoint without a vocabulary, or of a model that is no binary classifier.
    pub fn predict(&self, texts: &[impl AsRef<str>]) -> Result<Vec<f32>> {
        Ok(self.predict_counted(texts)?.into_iter().map(|(probability, _)| probability).collect())
    }

    /// The same, with the ids of each text and how many of its words are unknown.
    ///
    /// # Errors
    /// As [`Checkpoint::predict`].
    pub fn predict_counted(&self, texts: &[impl AsRef<str>]) -> Result<Vec<(f32, Encoded)>> {
        self.config.model.check_binary_classifier()?;
        let answers = self.answer_counted(texts)?;
        Ok(answers
            .into_iter()
            .map(|(values, encoded)| (values.first().copied().unwrap_or(f32::NAN), encoded))
            .collect())
    }

    /// What a model with a vocabulary and one output gives for each text, with the ids of each text and how many of its words
    /// are unknown: the probability of the positive or second class, those of all classes, or a number.
    ///
    /// # Errors
    /// A checkpoint without a vocabulary.
    pub fn answer_counted(&self, texts: &[impl AsRef<str>]) -> Result<Vec<(Vec<f32>, Encoded)>> {
        let Some(tokenizer) = &self.tokenizer else {
            return Err(Error::argument(
                "tokenizer",
                "the checkpoint has no vocabulary, so it cannot read text",
            ));
        };
        let recipe = &self.config.recipe;
        let is_binary = self.config.model.check_binary_classifier().is_ok();
        let mut predictions = Vec::with_capacity(texts.len());
        // What a file says of the length is not to ask for more memory than texts take.
        let batch = (PREDICTION_IDS / recipe.max_len.max(1)).clamp(1, PREDICTION_BATCH);
        for texts in texts.chunks(batch) {
            let encoded = texts.iter().map(|text| tokenizer.encode_counted(text.as_ref()));
            let encoded = encoded.collect::<Result<Vec<_>>>()?;
            let rows: Vec<&[u32]> = encoded.iter().map(|encoded| encoded.ids.as_slice()).collect();
            let ids = pad_sequences_with(&rows, recipe.max_len, recipe.padding());
            let ids = Tensor::from_vec(ids, (texts.len(), recipe.max_len), &self.device)?;
            let answers = match is_binary {
                true => candle_nn::ops::sigmoid(&self.model.logits(&ids, Mode::Inference)?)?,
                false => self.model.forward(&ids, Mode::Inference)?,
            };
            let answers = answers.flatten_from(1)?.to_vec2::<f32>()?;
            predictions.extend(answers.into_iter().zip(encoded));
        }
        Ok(predictions)
    }
}

/// Texts a step of prediction.
const PREDICTION_BATCH: usize = 256;
/// Ids a step of prediction, where there is more than one text.
const PREDICTION_IDS: usize = 1 << 20;

/// What a model folder is to hold.
pub struct Contents<'a> {
    /// Layers, recipe, figures.
    pub config: &'a Config,
    /// The weights by full name.
    pub weights: &'a BTreeMap<String, Tensor>,
    /// The epoch that they are from.
    pub epoch: Option<&'a Epoch>,
    /// The optimiser's state, where training is to go on from here.
    pub optimizer: Option<&'a BTreeMap<String, Tensor>>,
    /// The vocabulary.
    pub tokenizer: Option<&'a Tokenizer>,
    /// The figures of the epochs so far.
    pub history: Option<&'a History>,
}

/// What a model folder holds.
pub struct Whole {
    /// Layers, recipe, figures.
    pub config: Config,
    /// The weights.
    pub weights: Weights,
    /// The vocabulary, where there is one.
    pub tokenizer: Option<Tokenizer>,
    /// The optimiser's state by variable, where there is one.
    pub optimizer: Option<BTreeMap<String, Tensor>>,
}

/// A folder that holds a model, or will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFolder {
    path: PathBuf,
}

impl ModelFolder {
    /// An existing model folder. Only the presence of its `config.json` is looked at.
    ///
    /// # Errors
    /// [`Error::File`] where there is no folder, or no `config.json` in it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Err(Error::file(path, "there is no such folder"));
        }
        if !path.join(CONFIG_FILE).is_file() {
            return Err(Error::file(path, "is no model folder: it holds no config.json"));
        }
        Ok(Self { path: path.into() })
    }

    /// A folder to write a model to, made with its parents where it is not there yet. An older model in it is there until a new
    /// one is whole.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be made or written to, or holds other things but no model.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let fail = |error: std::io::Error| {
            Error::file(path, format!("cannot be used for a model: {}", cause(&error))).with_source(error)
        };
        if path.exists() && !path.is_dir() {
            return Err(Error::file(path, "is a file, where a folder is to be written; name another"));
        }
        if path.is_symlink() && !path.exists() {
            return Err(Error::file(path, "is a link that leads nowhere; remove it, or name another folder"));
        }
        let is_new = !path.exists();
        std::fs::create_dir_all(path).map_err(fail)?;
        if let (true, Some(parent)) = (is_new, path.parent()) {
            sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        let mut entries = std::fs::read_dir(path).map_err(fail)?.filter_map(std::result::Result::ok);
        // What a run that was killed left behind is taken over.
        let is_ours = |name: &OsStr| name == STATE_FILE || parts::is_left_over(name);
        let foreign = entries.any(|entry| !is_ours(&entry.file_name()));
        if foreign && !path.join(CONFIG_FILE).is_file() {
            let what = "holds files but no config.json, so it is no model folder; name a new or empty one";
            return Err(Error::file(path, what));
        }
        // Better to learn now than after the training that nothing can be written here.
        tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(path).map_err(fail)?;
        Ok(Self { path: path.into() })
    }

    /// Keeps other writers out of the folder for as long as the claim lives, and ends what one that was killed had begun.
    ///
    /// # Errors
    /// [`Error::File`] where another holds it, or what is left cannot be tidied up.
    pub fn claim(&self) -> Result<Claim> {
        Claim::on(&self.path)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Layers and recipe.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn config(&self) -> Result<Config> {
        Config::load(self.path.join(CONFIG_FILE))
    }

    /// The weights, checked against `config`.
    ///
    /// # Errors
    /// Where there are none, or as [`Weights::load`].
    pub fn weights(&self, config: &ModelConfig, device: &Device) -> Result<Weights> {
        let [weights] = self.parts([WEIGHTS_FILE])?.1;
        self.weights_of(config, weights, device)
    }

    fn weights_of(&self, config: &ModelConfig, bytes: Option<Vec<u8>>, device: &Device) -> Result<Weights> {
        let path = self.path.join(WEIGHTS_FILE);
        match bytes {
            Some(bytes) => Weights::from_bytes(config, &bytes, &path, device),
            None => {
                Err(Error::file(path, "is missing: the folder holds a configuration but no trained weights"))
            }
        }
    }

    /// The optimiser's state by variable ([`Optimizer::state`](crate::train::Optimizer::state)); none where the folder has no
    /// `optimizer.safetensors`.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be read.
    pub fn optimizer_state(&self) -> Result<Option<BTreeMap<String, Tensor>>> {
        let [state] = self.parts([OPTIMIZER_FILE])?.1;
        self.state_of(state)
    }

    fn state_of(&self, bytes: Option<Vec<u8>>) -> Result<Option<BTreeMap<String, Tensor>>> {
        let Some(bytes) = bytes else { return Ok(None) };
        let state = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|error| {
            Error::file(self.path.join(OPTIMIZER_FILE), format!("is no optimiser's state: {error}"))
        })?;
        Ok(Some(state.into_iter().collect()))
    }

    /// The vocabulary; none where the folder has no `tokenizer.json`.
    ///
    /// # Errors
    /// As [`Tokenizer::load`].
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>> {
        let [tokenizer] = self.parts([TOKENIZER_FILE])?.1;
        self.tokenizer_of(tokenizer)
    }

    fn tokenizer_of(&self, bytes: Option<Vec<u8>>) -> Result<Option<Tokenizer>> {
        let path = self.path.join(TOKENIZER_FILE);
        bytes.map(|bytes| Tokenizer::from_json(&utf8(bytes, &path)?, &path)).transpose()
    }

    /// Files of one model, whatever a writer does meanwhile, with its configuration.
    fn parts<const N: usize>(&self, names: [&str; N]) -> Result<(Config, [Option<Vec<u8>>; N])> {
        let (config, parts) = parts::read(&self.path, &names)?;
        let mut parts = parts.into_iter();
        Ok((config, std::array::from_fn(|_| parts.next().flatten())))
    }

    /// The bytes of `model.safetensors`, and the vocabulary of the same model.
    ///
    /// # Errors
    /// As the parts.
    pub fn weights_file(&self) -> Result<(Vec<u8>, Option<Tokenizer>)> {
        let (_, [weights, tokenizer]) = self.parts([WEIGHTS_FILE, TOKENIZER_FILE])?;
        let missing = || Error::file(self.path.join(WEIGHTS_FILE), "is missing: the folder holds no weights");
        Ok((weights.ok_or_else(missing)?, self.tokenizer_of(tokenizer)?))
    }

    /// All of one model, whatever a writer does meanwhile: layers, weights, vocabulary, optimiser's state.
    ///
    /// # Errors
    /// As the parts.
    pub fn whole(&self, device: &Device) -> Result<Whole> {
        let (config, [weights, tokenizer, state]) =
            self.parts([WEIGHTS_FILE, TOKENIZER_FILE, OPTIMIZER_FILE])?;
        let weights = self.weights_of(&config.model, weights, device)?;
        let (tokenizer, optimizer) = (self.tokenizer_of(tokenizer)?, self.state_of(state)?);
        Ok(Whole { config, weights, tokenizer, optimizer })
    }

    /// Layers, weights and vocabulary of one model, whatever a writer does meanwhile.
    ///
    /// # Errors
    /// As the parts.
    pub fn trained(&self, device: &Device) -> Result<(Config, Weights, Option<Tokenizer>)> {
        let (config, [weights, tokenizer]) = self.parts([WEIGHTS_FILE, TOKENIZER_FILE])?;
        let weights = self.weights_of(&config.model, weights, device)?;
        Ok((config, weights, self.tokenizer_of(tokenizer)?))
    }

    /// The figures of every epoch.
    ///
    /// # Errors
    /// As [`History::load`].
    pub fn history(&self) -> Result<History> {
        History::load(self.path.join(HISTORY_FILE))
    }

    /// The whole, ready for prediction.
    ///
    /// # Errors
    /// As the parts.
    pub fn load(&self, device: &Device) -> Result<Checkpoint> {
        let (config, weights, tokenizer) = self.trained(device)?;
        let model = Model::new(&config.model, weights.detached())?;
        Ok(Checkpoint { config, model, tokenizer, device: device.clone() })
    }

    /// Writes one file of the folder, whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`] where the folder is missing or not writable, or the disk is full; nothing is left behind then.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        write_atomic(self.path.join(name), bytes.as_ref())
    }

    /// Writes a file that stands beside a model, whole or not at all, without waiting for the disk: after the power went it may
    /// be empty or gone.
    ///
    /// # Errors
    /// As [`ModelFolder::write`].
    pub fn write_beside(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        write_beside(&self.path.join(name), bytes.as_ref())
    }

    /// Writes a model. A reader finds the older one whole until the new one is, and then that; so does whoever comes after a
    /// crash.
    ///
    /// # Errors
    /// As [`ModelFolder::write`]; an older model is as it was then.
    pub fn save(&self, contents: &Contents) -> Result<()> {
        let Contents { config, weights, epoch, optimizer, tokenizer, history } = *contents;
        config.check()?;
        let mut files = vec![(WEIGHTS_FILE, weights_file(&config.model.name, epoch, weights)?)];
        if let Some(tokenizer) = tokenizer {
            files.push((TOKENIZER_FILE, tokenizer.to_json()?.into_bytes()));
        }
        if let Some(state) = optimizer {
            files.push((OPTIMIZER_FILE, state_file(state)?));
        }
        let saved = Saved::of(&files);
        let config = Config { saved: Some(saved.clone()), ..config.clone() };
        let waiting = Waiting::write(&self.path, &files, &saved)?;
        let written = self.write(CONFIG_FILE, config.to_json()?);
        // It may have got its name though bringing that to the disk failed: then the folder holds the new model.
        if written.is_ok() || self.config().is_ok_and(|found| found.saved.as_ref() == Some(&saved)) {
            waiting.place(&saved, &[WEIGHTS_FILE, TOKENIZER_FILE, OPTIMIZER_FILE])?;
        }
        written?;
        match history {
            Some(history) => self.write_beside(HISTORY_FILE, history.to_csv())?,
            // Of an older model nothing may stay that belongs to it.
            None => [HISTORY_FILE, SVG_FILE, PNG_FILE].iter().try_for_each(|name| self.remove(name))?,
        }
        match config.series {
            Some(_) => Ok(()),
            None => [FORECAST_SVG_FILE, FORECAST_PNG_FILE].iter().try_for_each(|name| self.remove(name)),
        }
    }

    /// Removes one file of the folder, if it is there.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        parts::remove(&self.path.join(name))
    }

    /// Writes `config.json` anew, of the model that the folder holds.
    ///
    /// # Errors
    /// As [`ModelFolder::write`].
    pub fn save_config(&self, config: &Config) -> Result<()> {
        let config = Config { saved: self.config()?.saved, ..config.clone() };
        self.write(CONFIG_FILE, config.to_json()?)
    }

    /// Writes the model card, [beside the model](Self::write_beside).
    ///
    /// # Errors
    /// As [`ModelFolder::write`].
    pub fn save_card(&self, config: &Config) -> Result<()> {
        self.write_beside(CARD_FILE, card(config)?)
    }

    /// Writes `history.csv`.
    ///
    /// # Errors
    /// As [`ModelFolder::write`].
    pub fn save_history(&self, history: &History) -> Result<()> {
        self.write(HISTORY_FILE, history.to_csv())
    }

    /// Writes the loss curves, `loss.svg` and `loss.png`, under the title `title`.
    ///
    /// # Errors
    /// As [`ModelFolder::write`] and [`crate::plot::loss`].
    #[cfg(feature = "plot")]
    pub fn save_pictures(&self, title: &str, history: &History) -> Result<()> {
        let picture = crate::plot::loss(title, history)?;
        picture.save(self.path.join(SVG_FILE))?;
        picture.save(self.path.join(PNG_FILE))
    }
}

fn state_file(state: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    to_safetensors(state, &BTreeMap::from([("format", "candle-recurrent".to_string())]))
}

/// `model.safetensors` with its metadata: format, model, epoch and val_loss. The same weights of the same epoch give the
/// same bytes.
fn weights_file(model: &str, epoch: Option<&Epoch>, weights: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let mut metadata =
        BTreeMap::from([("format", "candle-recurrent".to_string()), ("model", model.to_string())]);
    if let Some(epoch) = epoch {
        metadata.insert("epoch", epoch.epoch.to_string());
        metadata.extend(epoch.val_loss().map(|loss| ("val_loss", loss.to_string())));
    }
    to_safetensors(weights, &metadata)
}

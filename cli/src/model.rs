//! The argument MODEL: a name of the zoo, a model folder, a `config.json`, or a file of Keras's.

use super::output::message;
use candle_core::Device;
use candle_recurrent::checkpoint::{CONFIG_FILE, Checkpoint, Config, ModelFolder, WEIGHTS_FILE};
use candle_recurrent::data;
use candle_recurrent::formats::read_text;
use candle_recurrent::keras::{self, Kind, Loaded};
use candle_recurrent::model::{Model, ModelConfig, Weights};
use candle_recurrent::text::Tokenizer;
use candle_recurrent::train::History;
use candle_recurrent::zoo;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What MODEL turned out to be.
pub(super) enum ModelSource {
    Zoo(&'static zoo::Entry),
    Folder(ModelFolder),
    Config(PathBuf),
    /// A file of Keras's, and where its architecture stands if not in it.
    Keras {
        path: PathBuf,
        config: Option<PathBuf>,
    },
}

impl ModelSource {
    /// A name of the zoo goes before a folder of that name: `./lstm` is always the folder. `config` is where the
    /// architecture of a file of weights stands.
    pub(super) fn find(argument: &str, config: Option<&Path>) -> anyhow::Result<Self> {
        let source = Self::look(argument, config)?;
        if let (Some(config), false) = (config, matches!(source, Self::Keras { .. })) {
            anyhow::bail!("--config {}: {argument} has its own configuration", config.display());
        }
        Ok(source)
    }

    fn look(argument: &str, config: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(entry) = zoo::entries().iter().find(|entry| entry.name == argument) {
            return Ok(Self::Zoo(entry));
        }
        let path = Path::new(argument);
        let keras = || Self::Keras { path: path.into(), config: config.map(Path::to_path_buf) };
        if path.is_dir() {
            // An unpacked .keras has a config.json too, in Keras's form.
            let is_keras = ["metadata.json", "saved_model.pb"].iter().any(|name| path.join(name).is_file());
            return if is_keras || is_architecture(&text(&path.join(CONFIG_FILE))) {
                Ok(keras())
            } else {
                Ok(Self::Folder(ModelFolder::open(path)?))
            };
        }
        if path.is_file() {
            return match keras::kind(path)? {
                Kind::Json => {
                    let json = text(path);
                    if is_vocabulary(&json) {
                        anyhow::bail!("{argument}: is a vocabulary, not a model; it goes with --tokenizer");
                    }
                    Ok(if is_architecture(&json) { keras() } else { Self::Config(path.into()) })
                }
                _ => Ok(keras()),
            };
        }
        if path.exists() {
            anyhow::bail!("{argument}: is no file but a device or a pipe; save the model as a file first");
        }
        if argument.contains(['/', '\\']) || path.extension().is_some() {
            anyhow::bail!("{argument}: there is no such file or folder");
        }
        Ok(Self::Zoo(zoo::get(argument)?))
    }

    /// The layers.
    pub(super) fn model(&self) -> anyhow::Result<ModelConfig> {
        match self {
            Self::Keras { path, config } => Ok(keras::load_config(config.as_deref().unwrap_or(path))?),
            _ => Ok(self.config()?.model),
        }
    }

    /// The layers, and what is wrong with the weights beside them, if anything is.
    pub(super) fn model_and_fault(&self) -> anyhow::Result<(ModelConfig, Option<anyhow::Error>)> {
        Ok(match self {
            Self::Keras { path, config } if !matches!(keras::kind(path), Ok(Kind::Json)) => {
                match load(path, config.as_deref(), &Device::Cpu) {
                    Ok(loaded) => (loaded.config, None),
                    Err(fault) => (self.model()?, Some(fault)),
                }
            }
            Self::Folder(folder) if folder.path().join(WEIGHTS_FILE).is_file() => {
                let model = self.model()?;
                let fault = folder.weights(&model, &Device::Cpu).err();
                (model, fault.map(Into::into))
            }
            _ => (self.model()?, None),
        })
    }

    /// Layers and recipe.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        Ok(match self {
            Self::Zoo(entry) => entry.config()?,
            Self::Folder(folder) => folder.config()?,
            Self::Config(path) => Config::load(path)?,
            Self::Keras { .. } => Config::of_model(self.model()?),
        })
    }

    /// What a training starts from: layers and recipe, and of a file of Keras's the weights.
    pub(super) fn start(&self, device: &Device) -> anyhow::Result<(Config, Option<Weights>)> {
        match self {
            Self::Keras { path, config } if !matches!(keras::kind(path), Ok(Kind::Json)) => {
                let loaded = load(path, config.as_deref(), device)?;
                Ok((Config::of_model(loaded.config), Some(loaded.weights)))
            }
            _ => Ok((self.config()?, None)),
        }
    }

    /// Everything, ready for prediction.
    pub(super) fn load(&self, device: &Device) -> anyhow::Result<Checkpoint> {
        Ok(match self {
            Self::Zoo(entry) => entry.load(device)?,
            Self::Folder(folder) => folder.load(device)?,
            Self::Config(path) => anyhow::bail!(
                "{}: is a configuration without weights; give the folder of a trained model",
                path.display()
            ),
            Self::Keras { path, config } => {
                let loaded = load(path, config.as_deref(), device)?;
                let model = Model::new(&loaded.config, loaded.weights.detached())?;
                let config = Config::of_model(loaded.config);
                Checkpoint { config, model, tokenizer: None, device: device.clone() }
            }
        })
    }

    /// The history of its training.
    pub(super) fn history(&self) -> anyhow::Result<History> {
        Ok(match self {
            Self::Zoo(entry) => entry.history()?,
            Self::Folder(folder) => folder.history()?,
            Self::Config(path) | Self::Keras { path, .. } => {
                anyhow::bail!("{}: has no history; give the folder of a trained model", path.display())
            }
        })
    }
}

/// Reads a file of Keras's and passes its warnings on.
fn load(path: &Path, config: Option<&Path>, device: &Device) -> anyhow::Result<Loaded> {
    let options =
        keras::Options { config: config.map(|config| config.to_path_buf().into()), device: device.clone() };
    let loaded = keras::load_with(path, &options)?;
    for warning in &loaded.warnings {
        message(&format!("warning: {}: {warning}", path.display()));
    }
    Ok(loaded)
}

/// The text of a file of JSON; nothing where it is none, which is for others to complain of.
fn text(path: &Path) -> String {
    read_text(path).unwrap_or_default()
}

/// Whether it is in the form of Keras's architectures, not of our `config.json`. Only its first level is looked at.
fn is_architecture(json: &str) -> bool {
    let fields = serde_json::from_str::<HashMap<String, IgnoredAny>>(json);
    fields.is_ok_and(|fields| fields.contains_key("class_name"))
}

/// Whether it is a `tokenizer.json` or a word index.
fn is_vocabulary(json: &str) -> bool {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "model")]
        _model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        #[serde(rename = "vocab")]
        _vocab: IgnoredAny,
    }
    serde_json::from_str::<File>(json).is_ok() || is_word_index(json)
}

/// Whether it is a word index: numbers by words.
fn is_word_index(json: &str) -> bool {
    serde_json::from_str::<HashMap<String, u64>>(json).is_ok_and(|ranks| !ranks.is_empty())
}

/// The vocabulary that `--tokenizer` names: `imdb`, a `tokenizer.json`, or a word index such as Keras's
/// `imdb_word_index.json`. `vocab_size` is what the model reads.
pub(super) fn tokenizer(argument: &str, vocab_size: usize) -> anyhow::Result<Tokenizer> {
    if argument == "imdb" {
        return imdb(vocab_size);
    }
    let path = Path::new(argument);
    if !path.exists() {
        anyhow::bail!("--tokenizer {argument}: there is no such file; give imdb or a tokenizer.json");
    }
    if is_word_index(&read_text(path)?) {
        return Ok(Tokenizer::from_word_index_json(path, vocab_size)?);
    }
    let tokenizer = Tokenizer::load(path)?;
    if tokenizer.vocab_size() > vocab_size {
        anyhow::bail!(
            "--tokenizer {argument}: gives ids up to {}, and the model reads ids below {vocab_size}",
            tokenizer.vocab_size().saturating_sub(1)
        );
    }
    Ok(tokenizer)
}

/// Keras's words of IMDB: its own file, or as many as the zoo's models know.
fn imdb(vocab_size: usize) -> anyhow::Result<Tokenizer> {
    let missing = match data::imdb_tokenizer(vocab_size) {
        Ok(tokenizer) => return Ok(tokenizer),
        Err(error) => error,
    };
    for entry in zoo::entries() {
        let known = entry.tokenizer()?;
        if known.vocab_size() >= vocab_size {
            // The first four ids are no words.
            let words = (4..).map_while(|id| known.word(id).map(String::from));
            return Ok(Tokenizer::from_words(words, vocab_size)?);
        }
    }
    Err(missing.into())
}

/// The weights that `--init` names: a model folder, or a safetensors file, with the vocabulary beside it.
pub(super) struct Init {
    pub(super) weights: PathBuf,
    pub(super) tokenizer: Option<Tokenizer>,
}

impl Init {
    pub(super) fn find(path: &Path) -> anyhow::Result<Self> {
        use candle_recurrent::checkpoint::{TOKENIZER_FILE, WEIGHTS_FILE};
        let weights = if path.is_dir() { path.join(WEIGHTS_FILE) } else { path.to_path_buf() };
        if !weights.is_file() {
            anyhow::bail!(
                "--init {}: there is no such file; give a model folder or a .safetensors",
                weights.display()
            );
        }
        let tokenizer = weights.with_file_name(TOKENIZER_FILE);
        // Only the vocabulary of a model belongs to weights; a stray file of that name does not.
        let beside_model = weights.with_file_name(CONFIG_FILE).is_file() && tokenizer.is_file();
        let tokenizer = beside_model.then(|| Tokenizer::load(tokenizer)).transpose()?;
        Ok(Self { weights, tokenizer })
    }
}

//! The argument MODEL: a name of the zoo, a model folder, a `config.json`, a file of Keras's, or one of these on the Hub.

use super::hub;
use super::lambdas::Lambdas;
use super::output::message;
use super::tokenizer::is_vocabulary;
use anyhow::Context;
use candle_core::{Device, Tensor};
use candle_recurrent::checkpoint::{CONFIG_FILE, Checkpoint, Config, ModelFolder, WEIGHTS_FILE};
use candle_recurrent::formats::read_text;
use candle_recurrent::keras::{self, Kind, Loaded};
use candle_recurrent::layers::OperationConfig;
use candle_recurrent::model::{Model, ModelConfig, Weights};
use candle_recurrent::sharing::Needed;
use candle_recurrent::text::Tokenizer;
use candle_recurrent::train::{History, heads};
use candle_recurrent::zoo;
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// What MODEL turned out to be.
pub(super) enum ModelSource {
    Zoo(&'static zoo::Entry),
    Folder(ModelFolder),
    Config(PathBuf),
    /// A file of Keras's, where its architecture stands if not in it, and what its Lambdas do.
    Keras {
        path: PathBuf,
        config: Option<PathBuf>,
        lambdas: BTreeMap<String, OperationConfig>,
    },
}

impl ModelSource {
    /// A name of the zoo goes before a folder of that name: `./lstm` is always the folder. `config` is where the
    /// architecture of a file of weights stands.
    pub(super) fn find(argument: &str, config: Option<&Path>, lambdas: &Lambdas) -> anyhow::Result<Self> {
        Self::find_for(Needed::Model, argument, config, lambdas)
    }

    /// The same where other files than those are needed that make a model: it matters for one on the Hub, of which no others
    /// are fetched.
    pub(super) fn find_for(
        needed: Needed,
        argument: &str,
        config: Option<&Path>,
        lambdas: &Lambdas,
    ) -> anyhow::Result<Self> {
        let lambdas = lambdas.by_name()?;
        let from_hub = hub::model(argument, needed)?;
        let source = Self::look(argument, from_hub.as_deref(), config, &lambdas)?;
        if let (Some(name), false) = (lambdas.keys().next(), matches!(source, Self::Keras { .. })) {
            anyhow::bail!("--lambda {name}: {argument} is no file of Keras's, and holds no Lambda");
        }
        if let (Some(config), false) = (config, matches!(source, Self::Keras { .. })) {
            anyhow::bail!("--config {}: {argument} has its own configuration", config.display());
        }
        Ok(source)
    }

    /// `here` is where that lies which was fetched.
    fn look(
        argument: &str,
        here: Option<&Path>,
        config: Option<&Path>,
        lambdas: &BTreeMap<String, OperationConfig>,
    ) -> anyhow::Result<Self> {
        if let Some(entry) = zoo::entries().iter().find(|entry| entry.name == argument) {
            return Ok(Self::Zoo(entry));
        }
        let path = here.unwrap_or(Path::new(argument));
        let keras = || Self::Keras {
            path: path.into(),
            config: config.map(Path::to_path_buf),
            lambdas: lambdas.clone(),
        };
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
            Self::Keras { path, config, lambdas } => {
                let (config, warnings) = keras::load_config_with(config.as_deref().unwrap_or(path), lambdas)?;
                for warning in warnings {
                    message(&format!("warning: {}: {warning}", path.display()));
                }
                Ok(config)
            }
            _ => Ok(self.config()?.model),
        }
    }

    /// The layers, and what is wrong with the weights beside them, if anything is.
    pub(super) fn model_and_fault(&self) -> anyhow::Result<(ModelConfig, Option<anyhow::Error>)> {
        Ok(match self {
            Self::Keras { path, config, lambdas } if !matches!(keras::kind(path), Ok(Kind::Json)) => {
                match load(path, config.as_deref(), lambdas, &Device::Cpu, None, false) {
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

    /// What a training starts from: layers and recipe, and of a file of Keras's the weights and the optimiser's state.
    pub(super) fn start(&self, device: &Device) -> anyhow::Result<Start> {
        match self {
            Self::Keras { path, config, lambdas } if !matches!(keras::kind(path), Ok(Kind::Json)) => {
                let loaded = load(path, config.as_deref(), lambdas, device, None, true)?;
                let (mut config, mut notes) = (Config::of_model(loaded.config), vec![]);
                let mut state = None;
                if let Some(training) = &loaded.training {
                    notes = training.put_into(&mut config.recipe, &heads(&config.model)?);
                    notes.extend(training.differs.iter().cloned());
                    state = training.state.by_name()?;
                }
                Ok(Start { config, weights: Some(loaded.weights), state, notes })
            }
            _ => Ok(Start { config: self.config()?, weights: None, state: None, notes: vec![] }),
        }
    }

    /// Everything, ready for a measurement: a file of Keras's says its loss and metrics. With it what of these is not taken
    /// over, a sentence each.
    pub(super) fn load_compiled(&self, device: &Device) -> anyhow::Result<(Checkpoint, Vec<String>)> {
        let Self::Keras { path, config, lambdas } = self else {
            return Ok((self.load(device, None)?, vec![]));
        };
        let loaded = load(path, config.as_deref(), lambdas, device, None, false)?;
        let training = loaded.training.clone();
        let mut checkpoint = checkpoint(loaded, device)?;
        let notes = match training {
            Some(training) => {
                let heads = heads(&checkpoint.config.model)?;
                training.put_into(&mut checkpoint.config.recipe, &heads)
            }
            None => vec![],
        };
        Ok((checkpoint, notes))
    }

    /// Everything, ready for prediction; with `until` up to that layer.
    pub(super) fn load(&self, device: &Device, until: Option<&str>) -> anyhow::Result<Checkpoint> {
        Ok(match (self, until) {
            (Self::Zoo(entry), None) => entry.load(device)?,
            (Self::Zoo(entry), Some(until)) => {
                let config = entry.config()?;
                let weights = entry.weights(&config.model, device)?;
                cut(config, &weights, Some(entry.tokenizer()?), device, until)?
            }
            (Self::Folder(folder), None) => folder.load(device)?,
            (Self::Folder(folder), Some(until)) => {
                let (config, weights, tokenizer) = folder.trained(device)?;
                cut(config, &weights, tokenizer, device, until)?
            }
            (Self::Config(path), _) => anyhow::bail!(
                "{}: is a configuration without weights; give the folder of a trained model",
                path.display()
            ),
            (Self::Keras { path, config, lambdas }, until) => {
                checkpoint(load(path, config.as_deref(), lambdas, device, until, false)?, device)?
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

/// A file of Keras's, ready for prediction.
fn checkpoint(loaded: Loaded, device: &Device) -> anyhow::Result<Checkpoint> {
    let model = Model::new(&loaded.config, loaded.weights.detached())?;
    Ok(Checkpoint { config: Config::of_model(loaded.config), model, tokenizer: None, device: device.clone() })
}

/// What a training starts from.
pub(super) struct Start {
    pub(super) config: Config,
    pub(super) weights: Option<Weights>,
    /// The optimiser's state by variable.
    pub(super) state: Option<BTreeMap<String, Tensor>>,
    /// What of a file's training is not taken over, or differs, a sentence each.
    pub(super) notes: Vec<String>,
}

/// A model up to a layer. The inputs that it has no more are told.
fn cut(
    mut config: Config,
    weights: &Weights,
    tokenizer: Option<Tokenizer>,
    device: &Device,
    until: &str,
) -> anyhow::Result<Checkpoint> {
    let part = config.model.until(until)?;
    for input in config.model.inputs_left_out(&part) {
        message(&format!(
            "warning: the input `{input}` is not needed up to layer {until} and left out; x0, x1, … are numbered without it"
        ));
    }
    config.model = part;
    config.recipe.group_by_length &= config.model.skips_padding();
    let model = Model::new(&config.model, weights.of_part(&config.model)?.detached())?;
    Ok(Checkpoint { config, model, tokenizer, device: device.clone() })
}

/// Reads a file of Keras's, up to a layer where one is named, with the optimiser's state or without, and passes its warnings
/// on.
fn load(
    path: &Path,
    config: Option<&Path>,
    lambdas: &BTreeMap<String, OperationConfig>,
    device: &Device,
    until: Option<&str>,
    state: bool,
) -> anyhow::Result<Loaded> {
    let options = keras::Options {
        config: config.map(|config| config.to_path_buf().into()),
        device: device.clone(),
        until: until.map(String::from),
        lambdas: lambdas.clone(),
        state,
    };
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

/// The weights that `--init` names: a model folder, a safetensors or PyTorch file, with the vocabulary beside it.
pub(super) struct Init {
    path: PathBuf,
    bytes: Vec<u8>,
    pub(super) tokenizer: Option<Tokenizer>,
}

impl Init {
    pub(super) fn find(path: &Path) -> anyhow::Result<Self> {
        use candle_recurrent::checkpoint::WEIGHTS_FILE;
        let from_hub = path.to_str().map(|path| hub::model(path, Needed::Model)).transpose()?.flatten();
        let path = from_hub.as_deref().unwrap_or(path);
        let is_folder = path.is_dir();
        let weights = if is_folder { path.join(WEIGHTS_FILE) } else { path.to_path_buf() };
        if !weights.is_file() {
            anyhow::bail!(
                "--init {}: there is no such file; give a model folder, a .safetensors or a PyTorch file (.pt)",
                weights.display()
            );
        }
        // Only the vocabulary of a model belongs to weights; a stray file of that name does not.
        let folder = match weights.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => Path::new("."),
        };
        let folder = folder.join(CONFIG_FILE).is_file().then(|| ModelFolder::open(folder));
        let (bytes, tokenizer) = match folder.transpose()? {
            Some(folder) if weights.ends_with(WEIGHTS_FILE) => folder.weights_file()?,
            Some(folder) => (read(&weights)?, folder.tokenizer()?),
            None => (read(&weights)?, None),
        };
        Ok(Self { path: weights, bytes, tokenizer })
    }

    /// The variables of `model`, in whichever names the file has them.
    pub(super) fn weights(&self, model: &ModelConfig, device: &Device) -> anyhow::Result<Weights> {
        let (path, bytes) = (&self.path, &self.bytes);
        Ok(match keras::kind(path) {
            Ok(Kind::Zip | Kind::Torch) => keras::weights_from_torch(model, bytes, path, device)?,
            Ok(Kind::Safetensors) => keras::weights_from_safetensors(model, bytes, path, device)?,
            _ => Weights::from_bytes(model, bytes, path, device)?,
        })
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

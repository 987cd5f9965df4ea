//! The argument MODEL: a name of the zoo, a model folder, or a `config.json`.

use crate::checkpoint::{CONFIG_FILE, Checkpoint, Config, ModelFolder};
use crate::text::Tokenizer;
use crate::train::History;
use crate::zoo;
use candle_core::Device;
use std::path::{Path, PathBuf};

/// What MODEL turned out to be.
pub(super) enum ModelSource {
    Zoo(&'static zoo::Entry),
    Folder(ModelFolder),
    Config(PathBuf),
}

impl ModelSource {
    /// A name of the zoo goes before a folder of that name: `./lstm` is always the folder.
    pub(super) fn find(argument: &str) -> anyhow::Result<Self> {
        if let Some(entry) = zoo::entries().iter().find(|entry| entry.name == argument) {
            return Ok(Self::Zoo(entry));
        }
        let path = Path::new(argument);
        if path.is_dir() {
            return Ok(Self::Folder(ModelFolder::open(path)?));
        }
        if path.is_file() {
            if path.extension().is_some_and(|extension| extension == "json") {
                return Ok(Self::Config(path.into()));
            }
            anyhow::bail!(
                "{argument}: is no model; give a name of the zoo, a model folder, or a config.json"
            );
        }
        if argument.contains(['/', '\\']) || argument.ends_with(".json") {
            anyhow::bail!("{argument}: there is no such file or folder");
        }
        Ok(Self::Zoo(zoo::get(argument)?))
    }

    /// Layers and recipe.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        Ok(match self {
            Self::Zoo(entry) => entry.config()?,
            Self::Folder(folder) => folder.config()?,
            Self::Config(path) => Config::load(path)?,
        })
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
        })
    }

    /// The history of its training.
    pub(super) fn history(&self) -> anyhow::Result<History> {
        Ok(match self {
            Self::Zoo(entry) => entry.history()?,
            Self::Folder(folder) => folder.history()?,
            Self::Config(path) => {
                anyhow::bail!("{}: has no history; give the folder of a trained model", path.display())
            }
        })
    }
}

/// The weights that `--init` names: a model folder, or a safetensors file, with the vocabulary beside it.
pub(super) struct Init {
    pub(super) weights: PathBuf,
    pub(super) tokenizer: Option<Tokenizer>,
}

impl Init {
    pub(super) fn find(path: &Path) -> anyhow::Result<Self> {
        use crate::checkpoint::{TOKENIZER_FILE, WEIGHTS_FILE};
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

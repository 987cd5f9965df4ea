//! A model folder to the Hub: its own files and nothing else that lies beside them.

use std::path::PathBuf;

use crate::checkpoint::{
    CARD_FILE, CONFIG_FILE, FORECAST_PNG_FILE, FORECAST_SVG_FILE, HISTORY_FILE, ModelFolder, OPTIMIZER_FILE,
    PNG_FILE, SVG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, card, card_at,
};
use crate::formats::read_text;
use crate::hub::{Address, Content, Hub, Kind, Upload, UploadOptions, Uploaded};
use crate::{Error, Result};
use candle_core::Device;

/// The files that make a model folder, apart from its card.
const FILES: [&str; 9] = [
    CONFIG_FILE,
    WEIGHTS_FILE,
    TOKENIZER_FILE,
    HISTORY_FILE,
    OPTIMIZER_FILE,
    SVG_FILE,
    PNG_FILE,
    FORECAST_SVG_FILE,
    FORECAST_PNG_FILE,
];

/// What is to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where to: a repository, on a branch.
    pub address: Address,
    /// The files, the card among them.
    pub files: Vec<Upload>,
    /// What lies in the folder and stays there.
    pub left: Vec<String>,
}

impl Plan {
    /// Looks through a model folder. Its layers, weights and vocabulary are read, so that what is uploaded can be used. The
    /// card that was written for the folder names the repository instead; one of the user's own stays as it is, and gets the
    /// front matter that the Hub reads where it has none.
    ///
    /// # Errors
    /// [`Error::File`] where the folder has no weights, or cannot be read; [`Error::Argument`] for an address that is no
    /// repository of models.
    pub fn new(folder: &ModelFolder, address: &Address) -> Result<Self> {
        if address.kind != Kind::Model || !address.path.is_empty() {
            return Err(Error::argument(address.to_string(), "is no model's repository; give OWNER/NAME"));
        }
        folder.load(&Device::Cpu)?;
        let root = folder.path();
        let own = |name: &&str| root.join(name).is_file();
        let mut files: Vec<Upload> = FILES
            .into_iter()
            .filter(own)
            .map(|name| Upload { name: name.into(), content: Content::File(root.join(name)) })
            .collect();
        files.push(Upload { name: CARD_FILE.into(), content: card_content(folder, address)? });
        let mut left: Vec<String> = std::fs::read_dir(root)
            .map_err(|error| Error::io(root, error))?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| !files.iter().any(|file| file.name == *name))
            .collect();
        left.sort();
        Ok(Self { address: address.clone(), files, left })
    }

    /// The bytes of all files.
    ///
    /// # Errors
    /// [`Error::File`] where one is gone.
    pub fn length(&self) -> Result<u64> {
        self.files.iter().map(|file| file.content.length()).sum()
    }

    /// Uploads the files in one commit. Of an older model in the repository nothing stays that belongs to it.
    ///
    /// # Errors
    /// As [`Hub::upload`].
    pub fn push(
        &self,
        hub: &Hub,
        private: bool,
        message: &str,
        report: &mut dyn FnMut(&str),
    ) -> Result<Uploaded> {
        let together = FILES.into_iter().map(String::from).collect();
        let options = UploadOptions { private, message: message.into(), together };
        hub.upload(&self.address, &self.files, &options, report)
    }
}

/// The card as it is uploaded.
fn card_content(folder: &ModelFolder, address: &Address) -> Result<Content> {
    let config = folder.config()?;
    let ours = card_at(&config, &address.to_string())?;
    let path: PathBuf = folder.path().join(CARD_FILE);
    if !path.is_file() {
        return Ok(Content::Bytes(ours.into_bytes()));
    }
    let text = read_text(&path)?;
    if text == card(&config)? {
        return Ok(Content::Bytes(ours.into_bytes()));
    }
    if text.starts_with("---\n") || text.starts_with("---\r\n") {
        return Ok(Content::File(path));
    }
    let front = ours.split_inclusive("\n---\n").next().unwrap_or_default();
    Ok(Content::Bytes(format!("{front}\n{text}").into_bytes()))
}

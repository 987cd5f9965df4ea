//! How a run was begun, as its state keeps it.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a run was begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begun {
    /// What stood behind `train`.
    pub(super) arguments: Vec<String>,
    /// The folder in which.
    pub(super) folder: PathBuf,
    /// The model, where `all` were trained one after the other.
    pub(super) model: String,
}

impl Begun {
    /// By this process.
    pub(super) fn now(model: &str) -> anyhow::Result<Self> {
        let arguments = std::env::args().skip(2).collect();
        // What is no text in it would not come back.
        let folder = std::env::current_dir().context("the folder that this was started in is gone")?;
        let folder = folder.to_string_lossy().into_owned().into();
        Ok(Self { arguments, folder, model: model.into() })
    }
}

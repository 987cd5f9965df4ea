//! Where the Hub is, and what this machine has to do with it.

use std::path::PathBuf;

use crate::{Error, Result};

/// Where the Hub is and where its files are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// The server's address, without a slash at the end.
    pub endpoint: String,
    /// The folder of cached repositories.
    pub cache: PathBuf,
    /// The user's token, for repositories that need one.
    pub token: Option<String>,
    /// Whether to look in the cache only.
    pub offline: bool,
}

impl Hub {
    /// The Hub as the environment describes it: `HF_ENDPOINT`, `HF_HUB_CACHE` (else `hub` in `HF_HOME`, else
    /// `~/.cache/huggingface/hub`), `HF_TOKEN` (else the file at `HF_TOKEN_PATH`, else `token` in `HF_HOME`) and
    /// `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// [`Error::Network`] where there is no home folder and no variable names another.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// As [`Hub::from_env`], with the variables that `get` gives.
    ///
    /// # Errors
    /// As [`Hub::from_env`].
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let get =
            |name: &str| get(name).map(|value| value.trim().to_string()).filter(|value| !value.is_empty());
        let home = get("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| get("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("huggingface")))
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache").join("huggingface")))
            .ok_or_else(|| Error::network("there is no home folder for the cache; set HF_HOME"))?;
        let token_file = get("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let token = get("HF_TOKEN")
            .or_else(|| get("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| std::fs::read_to_string(token_file).ok().map(|token| token.trim().to_string()))
            .filter(|token| !token.is_empty());
        let yes = ["1", "on", "yes", "true"];
        Ok(Self {
            endpoint: get("HF_ENDPOINT")
                .map_or_else(|| "https://huggingface.co".into(), |url| url.trim_end_matches('/').into()),
            cache: get("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token,
            offline: get("HF_HUB_OFFLINE").is_some_and(|value| yes.contains(&value.to_lowercase().as_str())),
        })
    }
}

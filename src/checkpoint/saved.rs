//! What a `config.json` says of the files beside it: their sums, and the version of the folder's form.

use crate::formats::sums::sha256;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the folder's form that this crate writes, and the latest that it reads. Folders without one are from before
/// there were versions.
pub const FORMAT_VERSION: u32 = 1;

/// What a `config.json` says of the files that were saved with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The version of the folder's form.
    pub format_version: u32,
    /// The version of this crate that wrote it.
    pub written_by: String,
    /// The SHA-256 of each file, by name.
    pub files: BTreeMap<String, String>,
}

impl Saved {
    /// Of these files.
    pub(super) fn of(files: &[(&str, Vec<u8>)]) -> Self {
        let sums = files.iter().map(|(name, bytes)| (name.to_string(), sha256(bytes)));
        Self {
            format_version: FORMAT_VERSION,
            written_by: env!("CARGO_PKG_VERSION").into(),
            files: sums.collect(),
        }
    }
}

/// Refuses the `config.json` of a version that is still to come, whatever else it says.
pub(super) fn check_version(json: &str, origin: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Head {
        checkpoint: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
        #[serde(default)]
        written_by: String,
    }
    match serde_json::from_str::<Head>(json) {
        Ok(Head { checkpoint: Version { format_version, written_by } })
            if format_version > FORMAT_VERSION =>
        {
            let what = format!(
                "is of format version {format_version}, and this program reads up to {FORMAT_VERSION}; it needs \
                 candle-recurrent {written_by} or later"
            );
            Err(Error::file(origin, what))
        }
        // What is no such JSON is for the whole reader to complain of.
        _ => Ok(()),
    }
}

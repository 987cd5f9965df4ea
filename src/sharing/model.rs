//! The model of a repository: a model folder, a `.keras` in a folder as Keras pushes it, or a file of Keras's or PyTorch's.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::de::IgnoredAny;

use super::some_of;
use crate::checkpoint::{CONFIG_FILE, HISTORY_FILE, OPTIMIZER_FILE, TOKENIZER_FILE, WEIGHTS_FILE};
use crate::formats::read_text;
use crate::hub::{Address, Hub, Kind, Listing};
use crate::{Error, Result};

/// What of a model folder is wanted. Of Keras's files all is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Layers and recipe.
    Recipe,
    /// The figures of its training.
    History,
    /// Layers, weights and vocabulary.
    Model,
    /// Whatever a training left.
    Everything,
}

/// A model in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundModel {
    /// The folder or the file.
    pub path: PathBuf,
    /// The commit that it is of.
    pub commit: String,
    /// Why it may be an old one, where the Hub did not answer.
    pub is_old: Option<String>,
}

/// What Keras's own form of a folder holds beside the configuration.
const METADATA: &str = "metadata.json";
const KERAS_WEIGHTS: &str = "model.weights.h5";

/// Finds the model that an address names, and brings its files into the cache: those alone that are needed.
///
/// # Errors
/// [`Error::Network`] where the repository cannot be reached or does not hold one model, in a line that says what it holds;
/// [`Error::Argument`] for the address of a data set.
pub fn find_model(
    hub: &Hub,
    address: &Address,
    needed: Needed,
    report: &mut dyn FnMut(&str),
) -> Result<FoundModel> {
    if address.kind != Kind::Model {
        return Err(Error::argument(address.to_string(), "is a data set; a model is hf://OWNER/NAME"));
    }
    let listing = hub.list(address)?;
    let repository = Repository { hub, address, listing: &listing };
    let path = repository.model(needed, report)?;
    Ok(FoundModel { path, commit: listing.commit.clone(), is_old: listing.is_old.clone() })
}

struct Repository<'a> {
    hub: &'a Hub,
    address: &'a Address,
    listing: &'a Listing,
}

/// Whose `config.json` it is.
enum Config {
    Own,
    Keras,
    Foreign(&'static str),
}

impl Repository<'_> {
    fn has(&self, name: &str) -> bool {
        self.listing.files.iter().any(|file| file == name)
    }

    fn fail(&self, what: impl std::fmt::Display) -> Error {
        Error::network(format!("{}: {what}", self.address))
    }

    fn get(&self, names: &[&str], report: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>> {
        self.hub.fetch(self.address, self.listing, names, report)
    }

    fn model(&self, needed: Needed, report: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        let path = &self.address.path;
        if !path.is_empty() && self.has(path) {
            return self.file(path, report);
        }
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let within: Vec<&str> =
            self.listing.files.iter().filter_map(|name| name.strip_prefix(&prefix)).collect();
        if within.is_empty() {
            let all: Vec<&str> = self.listing.files.iter().map(String::as_str).collect();
            return Err(match path.as_str() {
                "" => self.fail("holds no files"),
                _ => self.fail(format!("there is no such file or folder; there are {}", some_of(&all))),
            });
        }
        let mut foreign = None;
        if within.contains(&CONFIG_FILE) {
            match self.config(&prefix, report)? {
                Config::Foreign(what) => foreign = Some(what),
                Config::Own => return self.folder(&prefix, &own(&within, needed), report),
                Config::Keras => return self.folder(&prefix, &unpacked(&within), report),
            }
        }
        let ending = |endings: &[&str]| -> Vec<&str> {
            let lower = |name: &str| name.to_lowercase();
            let all = within.iter().copied().filter(|name| {
                endings.iter().any(|ending| lower(name).ends_with(ending))
                    && !lower(name).ends_with(".weights.h5")
            });
            let (top, deep): (Vec<&str>, Vec<&str>) = all.partition(|name| !name.contains('/'));
            if top.is_empty() { deep } else { top }
        };
        let mut found = ending(&[".keras"]);
        if found.is_empty() {
            found = ending(&[".h5", ".hdf5"]);
        }
        match (found.as_slice(), foreign) {
            ([name], _) => self.file(&format!("{prefix}{name}"), report),
            ([first, ..], _) => Err(self.fail(format!(
                "holds several models: {}; name one: {}",
                some_of(&found),
                Address { path: format!("{prefix}{first}"), ..self.address.clone() }
            ))),
            ([], Some(what)) => Err(self.fail(what)),
            ([], None) if within.contains(&"saved_model.pb") => Err(self.fail(
                "is a TensorFlow SavedModel, which is not read; save the model with Keras's `model.save(\"NAME.keras\")`",
            )),
            ([], None) => Err(self.fail(format!(
                "holds no model: no model folder, no .keras and no .h5; it holds {}",
                some_of(&within)
            ))),
        }
    }

    fn file(&self, name: &str, report: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        let mut paths = self.get(&[name], report)?;
        paths.pop().ok_or_else(|| self.fail("there is no such file"))
    }

    /// Brings these files of a folder.
    fn folder(&self, prefix: &str, names: &[&str], report: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        let names: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
        self.get(&names.iter().map(String::as_str).collect::<Vec<_>>(), report)?;
        Ok(self.hub.folder(self.address, self.listing)?.join(prefix.trim_end_matches('/')))
    }

    /// Whose `config.json` it is: nobody wants to wait for the weights to learn that.
    fn config(&self, prefix: &str, report: &mut dyn FnMut(&str)) -> Result<Config> {
        let path = self.file(&format!("{prefix}{CONFIG_FILE}"), report)?;
        let text = read_text(&path)?;
        let fields = serde_json::from_str::<HashMap<String, IgnoredAny>>(&text).unwrap_or_default();
        let has = |name: &str| fields.contains_key(name);
        Ok(match () {
            () if has("class_name") => Config::Keras,
            () if has("model") => Config::Own,
            () if has("model_type") || has("architectures") => {
                Config::Foreign("is a model of the library Transformers, which is not read")
            }
            () => Config::Foreign("its config.json is no model's: neither a model folder's nor Keras's"),
        })
    }
}

/// The files of a model folder that are needed.
fn own<'a>(within: &[&'a str], needed: Needed) -> Vec<&'a str> {
    let wanted: &[&str] = match needed {
        Needed::Recipe => &[CONFIG_FILE],
        Needed::History => &[CONFIG_FILE, HISTORY_FILE],
        Needed::Model => &[CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE],
        Needed::Everything => &[CONFIG_FILE, TOKENIZER_FILE, HISTORY_FILE, WEIGHTS_FILE, OPTIMIZER_FILE],
    };
    within.iter().copied().filter(|name| wanted.contains(name)).collect()
}

/// The files of a `.keras` in a folder.
fn unpacked<'a>(within: &[&'a str]) -> Vec<&'a str> {
    let is_wanted = |name: &str| {
        [CONFIG_FILE, METADATA, KERAS_WEIGHTS].contains(&name)
            || name.starts_with("assets/") && name.ends_with("/vocabulary.txt")
    };
    within.iter().copied().filter(|name| is_wanted(name)).collect()
}

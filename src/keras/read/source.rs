//! Where the parts of a model lie: the architecture, and the arrays.

use super::assets::{Assets, group_of};
use super::container::{Kind, foreign_json, sniff_whole};
use super::dialect::Version;
use super::hdf5::Hdf5;
use super::{archive, within};
use crate::formats::file::read_bytes;
use crate::formats::torch;
use crate::keras::hard_sigmoid::{HardSigmoid, KEY as HARD_SIGMOID};
use crate::layers::ModelConfig;
use crate::{Error, Result, json};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::path::Path;

/// An architecture as some version of Keras wrote it.
pub(super) struct Architecture {
    pub model: Value,
    pub version: Version,
    /// Vocabularies that stand beside it.
    pub assets: Assets,
}

/// Where the arrays are.
pub(super) enum Arrays {
    Hdf5(Hdf5),
    /// The bytes of a safetensors file.
    Safetensors(Vec<u8>),
    /// The bytes of a PyTorch file.
    Torch(Vec<u8>),
    None,
}

impl Arrays {
    /// What to say of arrays that no architecture came with.
    pub fn alone(&self) -> &'static str {
        let file = match self {
            Self::Hdf5(file) => file,
            Self::Torch(_) => {
                return "is a PyTorch file, which holds no architecture that can be read; give one with \
                        `keras::Options::config`: a config.json, or what Keras's model.to_json() gave";
            }
            Self::Safetensors(_) | Self::None => return WEIGHTS_ONLY,
        };
        match file.children("") {
            // Only whole models have that group.
            Ok(children) if children.iter().any(|name| name == "model_weights") => {
                "is a whole model whose attribute model_config, the architecture, is damaged or was taken out; download or \
                 copy the file again, or give the architecture with `keras::Options::config`"
            }
            Ok(children) if !children.is_empty() => WEIGHTS_ONLY,
            _ => {
                "holds neither an architecture nor weights that can be found; is it damaged, or another kind of HDF5 file?"
            }
        }
    }

    /// The function of that name that they were made for, where the file says it or at least which Keras wrote it.
    pub fn hard_sigmoid(&self) -> std::result::Result<Option<HardSigmoid>, String> {
        match self {
            Self::Hdf5(file) => {
                let root = file.attributes("")?;
                if let Some(formula) = root.text(HARD_SIGMOID) {
                    return Ok(HardSigmoid::from_formula(formula));
                }
                let version = root.text("keras_version").and_then(Version::parse);
                Ok(version.map(|version| HardSigmoid::of_major(version.major)))
            }
            Self::Safetensors(bytes) => {
                let metadata =
                    SafeTensors::read_metadata(bytes).ok().and_then(|(_, header)| header.metadata().clone());
                let formula = metadata.as_ref().and_then(|metadata| metadata.get(HARD_SIGMOID));
                Ok(formula.and_then(|formula| HardSigmoid::from_formula(formula)))
            }
            Self::Torch(_) | Self::None => Ok(None),
        }
    }
}

const WEIGHTS_ONLY: &str = "holds weights without an architecture; give the architecture with \
    `keras::Options::config`: what Keras's model.to_json() gave, a config.json, or another file of the same model";

/// Takes a file apart.
pub(super) fn open(path: &Path) -> Result<(Option<Architecture>, Arrays)> {
    let fail = |what: String| Error::file(path, what);
    if path.is_dir() {
        return open_folder(path);
    }
    let bytes = read_bytes(path)?;
    match sniff_whole(&bytes).map_err(fail)? {
        Kind::Hdf5 => {
            let file = Hdf5::open(bytes).map_err(fail)?;
            Ok((embedded(&file).map_err(fail)?, Arrays::Hdf5(file)))
        }
        Kind::Torch => Ok((None, Arrays::Torch(bytes))),
        Kind::Zip if torch::is_archive(&bytes) => Ok((None, Arrays::Torch(bytes))),
        Kind::Zip => {
            let archive::Members { config, metadata, weights, assets } = archive::unpack(path, &bytes)?;
            let own = unpacked(&config, metadata.as_deref()).map_err(fail)?;
            let own = Architecture { assets, ..own };
            Ok((Some(own), Arrays::Hdf5(Hdf5::open(weights).map_err(fail)?)))
        }
        Kind::Safetensors => Ok((None, Arrays::Safetensors(bytes))),
        Kind::Json => Ok((Some(from_json(&bytes).map_err(fail)?), Arrays::None)),
    }
}

/// The architecture alone.
pub(super) fn architecture(path: &Path) -> Result<Architecture> {
    let (own, arrays) = open(path)?;
    own.ok_or_else(|| Error::file(path, arrays.alone()))
}

/// An architecture in memory.
pub(super) fn in_memory(config: &ModelConfig) -> Result<Architecture> {
    let model = serde_json::to_value(config).map_err(|error| Error::argument("model config", error))?;
    Ok(own_or(model, Version::guess(&Value::Null)))
}

/// The members of a `.keras` in a folder, as they lie on the Hugging Face Hub.
fn open_folder(path: &Path) -> Result<(Option<Architecture>, Arrays)> {
    let read = |name: &str| read_bytes(&path.join(name));
    if path.join("saved_model.pb").is_file() {
        let what = "is a TensorFlow SavedModel, which is not read; save the model with Keras's \
                    `model.save(\"NAME.keras\")`";
        return Err(Error::file(path, what));
    }
    if !path.join("config.json").is_file() {
        return Err(Error::file(path, "is a folder without a config.json: it holds no model"));
    }
    let metadata = path.join("metadata.json").is_file().then(|| read("metadata.json")).transpose()?;
    let own = unpacked(&read("config.json")?, metadata.as_deref())
        .map_err(|what| within(&path.join("config.json"), Error::argument("", what)))?;
    let arrays = match path.join("model.weights.h5").is_file() {
        true => {
            let file = Hdf5::open(read("model.weights.h5")?);
            Arrays::Hdf5(file.map_err(|what| Error::file(path.join("model.weights.h5"), what))?)
        }
        false => Arrays::None,
    };
    let own = Architecture { assets: unpacked_assets(&path.join("assets"))?, ..own };
    Ok((Some(own), arrays))
}

/// The vocabularies in a folder of unpacked assets. Links to folders are not followed; those to files are, for the Hub's cache is
/// made of them.
fn unpacked_assets(folder: &Path) -> Result<Assets> {
    const MOST: usize = 1 << 12;
    let mut assets = Assets::new();
    let mut folders = vec![folder.to_path_buf()];
    let mut seen = 0;
    while let Some(within) = folders.pop() {
        for entry in std::fs::read_dir(&within).into_iter().flatten().flatten() {
            seen += 1;
            let (path, kind) =
                (entry.path(), entry.file_type().map_err(|error| Error::io(entry.path(), error))?);
            if seen > MOST {
                return Err(Error::file(folder, format!("holds more than {MOST} files")));
            }
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            match group_of(&format!("assets/{name}")) {
                Some(group) if path.is_file() => {
                    assets.insert(group.into(), read_bytes(&path)?);
                }
                _ if kind.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    Ok(assets)
}

/// The architecture in the attributes of an HDF5 file.
fn embedded(file: &Hdf5) -> std::result::Result<Option<Architecture>, String> {
    let attributes = file.attributes("")?;
    if !attributes.has("model_config") {
        return Ok(None);
    }
    let config = attributes
        .text("model_config")
        .ok_or("its attribute model_config is no text; is the file damaged?")?;
    let model = parse(config.as_bytes(), "its attribute model_config")?;
    let said = attributes.text("keras_version").and_then(Version::parse);
    let version = said.unwrap_or_else(|| Version::guess(&model));
    Ok(Some(Architecture { model, version, assets: Assets::new() }))
}

/// The architecture of a `.keras`.
fn unpacked(config: &[u8], metadata: Option<&[u8]>) -> std::result::Result<Architecture, String> {
    let model = parse(config, "its config.json")?;
    let metadata = metadata.map(|metadata| parse(metadata, "its metadata.json")).transpose()?;
    let said = metadata.as_ref().and_then(|metadata| metadata.get("keras_version")?.as_str());
    let version = said.and_then(Version::parse).unwrap_or_else(|| Version::guess(&model));
    Ok(own_or(model, version))
}

/// The architecture in a file of JSON: Keras's `to_json`, or a `config.json` of this crate.
fn from_json(bytes: &[u8]) -> std::result::Result<Architecture, String> {
    if let Some(what) = std::str::from_utf8(bytes).ok().and_then(foreign_json) {
        return Err(what.into());
    }
    let model = parse(bytes, "it")?;
    let said = model.get("keras_version").and_then(Value::as_str).and_then(Version::parse);
    let version = said.unwrap_or_else(|| Version::guess(&model));
    Ok(own_or(model, version))
}

/// An architecture in this crate's form.
pub(super) fn own_form(model: Value) -> Architecture {
    own_or(model, Version::guess(&Value::Null))
}

/// This crate's own configurations are Keras 3's without what has no effect.
fn own_or(model: Value, version: Version) -> Architecture {
    let own = model.get("model").or(Some(&model)).filter(|model| {
        model.get("class_name").is_none() && model.get("layers").is_some_and(Value::is_array)
    });
    match own {
        Some(own) => {
            let class = if own.get("input_layers").is_some() { "Functional" } else { "Sequential" };
            let model = json!({ "class_name": class, "config": own });
            let version = Version { major: 3, minor: None, own: true, text: "3".into() };
            Architecture { model, version, assets: Assets::new() }
        }
        None => Architecture { model, version, assets: Assets::new() },
    }
}

/// JSON as Python writes it; `what` is for messages.
pub(super) fn parse(bytes: &[u8], what: &str) -> std::result::Result<Value, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{what} is not UTF-8 text"))?;
    // Python writes what JSON does not know.
    json::parse(text).or_else(|wrong| {
        json::parse(&python_numbers(text)).map_err(|_| format!("{what} {wrong}; is the file damaged?"))
    })
}

/// Python's `NaN`, `Infinity` and `-Infinity` outside of texts, as texts.
fn python_numbers(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    let mut rest = json;
    while let Some(c) = rest.chars().next() {
        if !in_text {
            let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| rest.starts_with(word));
            if let Some(word) = word {
                out.extend(['"'.into(), word.to_string(), '"'.into()]);
                rest = &rest[word.len()..];
                continue;
            }
        }
        match c {
            '"' if !escaped => in_text = !in_text,
            _ => {}
        }
        escaped = in_text && c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

//! Files of arrays, as the command line names them.

use anyhow::bail;
use candle_recurrent::formats::{self, Arrays, InputArray, read_suffixes, write_suffixes};
use std::path::{Path, PathBuf};

/// Parses the path of a file of arrays.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    with_suffix(text, &read_suffixes())
}

/// Parses the path of a file of answers.
pub(super) fn answer_path(text: &str) -> Result<PathBuf, String> {
    with_suffix(text, &write_suffixes())
}

fn with_suffix(text: &str, known: &[&str]) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
    if suffix.is_some_and(|suffix| known.contains(&suffix.as_str())) {
        return Ok(path);
    }
    match known.split_last() {
        Some((last, others)) => Err(format!("give a .{} or .{last}", others.join(", ."))),
        None => Err("no such file is known".into()),
    }
}

/// Reads the arrays for a model with these inputs.
pub(super) fn read(path: &Path, inputs: &[String]) -> anyhow::Result<Arrays> {
    if !path.try_exists().unwrap_or(true) {
        bail!("--input {}: there is no such file", path.display());
    }
    Ok(formats::read(path, inputs)?)
}

/// Reads the arrays for a model of which some inputs are of texts.
pub(super) fn read_mixed(path: &Path, inputs: &[String], texts: &[bool]) -> anyhow::Result<Vec<InputArray>> {
    if !path.try_exists().unwrap_or(true) {
        bail!("--input {}: there is no such file", path.display());
    }
    Ok(formats::read_mixed(path, inputs, texts)?)
}

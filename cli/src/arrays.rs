//! Files of arrays, as the command line names them.

use anyhow::bail;
use candle_recurrent::formats::{self, Arrays, InputArray, read_suffixes, write_suffixes};
use std::path::{Path, PathBuf};

/// Parses the path of a file of arrays.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    with_suffix(text, &read_suffixes(), &[])
}

/// Tables of texts, besides those that may be tables of numbers as well.
const TEXTS: [&str; 4] = ["jsonl", "ndjson", "json", "parquet"];

/// Parses the path of a file of arrays or texts.
pub(super) fn input_path(text: &str) -> Result<PathBuf, String> {
    with_suffix(text, &read_suffixes(), &TEXTS)
}

/// Parses the path of a file of answers to arrays or texts.
pub(super) fn output_path(text: &str) -> Result<PathBuf, String> {
    with_suffix(text, &write_suffixes(), &[&["tsv", "txt"], &TEXTS[..]].concat())
}

/// Refuses a path to which no arrays can be written.
pub(super) fn answer_path(path: &Path) -> Result<PathBuf, String> {
    with_suffix(&path.to_string_lossy(), &write_suffixes(), &[])
}

fn with_suffix(text: &str, known: &[&str], texts: &[&str]) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
    if suffix.is_some_and(|suffix| [known, texts].concat().contains(&suffix.as_str())) {
        return Ok(path);
    }
    let of_texts = if texts.is_empty() { "" } else { "; of texts a .csv, .tsv, .jsonl or .parquet" };
    match known.split_last() {
        Some((last, others)) => Err(format!("give a .{} or .{last}{of_texts}", others.join(", ."))),
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

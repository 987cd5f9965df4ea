//! Files of arrays, as the command line names them.

use super::hub;
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
    if hub::is_address(Path::new(text)) {
        // What it is shows when it is here.
        return Ok(text.into());
    }
    match packed_suffix(Path::new(text)).as_deref() {
        Some("csv" | "tsv" | "txt" | "jsonl" | "ndjson" | "json") => return Ok(text.into()),
        Some(_) => return Err("only a table of texts is read packed; unpack it first".into()),
        None => {}
    }
    if suffix(Path::new(text))
        .is_some_and(|it| ["zip", "bz2", "xz", "7z", "lz4", "tgz"].contains(&it.as_str()))
    {
        return Err(
            "is packed in a way that is not read here, which .gz and .zst are; unpack it first".into()
        );
    }
    with_suffix(text, &read_suffixes(), &TEXTS)
}

/// The ending of a file's name.
pub(super) fn suffix(path: &Path) -> Option<String> {
    path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase())
}

/// Of a file that is packed, the ending before that which says so: `csv` of `reviews.csv.gz`.
pub(super) fn packed_suffix(path: &Path) -> Option<String> {
    let is_packed = suffix(path).is_some_and(|suffix| ["gz", "zst"].contains(&suffix.as_str()));
    is_packed.then(|| suffix(Path::new(path.file_stem()?))).flatten()
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
    if suffix(&path).is_some_and(|suffix| [known, texts].concat().contains(&suffix.as_str())) {
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

//! Texts without labels from people's own files.

use super::labelled::{LONGEST, TEXTS, is_name};
use crate::formats::{Encoding, How, TextTable};
use crate::{Error, Result};
use std::path::PathBuf;

/// A file of texts, and which column holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextSource {
    /// The file.
    pub path: PathBuf,
    /// The column, by its name or its number from 1; found by the names' usual meaning where none is given.
    pub text_column: Option<String>,
    /// The encoding of the file; found out where it is not said.
    pub encoding: Option<Encoding>,
}

impl TextSource {
    /// Opens the file, and finds the column of the texts.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Cell`] where the file cannot be read or understood, [`Error::Argument`] for a column that
    /// is not there or cannot be told.
    pub fn open(&self) -> Result<(TextTable, usize)> {
        if self.path.is_dir() {
            return Err(Error::file(&self.path, "is a folder, expected a file"));
        }
        let table = TextTable::open(&self.path, How { encoding: self.encoding, ..How::plain(is_name) })?;
        let columns = table.columns();
        let all = || table.columns_in_words();
        let found = match &self.text_column {
            Some(name) => {
                let missing = || {
                    Error::argument(
                        "text_column",
                        format!("{} has no column {name:?}; it has {}", self.path.display(), all()),
                    )
                };
                Some(table.column(name).ok_or_else(missing)?)
            }
            None => {
                let is = |name: &str| columns.iter().position(|column| column.trim().to_lowercase() == name);
                let only = (columns.len() == 1).then_some(0);
                TEXTS.iter().find_map(|name| is(name)).or(only)
            }
        };
        let unknown = || {
            let what = format!(
                "which column of {} holds the texts cannot be told; name it: {}",
                self.path.display(),
                all()
            );
            Error::argument("text_column", what)
        };
        let column = found.ok_or_else(unknown)?;
        Ok((table, column))
    }

    /// The text of a row, or what is wrong with it.
    ///
    /// # Errors
    /// In words.
    pub fn usable(text: Option<&str>) -> std::result::Result<&str, String> {
        let text = text.unwrap_or("");
        let what = match text {
            _ if text.trim().is_empty() => "has no text",
            _ if text.contains('\0') => "holds a NUL character",
            _ if text.len() > LONGEST => "has a text of more than 16 MiB",
            _ => return Ok(text),
        };
        Err(what.into())
    }
}

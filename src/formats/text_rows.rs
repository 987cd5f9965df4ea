//! The rows of a table of texts, one after the other, with all that they hold.

use super::delimited::Records;
use super::encoding::Decoded;
use super::text_table::{Form, Lines, TextTable, cell, object, row_error, text};
use super::unpacked::Unpacked;
use crate::{Error, Result};
use serde_json::value::RawValue;

/// A row, of which one column is a text.
#[derive(Clone, Debug)]
pub struct TextRow {
    /// Its line, or its number from 1.
    pub number: usize,
    /// The text, if it has one, or what is wrong with the row.
    pub text: std::result::Result<Option<String>, String>,
    /// What else is written of it.
    pub(super) kept: Kept,
}

/// What a row is written from again.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Fields(csv::StringRecord),
    Line(String),
    /// The file that it comes from has it.
    Nothing,
}

/// Rows as they are read.
pub struct TextRows<'a> {
    table: &'a TextTable,
    column: usize,
    source: Source<'a>,
}

enum Source<'a> {
    Delimited(Records<Decoded<Unpacked>>),
    JsonLines(Lines<Decoded<Unpacked>>),
    JsonList(std::iter::Enumerate<std::slice::Iter<'a, Box<RawValue>>>),
    #[cfg(feature = "parquet")]
    Parquet(super::parquet::Column),
}

impl TextTable {
    /// The rows, whose texts are in this column.
    ///
    /// # Errors
    /// [`Error::File`] for what has no rows to be written again: fastText's lines, a folder.
    pub fn rows(&self, column: usize) -> Result<TextRows<'_>> {
        let source = match &self.form {
            Form::Delimited { coding, dialect } => Source::Delimited(self.records(*coding, *dialect)?),
            Form::JsonLines(coding) => Source::JsonLines(Lines::new(text(&self.path, *coding)?)),
            Form::JsonList(items) => Source::JsonList(items.iter().enumerate()),
            #[cfg(feature = "parquet")]
            Form::Parquet(places) => {
                Source::Parquet(super::parquet::Column::open(&self.path, places[column])?)
            }
            Form::FastText(_) | Form::Folder(_) => {
                let what = "is no table of texts; give separated columns, JSON or Parquet, or the texts themselves as lines \
                            on standard input";
                return Err(Error::file(&self.path, what));
            }
        };
        Ok(TextRows { table: self, column, source })
    }
}

impl TextRows<'_> {
    /// The next row.
    ///
    /// # Errors
    /// [`Error::File`] where nothing more can be read.
    pub fn read(&mut self) -> Result<Option<TextRow>> {
        let table = self.table;
        let fail = |error| row_error(&table.path, error);
        Ok(match &mut self.source {
            Source::Delimited(records) => records.next().map_err(fail)?.map(|record| {
                let text =
                    table.check(record.fields).map(|()| record.fields.get(self.column).map(String::from));
                TextRow { number: record.line, text, kept: Kept::Fields(record.fields.clone()) }
            }),
            Source::JsonLines(lines) => {
                lines.next().map_err(fail)?.map(|(number, line)| of_object(table, self.column, number, line))
            }
            Source::JsonList(items) => {
                items.next().map(|(at, item)| of_object(table, self.column, at + 1, item.get()))
            }
            #[cfg(feature = "parquet")]
            Source::Parquet(column) => {
                column.next()?.map(|(number, text)| TextRow { number, text, kept: Kept::Nothing })
            }
        })
    }
}

/// The row of an object of JSON.
fn of_object(table: &TextTable, column: usize, number: usize, line: &str) -> TextRow {
    let found = object(line);
    let kept = if found.is_ok() { Kept::Line(line.into()) } else { Kept::Nothing };
    let text = found.and_then(|object| {
        let text = cell(object.get(&table.columns()[column]), false)?;
        Ok(text.map(std::borrow::Cow::into_owned))
    });
    TextRow { number, text, kept }
}

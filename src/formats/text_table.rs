//! Tables of texts, a file or folder each: CSV and its kin, JSON a line or as a list, fastText's lines, Parquet, a folder a
//! class.

use super::delimited::{Dialect, OnRow, has_names};
use super::encoding::{Encoding, decode};
use super::file::check_regular;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// A table of texts in columns.
pub struct TextTable {
    path: PathBuf,
    form: Form,
    columns: Vec<String>,
    has_names: bool,
    /// The first rows.
    sample: Vec<Vec<String>>,
    found: String,
    how: How,
}

/// How a table is to be read.
#[derive(Clone, Copy)]
pub struct How {
    /// Knows names that columns often have.
    pub is_name: fn(&str) -> bool,
    /// Whether the second of the columns that are asked for may hold lists, which are then given as JSON.
    pub lists: bool,
    /// The encoding of the file's text; found out where there is none.
    pub encoding: Option<Encoding>,
}

enum Form {
    Delimited {
        text: String,
        dialect: Dialect,
    },
    JsonLines(String),
    /// A list of objects.
    JsonList(Vec<Map<String, Value>>),
    FastText(String),
    /// The files, each with its class.
    Folder(Vec<(String, PathBuf)>),
    /// The columns' places in the file.
    #[cfg(feature = "parquet")]
    Parquet(Vec<usize>),
}

/// So many rows tell what the columns are like.
const SAMPLE: usize = 100;

/// What fastText puts before a label.
const LABEL: &str = "__label__";

impl TextTable {
    /// Opens a file or a folder and finds out what it is.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Cell`] where it cannot be read, is empty, is no text, or has a quote that never closes.
    pub fn open(path: &Path, how: How) -> Result<Self> {
        let table = |form, columns: Vec<String>, found: &str| Self {
            path: path.into(),
            form,
            columns,
            has_names: true,
            sample: vec![],
            found: found.into(),
            how,
        };
        let fixed = || vec!["label".to_string(), "text".to_string()];
        if path.is_dir() {
            let files = folder(path)?;
            if files.is_empty() {
                let what = "holds no classes; expected a sub-folder a class with .txt files in it";
                return Err(Error::file(path, what));
            }
            return Ok(table(Form::Folder(files), fixed(), "a folder a class"));
        }
        check_regular(path)?;
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        if bytes.starts_with(b"PAR1") {
            #[cfg(feature = "parquet")]
            {
                let columns = super::parquet::columns(&super::parquet::open(path)?, how.lists);
                let (places, names): (Vec<usize>, Vec<String>) = columns.into_iter().unzip();
                return Ok(table(Form::Parquet(places), names, "Parquet"));
            }
            #[cfg(not(feature = "parquet"))]
            return Err(Error::file(path, "this build cannot read Parquet files (feature `parquet`)"));
        }
        let (text, encoding) = decode(bytes, how.encoding).map_err(|what| Error::file(path, what))?;
        let Some(first) = text.lines().find(|line| !line.trim().is_empty()) else {
            return Err(Error::file(path, "is empty; expected rows of a text and a label"));
        };
        let first = first.trim_start();
        if first.starts_with(LABEL) {
            let found = format!("fastText, {encoding}");
            return Ok(table(Form::FastText(text), fixed(), &found));
        }
        if first.starts_with('{') {
            let objects = text.lines().take(SAMPLE).filter_map(|line| serde_json::from_str(line).ok());
            let columns = keys(&objects.collect::<Vec<_>>());
            let found = format!("JSON lines, {encoding}");
            return Ok(table(Form::JsonLines(text), columns, &found));
        }
        if first.strip_prefix('[').is_some_and(|rest| rest.is_empty() || rest.trim_start().starts_with('{')) {
            let items: Vec<Map<String, Value>> = serde_json::from_str(&text)
                .map_err(|error| Error::file(path, format!("is no JSON list of objects: {error}")))?;
            let columns = keys(&items[..items.len().min(SAMPLE)]);
            let found = format!("a JSON list, {encoding}");
            return Ok(table(Form::JsonList(items), columns, &found));
        }
        Self::delimited(path, text, encoding, how)
    }

    fn delimited(path: &Path, text: String, encoding: &str, how: How) -> Result<Self> {
        let is_name = how.is_name;
        let dialect = Dialect::find(&text, is_name).map_err(|(line, what)| Error::Cell {
            path: path.into(),
            line,
            column: None,
            what,
        })?;
        let mut sample: Vec<Vec<String>> = vec![];
        dialect.for_each(&text, &mut |record| {
            sample.push(record.fields.iter().map(String::from).collect());
            sample.len() < SAMPLE
        });
        let has_names = has_names(&sample, is_name);
        let width = sample.first().map_or(0, Vec::len);
        let columns = match has_names {
            true => sample.remove(0).into_iter().map(|name| name.trim().to_string()).collect(),
            false => (1..=width).map(|number| number.to_string()).collect(),
        };
        let names = if has_names { "a line of names" } else { "no line of names" };
        let quotes = if dialect.quotes { "" } else { "quotes are part of the texts, " };
        let separator = dialect.in_words();
        let found = format!("separated by {separator}, {names}, {quotes}{encoding}");
        Ok(Self {
            path: path.into(),
            form: Form::Delimited { text, dialect },
            columns,
            has_names,
            sample,
            found,
            how,
        })
    }

    /// The columns' names; their numbers from 1 where the file has no names.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Whether the columns have names.
    pub fn has_names(&self) -> bool {
        self.has_names
    }

    /// Of a column, how long its first texts are, in characters; none where that is not known.
    pub fn length(&self, column: usize) -> Option<usize> {
        let fields: Vec<&String> = self.sample.iter().filter_map(|row| row.get(column)).collect();
        let all: usize = fields.iter().map(|field| field.chars().count()).sum();
        (!fields.is_empty()).then(|| all / fields.len())
    }

    /// Whether the first rows of a column hold numbers, or nothing; none where that is not known.
    pub fn is_numeric(&self, column: usize) -> Option<bool> {
        let fields = || self.sample.iter().filter_map(|row| row.get(column)).map(|field| field.trim());
        let is_number = |field: &str| field.is_empty() || field.parse::<f64>().is_ok();
        (!self.sample.is_empty()).then(|| fields().all(is_number) && fields().any(|field| !field.is_empty()))
    }

    /// What the file was found to be.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// How a row is named: by its line, its number or its file.
    pub fn place(&self, row: usize) -> String {
        match &self.form {
            Form::Delimited { .. } | Form::JsonLines(_) | Form::FastText(_) => format!("line {row}"),
            Form::Folder(files) => match files.get(row.wrapping_sub(1)) {
                Some((_, path)) => path.strip_prefix(&self.path).unwrap_or(path).display().to_string(),
                None => format!("file {row}"),
            },
            Form::JsonList(_) => format!("item {row}"),
            #[cfg(feature = "parquet")]
            Form::Parquet(_) => format!("row {row}"),
        }
    }

    /// Goes over the rows, with the fields of these columns. A row that cannot be read is handed on with what is wrong.
    ///
    /// # Errors
    /// Where the file as a whole cannot be read.
    pub(crate) fn for_each(&self, columns: &[usize], on: OnRow) -> Result<()> {
        match &self.form {
            Form::Delimited { text, dialect } => {
                let width = self.columns.len();
                let mut is_first = self.has_names;
                dialect.for_each(text, &mut |record| {
                    if std::mem::take(&mut is_first) {
                        return true;
                    }
                    let fields = record.fields;
                    if fields.len() != width {
                        let what = format!("has {}, expected {width}", counted(fields.len(), "field"));
                        on(record.line, Err(what));
                        return true;
                    }
                    let asked: Vec<Option<&str>> = columns.iter().map(|&column| fields.get(column)).collect();
                    on(record.line, Ok(&asked));
                    true
                });
                Ok(())
            }
            Form::JsonLines(text) => {
                for (line, row) in lines(text) {
                    match serde_json::from_str::<Map<String, Value>>(row) {
                        Ok(object) => self.object(&object, columns, line, on),
                        Err(error) => on(line, Err(format!("is no JSON object: {error}"))),
                    }
                }
                Ok(())
            }
            Form::FastText(text) => {
                for (line, row) in lines(text) {
                    match fasttext(row, self.how.lists) {
                        Ok((label, text)) => on(line, Ok(&pick(&[label.as_deref(), Some(text)], columns))),
                        Err(what) => on(line, Err(what)),
                    }
                }
                Ok(())
            }
            Form::JsonList(items) => {
                for (item, object) in (1..).zip(items) {
                    self.object(object, columns, item, on);
                }
                Ok(())
            }
            Form::Folder(files) => {
                for (row, (class, path)) in (1..).zip(files) {
                    let text = std::fs::read(path).map_err(|error| error.to_string());
                    let text = text.and_then(|bytes| decode(bytes, self.how.encoding));
                    match &text {
                        Ok((text, _)) => on(row, Ok(&pick(&[Some(class.as_str()), Some(text)], columns))),
                        Err(what) => on(row, Err(what.clone())),
                    }
                }
                Ok(())
            }
            #[cfg(feature = "parquet")]
            Form::Parquet(places) => {
                let columns: Vec<usize> = columns.iter().map(|&column| places[column]).collect();
                super::parquet::for_each(&self.path, &columns, on)
            }
        }
    }

    /// Hands on fields of an object, the second of which may be a list of labels.
    fn object(&self, object: &Map<String, Value>, columns: &[usize], row: usize, on: OnRow) {
        let field = |(at, column): (usize, &usize)| {
            cell(object.get(&self.columns[*column]), self.how.lists && at == 1)
        };
        match columns.iter().enumerate().map(field).collect::<std::result::Result<Vec<_>, _>>() {
            Err(what) => on(row, Err(what.to_string())),
            Ok(cells) => on(row, Ok(&cells.iter().map(Option::as_deref).collect::<Vec<_>>())),
        }
    }
}

/// The keys that objects have, in the order in which they come.
fn keys(objects: &[Map<String, Value>]) -> Vec<String> {
    let mut keys: Vec<String> = vec![];
    for object in objects {
        let new: Vec<String> = object.keys().filter(|key| !keys.contains(key)).cloned().collect();
        keys.extend(new);
    }
    keys
}

/// The cells of these columns.
fn pick<'a>(cells: &[Option<&'a str>; 2], columns: &[usize]) -> Vec<Option<&'a str>> {
    columns.iter().map(|&column| cells.get(column).copied().flatten()).collect()
}

/// `2 fields`, `1 field`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The lines that are not blank, by their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty())
}

/// A value of JSON as text; a list, where it may be one, as JSON.
fn cell(value: Option<&Value>, lists: bool) -> std::result::Result<Option<Cow<'_, str>>, &'static str> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.into())),
        Some(list @ Value::Array(_)) if lists => Ok(Some(list.to_string().into())),
        Some(Value::Array(_)) => Err("holds a list, expected a text or a number"),
        Some(Value::Object(_)) => Err("holds an object, expected a text or a number"),
        Some(other) => Ok(Some(other.to_string().into())),
    }
}

/// The label and the text of a line of fastText's; the labels, where there may be several, as a list of JSON.
fn fasttext(line: &str, lists: bool) -> std::result::Result<(Option<Cow<'_, str>>, &str), String> {
    let (mut labels, mut rest) = (vec![], line.trim());
    while let Some(after) = rest.trim_start().strip_prefix(LABEL) {
        let (label, text) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
        labels.push(label);
        rest = text;
    }
    match labels.as_slice() {
        labels if lists => Ok((Some(Value::from(labels.to_vec()).to_string().into()), rest)),
        [] => Ok((None, rest)),
        [label] => Ok((Some((*label).into()), rest)),
        labels => Err(format!("has {} labels, expected one", labels.len())),
    }
}

/// The `.txt` files of the sub-folders, by the sub-folders' names, sorted.
fn folder(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = |folder: &Path| -> Result<Vec<PathBuf>> {
        let fail = |error| Error::io(folder, error);
        let entries = std::fs::read_dir(folder).map_err(fail)?.map(|entry| entry.map(|entry| entry.path()));
        let mut entries = entries.collect::<std::io::Result<Vec<_>>>().map_err(fail)?;
        entries.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
        Ok(entries)
    };
    let mut files = vec![];
    for class in entries(path)?.into_iter().filter(|path| path.is_dir()) {
        let name = class.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let texts =
            entries(&class)?.into_iter().filter(|path| path.extension().is_some_and(|it| it == "txt"));
        files.extend(texts.map(|path| (name.clone(), path)));
    }
    Ok(files)
}

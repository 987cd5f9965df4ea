//! Tables of texts, a file or folder each: CSV and its kin, JSON a line or as a list, fastText's lines, Parquet, a folder a
//! class.

use super::delimited::{Dialect, Fault as Separation, OnRow, Records, has_names};
use super::encoding::{Coding, Decoded, Encoding, Fault, LONGEST, decode};
use super::file::{cause, check_regular};
use super::unpacked::Unpacked;
use crate::{Error, Result};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A table of texts in columns, which is read row by row.
pub struct TextTable {
    pub(super) path: PathBuf,
    pub(super) form: Form,
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

impl How {
    /// A table of texts and numbers alone, whose encoding is found out.
    pub fn plain(is_name: fn(&str) -> bool) -> Self {
        Self { is_name, lists: false, encoding: None }
    }
}

pub(super) enum Form {
    Delimited {
        coding: Coding,
        dialect: Dialect,
    },
    JsonLines(Coding),
    /// The objects of a list, as they stand there.
    JsonList(Vec<Box<RawValue>>),
    FastText(Coding),
    /// The files, each with its class.
    Folder(Vec<(String, PathBuf)>),
    /// The columns' places in the file.
    #[cfg(feature = "parquet")]
    Parquet(Vec<usize>),
}

/// So many rows tell what the columns are like.
const SAMPLE: usize = 100;

/// As much of a file's beginning tells what it is, and how it is separated.
const BEGINNING: usize = 1 << 18;

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
        let fail = |error| Error::io(path, error);
        let mut mark = [0; 4];
        let marked = File::open(path).map_err(fail)?.read_exact(&mut mark).is_ok() && mark == *b"PAR1";
        if marked {
            #[cfg(feature = "parquet")]
            {
                let columns = super::parquet::columns(&super::parquet::open(path)?, how.lists);
                let (places, names): (Vec<usize>, Vec<String>) = columns.into_iter().unzip();
                return Ok(table(Form::Parquet(places), names, "Parquet"));
            }
            #[cfg(not(feature = "parquet"))]
            return Err(Error::file(path, "this build cannot read Parquet files (feature `parquet`)"));
        }
        let packed = Unpacked::open(path).map_err(|error| row_error(path, error))?.packed_by();
        let coding = Coding::of(how.encoding, || Unpacked::open(path)).map_err(|fault| match fault {
            Fault::Io(error) => row_error(path, error),
            Fault::NoText(what) => Error::file(path, what),
        })?;
        let encoding = match packed {
            Some(packed) => format!("{}, packed by {packed}", coding.name()),
            None => coding.name().into(),
        };
        let mut lines = Lines::new(text(path, coding)?);
        let Some((_, first)) = lines.next().map_err(|error| row_error(path, error))? else {
            return Err(Error::file(path, "is empty; expected rows of a text and a label"));
        };
        let first = first.trim_start();
        if first.starts_with(LABEL) {
            let found = format!("fastText, {encoding}");
            return Ok(table(Form::FastText(coding), fixed(), &found));
        }
        if first.starts_with('{') {
            let mut objects = vec![];
            let mut lines = Lines::new(text(path, coding)?);
            for _ in 0..SAMPLE {
                let Some((_, line)) = lines.next().map_err(|error| row_error(path, error))? else { break };
                objects.extend(object(line).ok());
            }
            let columns = keys(&objects);
            let found = format!("JSON lines, {encoding}");
            return Ok(table(Form::JsonLines(coding), columns, &found));
        }
        if first.strip_prefix('[').is_some_and(|rest| rest.is_empty() || rest.trim_start().starts_with('{')) {
            if let Some(packed) = packed {
                // It is read into memory whole, and a small file can hold any number of objects.
                return Err(Error::file(path, format!("is a JSON list packed by {packed}; unpack it first")));
            }
            let items: Vec<Box<RawValue>> = serde_json::from_reader(BufReader::new(text(path, coding)?))
                .map_err(|error| Error::file(path, format!("is no JSON list of objects: {error}")))?;
            let first = items.iter().take(SAMPLE).filter_map(|item| object(item.get()).ok());
            let columns = keys(&first.collect::<Vec<_>>());
            let found = format!("a JSON list, {encoding}");
            return Ok(table(Form::JsonList(items), columns, &found));
        }
        Self::delimited(path, coding, how, &encoding)
    }

    /// Finds out how the columns are separated.
    fn delimited(path: &Path, coding: Coding, how: How, encoding: &str) -> Result<Self> {
        let is_name = how.is_name;
        let fail = |error| row_error(path, error);
        let sample = beginning(text(path, coding)?).map_err(fail)?;
        let open = || coding.read(Unpacked::open(path)?);
        let dialect = Dialect::find(&sample, open, is_name).map_err(|fault| match fault {
            Separation::Io(error) => fail(error),
            Separation::Line(line, what) => Error::Cell { path: path.into(), line, column: None, what },
        })?;
        let mut records = dialect.records(text(path, coding)?);
        let mut sample: Vec<Vec<String>> = vec![];
        while sample.len() < SAMPLE
            && let Some(record) = records.next().map_err(|error| row_error(path, error))?
        {
            sample.push(record.fields.iter().map(String::from).collect());
        }
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
        let form = Form::Delimited { coding, dialect };
        Ok(Self { path: path.into(), form, columns, has_names, sample, found, how })
    }

    /// The records of a delimited file, the names left out.
    pub(super) fn records(&self, coding: Coding, dialect: Dialect) -> Result<Records<Decoded<Unpacked>>> {
        let mut records = dialect.records(text(&self.path, coding)?);
        if self.has_names {
            records.next().map_err(|error| row_error(&self.path, error))?;
        }
        Ok(records)
    }

    /// The columns' names; their numbers from 1 where the file has no names.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The column of this name, or of this number from 1.
    pub fn column(&self, name: &str) -> Option<usize> {
        let number = || name.parse::<usize>().ok().filter(|number| (1..=self.columns.len()).contains(number));
        self.columns.iter().position(|column| column == name).or_else(|| number().map(|it| it - 1))
    }

    /// The first columns' names, for a message.
    pub fn columns_in_words(&self) -> String {
        const SHOWN: usize = 20;
        const LONGEST: usize = 40;
        let shorten = |name: &String| match name.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name.clone(),
        };
        self.columns.iter().take(SHOWN).map(shorten).collect::<Vec<_>>().join(", ")
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

    /// What the file was found to be.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// Whether a row has as many fields as there are columns.
    pub(super) fn check(&self, fields: &csv::StringRecord) -> std::result::Result<(), String> {
        match (fields.len(), self.columns.len()) {
            (found, width) if found == width => Ok(()),
            (found, width) => Err(format!("has {}, expected {width}", counted(found, "field"))),
        }
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
        let fail = |error| row_error(&self.path, error);
        match &self.form {
            Form::Delimited { coding, dialect } => {
                let mut records = self.records(*coding, *dialect)?;
                while let Some(record) = records.next().map_err(fail)? {
                    let asked =
                        || columns.iter().map(|&column| record.fields.get(column)).collect::<Vec<_>>();
                    match self.check(record.fields) {
                        Ok(()) => on(record.line, Ok(&asked())),
                        Err(what) => on(record.line, Err(what)),
                    }
                }
                Ok(())
            }
            Form::JsonLines(coding) => {
                let mut lines = Lines::new(text(&self.path, *coding)?);
                while let Some((line, row)) = lines.next().map_err(fail)? {
                    match object(row) {
                        Ok(object) => self.object(&object, columns, line, on),
                        Err(what) => on(line, Err(what)),
                    }
                }
                Ok(())
            }
            Form::JsonList(items) => {
                for (number, item) in (1..).zip(items) {
                    match object(item.get()) {
                        Ok(object) => self.object(&object, columns, number, on),
                        Err(what) => on(number, Err(what)),
                    }
                }
                Ok(())
            }
            Form::FastText(coding) => {
                let mut lines = Lines::new(text(&self.path, *coding)?);
                while let Some((line, row)) = lines.next().map_err(fail)? {
                    match fasttext(row, self.how.lists) {
                        Ok((label, text)) => on(line, Ok(&pick(&[label.as_deref(), Some(text)], columns))),
                        Err(what) => on(line, Err(what)),
                    }
                }
                Ok(())
            }
            Form::Folder(files) => {
                for (row, (class, path)) in (1..).zip(files) {
                    let text = match path.metadata() {
                        Ok(it) if !it.is_file() => Err("is no file but a folder, a device or a pipe".into()),
                        _ => std::fs::read(path).map_err(|error| cause(&error)),
                    };
                    match text.and_then(|bytes| decode(&bytes, self.how.encoding)) {
                        Ok((text, _)) => on(row, Ok(&pick(&[Some(class.as_str()), Some(&text)], columns))),
                        Err(what) => on(row, Err(what)),
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

/// A file's text.
pub(super) fn text(path: &Path, coding: Coding) -> Result<Decoded<Unpacked>> {
    let open = || coding.read(Unpacked::open(path)?);
    open().map_err(|error| row_error(path, error))
}

/// What is said of a row that cannot be read, whatever it is like: all that follow are lost with it.
pub(super) fn row_error(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::Other => Error::file(path, error.to_string()),
        _ => Error::io(path, error),
    }
}

/// The beginning of a text, to the end of a line where there is more.
fn beginning(text: impl Read) -> io::Result<String> {
    let mut bytes = vec![];
    text.take(BEGINNING as u64).read_to_end(&mut bytes)?;
    if bytes.len() == BEGINNING
        && let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n')
    {
        bytes.truncate(end);
    }
    // It is cut within a character only where the beginning is one line.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lines that are not blank, by their numbers.
pub(super) struct Lines<R> {
    text: BufReader<R>,
    line: String,
    number: usize,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(text: R) -> Self {
        Self { text: BufReader::with_capacity(1 << 16, text), line: String::new(), number: 0 }
    }

    /// The next one, without its end.
    pub(super) fn next(&mut self) -> io::Result<Option<(usize, &str)>> {
        loop {
            self.line.clear();
            let mut part = (&mut self.text).take(LONGEST as u64 + 1);
            if part.read_line(&mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.line.len() > LONGEST {
                let what = format!("line {} is longer than {} MiB", self.number, LONGEST >> 20);
                return Err(io::Error::other(what));
            }
            if !self.line.trim().is_empty() {
                let line = self.line.strip_suffix('\n').unwrap_or(&self.line);
                return Ok(Some((self.number, line.strip_suffix('\r').unwrap_or(line))));
            }
        }
    }
}

/// A line as an object of JSON.
pub(super) fn object(line: &str) -> std::result::Result<Map<String, Value>, String> {
    serde_json::from_str(line).map_err(|error| format!("is no JSON object: {error}"))
}

/// A value of JSON as text; a list, where it may be one, as JSON.
pub(super) fn cell(
    value: Option<&Value>,
    lists: bool,
) -> std::result::Result<Option<Cow<'_, str>>, &'static str> {
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

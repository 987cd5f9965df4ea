//! Files of measurements, read into a table.

use super::places::{Places, is_name, number};
use super::source::TableSource;
use super::table::{Columns, Table};
use crate::formats::{How, TextTable};
use crate::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The rows as they stand in the files.
#[derive(Default)]
pub(super) struct Raw {
    pub(super) lines: Lines,
    pub(super) values: Vec<f64>,
    pub(super) labels: Vec<String>,
    pub(super) times: Vec<String>,
    pub(super) groups: Vec<usize>,
    pub(super) names: Vec<String>,
    /// The numbers of the groups by their names.
    numbers: HashMap<String, usize>,
}

/// Where rows stand.
#[derive(Default)]
pub(super) struct Lines {
    files: Vec<PathBuf>,
    /// Of each row its file and its line there.
    rows: Vec<(usize, usize)>,
}

impl Lines {
    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn line(&self, row: usize) -> usize {
        self.rows.get(row).map_or(0, |(_, line)| *line)
    }

    pub(super) fn file(&self, row: usize) -> PathBuf {
        let number = self.rows.get(row).map_or(0, |(file, _)| *file);
        self.files.get(number).cloned().unwrap_or_default()
    }

    /// What is wrong with a row.
    pub(super) fn cell(&self, row: usize, what: String) -> Error {
        Error::Cell { path: self.file(row), line: self.line(row), column: None, what }
    }
}

impl TableSource {
    /// Reads the files: columns separated by commas, semicolons, tabs or bars, JSON lines, or Parquet.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Cell`] with the line where something cannot be read or used, [`Error::Argument`] for a column that
    /// is not there.
    pub fn read(&self) -> Result<Table> {
        let Some((first, rest)) = self.files.split_first() else {
            return Err(Error::Data("there is no file of measurements".into()));
        };
        let (mut raw, mut notes) = (Raw::default(), vec![]);
        let file = self.open(first)?;
        let places = Places::find(first, &file, &self.columns, &mut notes)?;
        places.read(first, &file, &mut raw)?;
        let name = |place: usize| file.columns()[place].clone();
        // The others have the same columns, wherever they stand.
        let same = Columns {
            numbers: places.numbers.iter().map(|&place| name(place)).collect(),
            label: places.label.map(name),
            time: places.time.map(name),
            group: places.group.map(name),
            finds_time: false,
            day_first: None,
        };
        for path in rest {
            let file = self.open(path)?;
            Places::find(path, &file, &same, &mut vec![])?.read(path, &file, &mut raw)?;
        }
        if raw.lines.count() == 0 {
            return Err(Error::file(first, "holds no rows"));
        }
        let own = || first.file_name().map_or_else(|| "data".into(), |it| it.to_string_lossy().into_owned());
        let own = self.name.clone().unwrap_or_else(own);
        let files = if rest.is_empty() { String::new() } else { format!("{} files, ", self.files.len()) };
        let found = format!("{own}: {files}{}; {} rows", file.found(), raw.lines.count());
        let time = same.time.iter().filter(|_| self.columns.time.is_none());
        let times = time.map(|time| format!("times are those of column {time:?}"));
        let notes = std::iter::once(found).chain(times).chain(notes).collect();
        let table = Table {
            name: own,
            columns: same.numbers,
            values: vec![],
            labels: vec![],
            groups: vec![],
            group_column: same.group,
            label_column: same.label,
            times: None,
            notes,
        };
        table.order(raw, same.time, self.columns.day_first, self.missing)
    }

    fn open(&self, path: &Path) -> Result<TextTable> {
        if path.is_dir() {
            return Err(Error::file(path, "is a folder, expected a file of measurements in columns"));
        }
        if !path.exists() {
            return Err(Error::file(path, "there is no such file"));
        }
        TextTable::open(path, How { encoding: self.encoding, ..How::plain(is_name) })
    }
}

impl Places {
    /// Adds the rows of a file.
    fn read(&self, path: &Path, file: &TextTable, raw: &mut Raw) -> Result<()> {
        let texts = [self.label, self.time, self.group];
        let columns: Vec<usize> = self.numbers.iter().copied().chain(texts.into_iter().flatten()).collect();
        raw.lines.files.push(path.into());
        let file_number = raw.lines.files.len() - 1;
        let mut wrong: Option<Error> = None;
        let mut take = |line: usize, fields: std::result::Result<&[Option<&str>], String>| -> Result<()> {
            let cell = |what: String| Error::Cell { path: path.into(), line, column: None, what };
            let fields = fields.map_err(cell)?;
            let (numbers, texts) = fields.split_at(self.numbers.len().min(fields.len()));
            for (field, &place) in numbers.iter().zip(&self.numbers) {
                let text = field.map_or("", str::trim);
                raw.values.push(number(text).map_err(|what| {
                    cell(format!("{text:?} in column {:?} {what}", file.columns()[place]))
                })?);
            }
            let mut texts = texts.iter().map(|text| text.map_or("", str::trim));
            let mut next = |of: Option<usize>| -> Result<Option<&str>> {
                let Some(place) = of else { return Ok(None) };
                match texts.next().unwrap_or_default() {
                    "" => Err(cell(format!("column {:?} is empty", file.columns()[place]))),
                    text => Ok(Some(text)),
                }
            };
            raw.labels.extend(next(self.label)?.map(String::from));
            raw.times.extend(next(self.time)?.map(String::from));
            let group = next(self.group)?.map_or(0, |name| match raw.numbers.get(name) {
                Some(group) => *group,
                None => {
                    raw.names.push(name.into());
                    *raw.numbers.entry(name.into()).or_insert(raw.names.len() - 1)
                }
            });
            raw.groups.push(group);
            raw.lines.rows.push((file_number, line));
            Ok(())
        };
        file.for_each(&columns, &mut |line, fields| {
            if wrong.is_none() {
                wrong = take(line, fields).err();
            }
        })?;
        wrong.map_or(Ok(()), Err)
    }
}

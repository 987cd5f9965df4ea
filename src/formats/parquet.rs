//! The columns of Parquet files.

use super::delimited::OnRow;
use crate::panics;
use crate::{Error, Result};
use parquet::column::reader::{ColumnReader, get_typed_column_reader};
use parquet::data_type::{ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescPtr;
use serde_json::Value;
use std::fs::File;
use std::path::Path;

/// Opens a file.
pub(crate) fn open(path: &Path) -> Result<SerializedFileReader<File>> {
    super::file::check_regular(path)?;
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    SerializedFileReader::new(file).map_err(|error| unreadable(path, error))
}

/// What is said of a file that is none, or not whole.
pub(crate) fn unreadable(path: &Path, error: ParquetError) -> Error {
    let what = format!("not a readable Parquet file ({error}); download or copy it again");
    Error::file(path, what).with_source(error)
}

/// The names of the columns, where `lists` says so with those of plain lists: (index, name).
pub(crate) fn columns(reader: &impl FileReader, lists: bool) -> Vec<(usize, String)> {
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let columns = schema.columns().iter().enumerate();
    let name =
        |(index, column): (usize, &ColumnDescPtr)| match (column.max_rep_level(), column.path().parts()) {
            (0, _) => Some((index, column.path().string())),
            // `labels.list.element` is the column `labels`.
            (1, [name, ..]) if lists => Some((index, name.clone())),
            _ => None,
        };
    columns.filter_map(name).collect()
}

/// The names of a file's fields, whatever they hold.
pub(super) fn fields(path: &Path) -> Result<Vec<String>> {
    let reader = open(path)?;
    Ok(reader
        .metadata()
        .file_metadata()
        .schema()
        .get_fields()
        .iter()
        .map(|field| field.name().into())
        .collect())
}

/// All values of a column of a row group; none where a row has no value.
pub(crate) fn values<T: DataType>(
    path: &Path,
    group: &dyn RowGroupReader,
    index: usize,
) -> Result<Vec<Option<T::T>>> {
    let wrong = |what: String| Error::file(path, what);
    let damaged = |error: ParquetError| {
        wrong(format!("damaged ({error}); download or copy it again")).with_source(error)
    };
    let column = group.metadata().column(index).column_descr_ptr();
    let rows = usize::try_from(group.metadata().num_rows())
        .map_err(|_| wrong("a negative number of rows".into()))?;
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(index).map_err(damaged)?);
    let (mut found, mut values, mut levels) = (Vec::new(), Vec::new(), Vec::new());
    let whole = column.max_def_level();
    while found.len() < rows {
        values.clear();
        levels.clear();
        let optional = (whole > 0).then_some(&mut levels);
        let (records, read, _) = reader
            .read_records((rows - found.len()).min(4096), optional, None, &mut values)
            .map_err(damaged)?;
        if records == 0 {
            return Err(wrong(format!("{rows} rows promised, {} found", found.len())));
        }
        let mut values = values.drain(..);
        match whole {
            0 => found.extend(values.by_ref().take(read).map(Some)),
            whole => {
                found.extend(levels.iter().map(|level| if *level == whole { values.next() } else { None }))
            }
        }
    }
    Ok(found)
}

/// A row's number from 1, and its text, if it has one, or what is wrong with it.
type TextOfRow = (usize, std::result::Result<Option<String>, String>);

/// A column of texts, a row group at a time.
pub(super) struct Column {
    path: std::path::PathBuf,
    reader: SerializedFileReader<File>,
    index: usize,
    /// The next row group.
    group: usize,
    row: usize,
    cells: std::vec::IntoIter<Cell>,
}

impl Column {
    pub(super) fn open(path: &Path, index: usize) -> Result<Self> {
        let reader = open(path)?;
        Ok(Self { path: path.into(), reader, index, group: 0, row: 0, cells: vec![].into_iter() })
    }

    /// The next row: its number from 1, and its text, if it has one, or what is wrong with it.
    pub(super) fn next(&mut self) -> Result<Option<TextOfRow>> {
        loop {
            if let Some(cell) = self.cells.next() {
                self.row += 1;
                return Ok(Some((self.row, cell.transpose())));
            }
            if self.group == self.reader.num_row_groups() {
                return Ok(None);
            }
            let (path, reader, group, index) = (&self.path, &self.reader, self.group, self.index);
            let read = panics::contain(|| {
                let group = reader.get_row_group(group).map_err(|error| unreadable(path, error))?;
                texts(path, group.as_ref(), index)
            });
            let read = read.unwrap_or_else(|| Err(Error::file(path, "damaged; download or copy it again")));
            self.cells = read?.into_iter();
            self.group += 1;
        }
    }
}

/// The values of some columns as text, row by row: `on` gets the row, counted from 1. A text that is not UTF-8 is given as
/// what is wrong.
pub(super) fn for_each(path: &Path, indices: &[usize], on: OnRow<'_>) -> Result<()> {
    let read = panics::contain(|| {
        let reader = open(path)?;
        let mut row = 0;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(|error| unreadable(path, error))?;
            let columns = indices.iter().map(|&index| texts(path, group.as_ref(), index));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            for at in 0..columns.iter().map(Vec::len).min().unwrap_or(0) {
                row += 1;
                match columns
                    .iter()
                    .map(|column| field(&column[at]))
                    .collect::<std::result::Result<Vec<_>, _>>()
                {
                    Ok(fields) => on(row, Ok(&fields)),
                    Err(what) => on(row, Err(what)),
                }
            }
        }
        Ok(())
    });
    // The parquet crate panics on some damaged files (version 60, definition levels of a wrong length).
    read.unwrap_or_else(|| Err(Error::file(path, "damaged; download or copy it again")))
}

/// A text, what is wrong with it, or nothing.
type Cell = Option<std::result::Result<String, String>>;

fn field(cell: &Cell) -> std::result::Result<Option<&str>, String> {
    match cell {
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(what)) => Err(what.clone()),
        None => Ok(None),
    }
}

fn texts(path: &Path, group: &dyn RowGroupReader, index: usize) -> Result<Vec<Cell>> {
    use parquet::data_type::{BoolType, DoubleType, FloatType, Int32Type, Int64Type};
    let reader = group.get_column_reader(index).map_err(|error| unreadable(path, error))?;
    match reader {
        ColumnReader::Int64ColumnReader(_) => cells::<Int64Type>(path, group, index, shown),
        ColumnReader::Int32ColumnReader(_) => cells::<Int32Type>(path, group, index, shown),
        ColumnReader::DoubleColumnReader(_) => cells::<DoubleType>(path, group, index, shown),
        ColumnReader::FloatColumnReader(_) => cells::<FloatType>(path, group, index, shown),
        ColumnReader::BoolColumnReader(_) => cells::<BoolType>(path, group, index, shown),
        ColumnReader::ByteArrayColumnReader(_) => cells::<ByteArrayType>(path, group, index, |value| {
            value.as_utf8().map(String::from).map_err(|_| "is not UTF-8 text".to_string())
        }),
        _ => {
            let column = group.metadata().column(index).column_path().string();
            Err(Error::file(path, format!("column {column} holds neither texts nor numbers")))
        }
    }
}

/// A number as text.
fn shown(value: impl std::fmt::Display) -> std::result::Result<String, String> {
    Ok(value.to_string())
}

/// The values of a column as text, each by `show`; lists as JSON.
fn cells<T: DataType>(
    path: &Path,
    group: &dyn RowGroupReader,
    index: usize,
    show: impl Fn(T::T) -> std::result::Result<String, String>,
) -> Result<Vec<Cell>> {
    let list = |items: Vec<T::T>| {
        let items = items.into_iter().map(&show).collect::<std::result::Result<Vec<_>, _>>();
        Some(items.map(|items| Value::from(items).to_string()))
    };
    match group.metadata().column(index).column_descr_ptr().max_rep_level() {
        0 => Ok(values::<T>(path, group, index)?.into_iter().map(|value| value.map(&show)).collect()),
        _ => Ok(lists::<T>(path, group, index)?.into_iter().map(list).collect()),
    }
}

/// The lists of a column of lists; a row without a list has an empty one.
fn lists<T: DataType>(path: &Path, group: &dyn RowGroupReader, index: usize) -> Result<Vec<Vec<T::T>>> {
    let damaged = |error: ParquetError| {
        Error::file(path, format!("damaged ({error}); download or copy it again")).with_source(error)
    };
    let whole = group.metadata().column(index).column_descr_ptr().max_def_level();
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(index).map_err(damaged)?);
    let (mut values, mut defined, mut repeated) = (vec![], vec![], vec![]);
    let mut found: Vec<Vec<T::T>> = vec![];
    loop {
        values.clear();
        defined.clear();
        repeated.clear();
        let (records, ..) = reader
            .read_records(4096, Some(&mut defined), Some(&mut repeated), &mut values)
            .map_err(damaged)?;
        if records == 0 {
            return Ok(found);
        }
        let mut values = values.drain(..);
        for (defined, repeated) in defined.iter().zip(&repeated) {
            if *repeated == 0 {
                found.push(vec![]);
            }
            if let (true, Some(list)) = (*defined == whole, found.last_mut()) {
                list.extend(values.next());
            }
        }
    }
}

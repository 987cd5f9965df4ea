//! The columns of Parquet files.

use super::delimited::OnRow;
use crate::panics;
use crate::{Error, Result};
use parquet::column::reader::{ColumnReader, get_typed_column_reader};
use parquet::data_type::{ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
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

/// The names of the columns, those in lists with their index left out: (index, name).
pub(crate) fn columns(reader: &impl FileReader) -> Vec<(usize, String)> {
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let flat = schema.columns().iter().enumerate().filter(|(_, column)| column.max_rep_level() == 0);
    flat.map(|(index, column)| (index, column.path().string())).collect()
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

/// The values of some columns as text, row by row: `on` gets the row, counted from 1. A text that is not UTF-8 is given as
/// what is wrong.
pub(super) fn for_each(path: &Path, indices: [usize; 2], on: OnRow<'_>) -> Result<()> {
    let read = panics::contain(|| {
        let reader = open(path)?;
        let mut row = 0;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(|error| unreadable(path, error))?;
            let [first, second] = indices.map(|index| texts(path, group.as_ref(), index));
            let (first, second) = (first?, second?);
            for (first, second) in first.iter().zip(&second) {
                row += 1;
                on(row, field(first).and_then(|first| Ok([first, field(second)?])));
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
    fn shown<T: DataType>(path: &Path, group: &dyn RowGroupReader, index: usize) -> Result<Vec<Cell>>
    where
        T::T: std::fmt::Display,
    {
        let values = values::<T>(path, group, index)?;
        Ok(values.into_iter().map(|value| value.map(|value| Ok(value.to_string()))).collect())
    }
    use parquet::data_type::{BoolType, DoubleType, FloatType, Int32Type, Int64Type};
    let reader = group.get_column_reader(index).map_err(|error| unreadable(path, error))?;
    match reader {
        ColumnReader::Int64ColumnReader(_) => shown::<Int64Type>(path, group, index),
        ColumnReader::Int32ColumnReader(_) => shown::<Int32Type>(path, group, index),
        ColumnReader::DoubleColumnReader(_) => shown::<DoubleType>(path, group, index),
        ColumnReader::FloatColumnReader(_) => shown::<FloatType>(path, group, index),
        ColumnReader::BoolColumnReader(_) => shown::<BoolType>(path, group, index),
        ColumnReader::ByteArrayColumnReader(_) => {
            let values = values::<ByteArrayType>(path, group, index)?;
            let text = |value: parquet::data_type::ByteArray| {
                value.as_utf8().map(String::from).map_err(|_| "is not UTF-8 text".to_string())
            };
            Ok(values.into_iter().map(|value| value.map(text)).collect())
        }
        _ => {
            let column = group.metadata().column(index).column_path().string();
            Err(Error::file(path, format!("column {column} holds neither texts nor numbers")))
        }
    }
}

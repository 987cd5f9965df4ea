//! Reviews in Parquet files with the columns `text` and `label`, as the Hugging Face Hub keeps them.

use std::path::{Path, PathBuf};

use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::reader::{FileReader, RowGroupReader};

use super::texts::Texts;
use crate::formats;
use crate::panics;
use crate::{Error, Result};

/// Reads `files`, one after the other.
pub fn read(files: &[PathBuf]) -> Result<Texts> {
    let mut reviews = Texts::default();
    for file in files {
        // The parquet crate panics on some damaged files (version 60, definition levels of a wrong length).
        let read = panics::contain(|| read_file(file, &mut reviews));
        read.unwrap_or_else(|| Err(Error::file(file, "damaged; download or copy it again")))?;
    }
    Ok(reviews)
}

fn read_file(path: &Path, reviews: &mut Texts) -> Result<()> {
    let wrong = |what: String| Error::file(path, what);
    let damaged = |error| formats::parquet::unreadable(path, error);
    let reader = formats::parquet::open(path)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let column = |name: &str| {
        let columns = schema.columns();
        let found = columns.iter().position(|column| column.path().string() == name);
        found.filter(|&index| columns[index].max_rep_level() == 0).ok_or_else(|| {
            let names: Vec<String> = columns.iter().take(8).map(|column| column.path().string()).collect();
            wrong(format!("has no column {name}; expected text and label, found {}", names.join(", ")))
        })
    };
    let (text, label) = (column("text")?, column("label")?);
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index).map_err(damaged)?;
        let labels = match group.get_column_reader(label).map_err(damaged)? {
            ColumnReader::Int64ColumnReader(_) => values::<Int64Type>(path, group.as_ref(), label)?,
            ColumnReader::Int32ColumnReader(_) => {
                values::<Int32Type>(path, group.as_ref(), label)?.into_iter().map(i64::from).collect()
            }
            _ => return Err(wrong("column label does not hold whole numbers".into())),
        };
        let texts = match group.get_column_reader(text).map_err(damaged)? {
            ColumnReader::ByteArrayColumnReader(_) => values::<ByteArrayType>(path, group.as_ref(), text)?,
            _ => return Err(wrong("column text does not hold text".into())),
        };
        if texts.len() != labels.len() {
            return Err(wrong(format!("{} texts but {} labels", texts.len(), labels.len())));
        }
        for (text, label) in texts.iter().zip(labels) {
            let label = u8::try_from(label).ok().filter(|&label| label <= 1).ok_or_else(|| {
                wrong(format!(
                    "label {label}, expected 0 (negative) or 1 (positive); unlabelled reviews cannot be used"
                ))
            })?;
            let text =
                text.as_utf8().map_err(|error| wrong("a text is not UTF-8".into()).with_source(error))?;
            reviews.texts.push(text.into());
            reviews.labels.push(label);
        }
    }
    Ok(())
}

/// All values of a column of a row group; none may be missing.
fn values<T: DataType>(path: &Path, group: &dyn RowGroupReader, index: usize) -> Result<Vec<T::T>> {
    let missing = || {
        let column = group.metadata().column(index).column_descr_ptr();
        Error::file(path, format!("a row has no {}", column.name()))
    };
    let values = formats::parquet::values::<T>(path, group, index)?;
    values.into_iter().map(|value| value.ok_or_else(missing)).collect()
}

/// The files of one half, `train` or `test`, in `folder`: `train-*.parquet`, sorted by name.
pub fn files(folder: &Path, half: &str) -> Vec<PathBuf> {
    let matches = |path: &Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let rest = name.strip_prefix(half).and_then(|rest| rest.strip_suffix(".parquet"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| matches(path)).collect();
    files.sort();
    files
}

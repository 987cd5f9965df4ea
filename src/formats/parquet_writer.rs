//! A Parquet file written again with columns added to it. What stood in it is copied as it is, byte by byte.

use super::file::Staging;
use super::parquet::{open, unreadable};
use super::text_writer::{Cell, CellKind};
use crate::panics;
use crate::{Error, Result};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A Parquet file with the answers to its rows, whole in the end or not there. No more than a row group of answers is in memory.
pub struct ParquetAnswers {
    from: PathBuf,
    source: SerializedFileReader<File>,
    bytes: File,
    kinds: Vec<CellKind>,
    /// The cells of the row group that is being answered, a column each.
    cells: Vec<Vec<Cell>>,
    group: usize,
    writer: SerializedFileWriter<File>,
    staging: Staging,
}

impl ParquetAnswers {
    /// Begins the file `to`, which holds what `from` holds and these columns.
    ///
    /// # Errors
    /// [`Error::File`] where one cannot be read or the other not be written.
    pub fn begin(from: &Path, to: &Path, names: &[String], kinds: &[CellKind]) -> Result<Self> {
        let staging = Staging::begin(to)?;
        let source = open(from)?;
        let bytes = File::open(from).map_err(|error| Error::io(from, error))?;
        let metadata = source.metadata().file_metadata();
        let added = names.iter().zip(kinds).map(|(name, kind)| {
            let builder = match kind {
                CellKind::Text => Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
                    .with_logical_type(Some(LogicalType::String)),
                CellKind::Number => Type::primitive_type_builder(name, Physical::FLOAT),
            };
            Ok(Arc::new(builder.with_repetition(Repetition::OPTIONAL).build()?))
        });
        let schema = || -> std::result::Result<Arc<Type>, ParquetError> {
            let root = metadata.schema();
            let added = added.collect::<std::result::Result<Vec<_>, ParquetError>>()?;
            let fields = root.get_fields().iter().cloned().chain(added).collect();
            Ok(Arc::new(Type::group_type_builder(root.name()).with_fields(fields).build()?))
        };
        let schema = schema().map_err(|error| unreadable(from, error))?;
        // Arrow's own copy of the schema would not know the new columns.
        let kept = metadata.key_value_metadata().cloned().unwrap_or_default();
        let kept = kept.into_iter().filter(|pair| pair.key != "ARROW:schema").collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(kept))
            .build();
        let writer = SerializedFileWriter::new(staging.file()?, schema, Arc::new(properties));
        let writer = writer.map_err(|error| unwritable(&staging, error))?;
        let cells = vec![vec![]; kinds.len()];
        Ok(Self { from: from.into(), source, bytes, kinds: kinds.to_vec(), cells, group: 0, writer, staging })
    }

    /// Takes the answer to the next row: a cell a column.
    ///
    /// # Errors
    /// [`Error::File`] where the row group that it ends cannot be copied or written.
    pub fn add(&mut self, cells: &[Cell]) -> Result<()> {
        for (column, cell) in self.cells.iter_mut().zip(cells) {
            column.push(cell.clone());
        }
        self.end_groups()
    }

    /// Writes the row groups that are answered.
    fn end_groups(&mut self) -> Result<()> {
        let answered = |cells: &[Vec<Cell>]| cells.first().map_or(0, Vec::len);
        while self.group < self.source.num_row_groups() {
            let group = self.source.metadata().row_group(self.group).clone();
            if answered(&self.cells) < usize::try_from(group.num_rows()).unwrap_or(usize::MAX) {
                return Ok(());
            }
            let (from, bytes, kinds, cells) = (&self.from, &self.bytes, &self.kinds, &self.cells);
            let writer = &mut self.writer;
            let written = panics::contain(|| copy(&group, bytes, kinds, cells, writer));
            written.unwrap_or_else(|| Err(ParquetError::General("damaged".into()))).map_err(|error| {
                Error::file(from, format!("cannot be copied ({error})")).with_source(error)
            })?;
            self.cells.iter_mut().for_each(Vec::clear);
            self.group += 1;
        }
        Ok(())
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`Error::File`] where rows have no answer, or the file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.end_groups()?;
        if self.group < self.source.num_row_groups() {
            return Err(Error::file(&self.from, "has more rows than there are answers"));
        }
        self.writer.finish().map_err(|error| unwritable(&self.staging, error))?;
        self.staging.end()?.rename()
    }
}

/// Copies a row group's columns, and writes the new ones behind them.
fn copy(
    group: &RowGroupMetaData,
    bytes: &File,
    kinds: &[CellKind],
    cells: &[Vec<Cell>],
    writer: &mut SerializedFileWriter<File>,
) -> std::result::Result<(), ParquetError> {
    let mut out = writer.next_row_group()?;
    for column in group.columns() {
        let close = ColumnCloseResult {
            bytes_written: u64::try_from(column.compressed_size()).unwrap_or_default(),
            rows_written: u64::try_from(group.num_rows()).unwrap_or_default(),
            metadata: column.clone(),
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        out.append_column(bytes, close)?;
    }
    for (kind, cells) in kinds.iter().zip(cells) {
        column(*kind, cells, &mut out)?;
    }
    out.close()?;
    Ok(())
}

fn column(
    kind: CellKind,
    cells: &[Cell],
    out: &mut SerializedRowGroupWriter<File>,
) -> std::result::Result<(), ParquetError> {
    let Some(mut column) = out.next_column()? else {
        return Err(ParquetError::General("the schema has no such column".into()));
    };
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(*cell != Cell::Empty)).collect();
    match kind {
        CellKind::Text => {
            let text = |cell: &Cell| match cell {
                Cell::Text(text) => Some(ByteArray::from(text.as_str())),
                Cell::Number(number) => Some(ByteArray::from(number.to_string().as_str())),
                Cell::Empty => None,
            };
            let values: Vec<ByteArray> = cells.iter().filter_map(text).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        CellKind::Number => {
            let number = |cell: &Cell| match cell {
                Cell::Number(number) => Some(*number),
                Cell::Text(_) => Some(f32::NAN),
                Cell::Empty => None,
            };
            let values: Vec<f32> = cells.iter().filter_map(number).collect();
            column.typed::<FloatType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    column.close()
}

fn unwritable(staging: &Staging, error: ParquetError) -> Error {
    staging.fail(std::io::Error::other(error.to_string()))
}

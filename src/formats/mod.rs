//! What files look like: a format is a file.
//!
//! Arrays are read by [`read`] and written by [`write`](write()), whatever their format: NumPy's `.npz` and `.npy`,
//! `.safetensors`, tables of numbers. A new format is a file here and a line in `arrays.rs`.

pub(crate) mod archive;
mod arrays;
mod delimited;
mod encoding;
pub(crate) mod file;
mod format;
mod gathered;
mod mapped;
mod npy;
pub(crate) mod npz;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
#[cfg(feature = "parquet")]
mod parquet_writer;
pub(crate) mod pickle;
pub(crate) mod safetensors;
mod stored;
pub(crate) mod sums;
mod table;
mod text_rows;
mod text_table;
mod text_writer;
mod texts;
pub(crate) mod torch;
mod unpacked;
mod writer;

pub use arrays::{
    ArrayFile, Arrays, InputArray, begin, open, read, read_mixed, read_suffixes, write, write_suffixes,
};
pub use encoding::Encoding;
pub use file::{WholeFile, read_text};
pub use format::ArrayHead;
#[cfg(feature = "parquet")]
pub use parquet_writer::ParquetAnswers;
pub use stored::StoredArray;
pub(crate) use stored::{Kind, Number};
pub use text_rows::{TextRow, TextRows};
pub use text_table::{How, TextTable};
pub use text_writer::{AddedColumns, Cell, CellKind};
pub use texts::StoredTexts;
pub use writer::ArrayWriter;

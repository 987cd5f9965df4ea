//! What a format of arrays is.

use super::stored::StoredArray;
use super::texts::StoredTexts;
use crate::Result;
use candle_core::{DType, Tensor};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// A kind of files that hold arrays.
pub(super) trait Format: Sync {
    /// The ends of its files' names, without the dot.
    fn suffixes(&self) -> &'static [&'static str];

    /// Those of the files that are written.
    fn written(&self) -> &'static [&'static str] {
        self.suffixes()
    }

    /// What a file holds.
    fn holds(&self) -> Holds;

    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) where it cannot be read or is of another kind.
    fn open<'a>(&self, path: &'a Path) -> Result<Opened<'a>>;

    /// The order in which a file holds these arrays: their places in the list.
    fn order(&self, arrays: &[ArrayHead]) -> Vec<usize> {
        (0..arrays.len()).collect()
    }

    /// Begins a file of these arrays; the same arrays give the same bytes. There is one array where the format holds no more.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for what the format cannot hold.
    fn sink(&self, out: BufWriter<File>, arrays: &[ArrayHead]) -> Result<Box<dyn Sink>>;

    /// Hands on the bytes of rows as they stand in a file: numbers of f32, or of their own type where the format keeps it, or
    /// text.
    ///
    /// # Errors
    /// Candle's own, and those of `put`.
    fn encode(&self, rows: &Tensor, put: Put) -> Result<()>;
}

/// Where the bytes of rows go.
pub(super) type Put<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// An array of which the numbers are still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayHead {
    /// Its name.
    pub name: String,
    /// The type of its numbers.
    pub dtype: DType,
    /// The length of each axis.
    pub shape: Vec<usize>,
}

impl ArrayHead {
    /// The number of numbers.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A file that is being written, array by array in the format's order.
pub(super) trait Sink {
    /// The next array begins.
    fn begin(&mut self, array: &ArrayHead) -> std::io::Result<()>;

    /// The next bytes of its rows.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()>;

    /// Everything is written.
    fn finish(self: Box<Self>) -> std::io::Result<()>;
}

/// What a file of some format holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Arrays by name.
    Arrays,
    /// One array.
    One,
    /// Rows of numbers, whose shape their reader decides.
    Table,
}

/// An open file, of which only those arrays are read that are asked for.
pub(super) struct Opened<'a> {
    /// The arrays' names.
    pub names: Vec<String>,
    /// Opens the array of one of these names.
    pub array: Read<'a>,
    /// Opens an array of texts; none where the format has no such arrays.
    pub texts: Option<ReadTexts<'a>>,
}

/// From an array's name to the array of texts.
type ReadTexts<'a> = Box<dyn Fn(&str) -> Result<StoredTexts> + 'a>;

/// From an array's name to the array.
pub(super) type Read<'a> = Box<dyn Fn(&str) -> Result<StoredArray> + 'a>;

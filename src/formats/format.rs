//! What a format of arrays is.

use super::stored::StoredArray;
use crate::Result;
use candle_core::Tensor;
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

    /// The bytes of a file with these arrays in f32, or in their own type where the format keeps it; the same arrays
    /// give the same bytes. There is one array where the format holds no more.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for what the format cannot hold.
    fn bytes(&self, arrays: &[(&str, &Tensor)]) -> Result<Vec<u8>>;
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
    /// Reads an array of texts; none where the format has no such arrays.
    pub texts: Option<ReadTexts<'a>>,
}

/// Texts one after the other, and the shape that they fill.
pub type TextArray = (Vec<String>, Vec<usize>);

/// From an array's name to its texts.
type ReadTexts<'a> = Box<dyn Fn(&str) -> Result<TextArray> + 'a>;

/// From an array's name to the array.
pub(super) type Read<'a> = Box<dyn Fn(&str) -> Result<StoredArray> + 'a>;

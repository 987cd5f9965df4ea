//! Files of measurements, and what is to be read of them.

use super::missing::Missing;
use super::table::Columns;
use crate::formats::Encoding;
use std::path::PathBuf;

/// Files of measurements, and what is to be read of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableSource {
    /// The files, which are read as one, in this order.
    pub files: Vec<PathBuf>,
    /// What they are called; where it is not said, by the first one's name.
    pub name: Option<String>,
    /// The encoding of their text; found out where it is not said.
    pub encoding: Option<Encoding>,
    /// The columns.
    pub columns: Columns,
    /// What is done where numbers or times are missing.
    pub missing: Missing,
}

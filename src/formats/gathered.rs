//! Bytes that come one after the other and are then read like those of a file: in memory while they are few.

use super::mapped::Map;
use super::stored::Bytes;
use crate::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// So many bytes are gathered in memory; what is more goes into a temporary file.
const FEW: usize = 8 << 20;

/// Bytes that are gathered, for a reader of the file at `path`.
pub(super) struct Gathered<'a> {
    path: &'a Path,
    /// What no file has yet.
    bytes: Vec<u8>,
    file: Option<File>,
    length: usize,
}

impl<'a> Gathered<'a> {
    pub fn new(path: &'a Path) -> Self {
        Self { path, bytes: vec![], file: None, length: 0 }
    }

    /// The number of bytes so far.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Puts bytes at the end.
    ///
    /// # Errors
    /// [`Error::File`] where they cannot be kept.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        self.length += bytes.len();
        if self.bytes.len() < FEW { Ok(()) } else { self.put_away() }
    }

    fn put_away(&mut self) -> Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile().map_err(|error| self.fail(error))?,
        };
        (&file).write_all(&self.bytes).map_err(|error| self.fail(error))?;
        self.bytes.clear();
        self.file = Some(file);
        Ok(())
    }

    fn fail(&self, error: std::io::Error) -> Error {
        Error::file(self.path, format!("what it holds cannot be kept in a temporary file: {error}"))
            .with_source(error)
    }

    /// All of them.
    ///
    /// # Errors
    /// [`Error::File`] where they cannot be kept.
    pub fn finish(mut self) -> Result<Bytes> {
        if self.file.is_none() {
            return Ok(Bytes::of_memory(self.bytes));
        }
        self.put_away()?;
        let Some(file) = self.file.take() else { return Ok(Bytes::of_memory(vec![])) };
        let map = Arc::new(Map::of_file(&file).map_err(|error| self.fail(error))?);
        let all = 0..map.bytes().len();
        Bytes::of_map(&map, all).ok_or_else(|| self.fail(std::io::ErrorKind::UnexpectedEof.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_bytes_are_what_they_were() -> Result<()> {
        for count in [0, 1, 100_000, 3_000_000] {
            let mut gathered = Gathered::new(Path::new("x.csv"));
            let number = |at: u32| at.wrapping_mul(2_654_435_761).to_le_bytes();
            (0..count).try_for_each(|at| gathered.push(&number(at)))?;
            assert_eq!(gathered.length(), 4 * count as usize);
            assert_eq!(gathered.file.is_some(), count == 3_000_000);
            let bytes = gathered.finish()?;
            assert_eq!(bytes.get().len(), 4 * count as usize);
            assert!(bytes.get().as_chunks().0.iter().zip(0..).all(|(found, at)| *found == number(at)));
        }
        Ok(())
    }
}

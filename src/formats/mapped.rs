//! Files mapped into memory: the one place of the library with `unsafe`, since the language cannot promise what a map needs.
//!
//! What is promised: only a regular file is mapped, never a device or a pipe; its length is taken from the open file, and no
//! byte beyond it is ever touched. What cannot be promised: that nobody shortens the file, or writes over it, while the
//! program reads it. A page that is gone then ends the program by a signal (SIGBUS), and numbers that are written over are
//! read as they come. Files are to be replaced by renaming, as this crate and NumPy's users do, never cut in place.

use super::file::check_regular;
use crate::{Error, Result};
use memmap2::Mmap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// A file's bytes.
#[derive(Debug)]
pub(super) struct Map(Mmap);

impl Map {
    /// Maps a whole file.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be opened, or is no regular file.
    pub fn open(path: &Path) -> Result<Self> {
        check_regular(path)?;
        let file = File::open(path).map_err(|error| cannot(path, error))?;
        let metadata = file.metadata().map_err(|error| cannot(path, error))?;
        if !metadata.is_file() {
            return Err(Error::file(path, "is no file but a device or a pipe; save it as a file first"));
        }
        Self::of_file(&file).map_err(|error| cannot(path, error))
    }

    /// Maps a whole file that is open: a regular one.
    ///
    /// # Errors
    /// The system's.
    pub fn of_file(file: &File) -> std::io::Result<Self> {
        #[allow(unsafe_code)]
        // SAFETY: the file is a regular one and open, and the map is as long as it is and never written to. That nobody
        // else shortens or writes the file meanwhile is asked of the user, as the head of this file says.
        let map = unsafe { Mmap::map(file) };
        map.map(Self)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Says that these bytes are not needed for now: their pages need not count as this process's memory. They can be read
    /// again like any others.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if range.end <= self.0.len() && !range.is_empty() {
            #[allow(unsafe_code)]
            // SAFETY: the map is of a file and only read, so that pages that are dropped come back from the file as they
            // were; the range lies within the map.
            let _ = unsafe {
                self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

fn cannot(path: &Path, error: std::io::Error) -> Error {
    Error::file(path, format!("cannot be read: {error}")).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_bytes_before_and_after_it_is_released() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
        std::fs::write(&path, &bytes).expect("written");
        let map = Map::open(&path)?;
        assert_eq!(map.bytes(), bytes);
        map.release(10..90_000);
        map.release(0..1_000_000);
        assert_eq!(map.bytes(), bytes);
        std::fs::write(&path, b"").expect("written");
        assert_eq!(Map::open(&path)?.bytes(), b"");
        assert!(Map::open(folder.path()).is_err());
        Ok(())
    }
}

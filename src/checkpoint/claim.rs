//! One writer at a time.

use super::parts;
use crate::{Error, Result};
use std::fs::{File, TryLockError};
use std::path::Path;

/// Keeps other writers out of a model folder for as long as it lives; the system lifts it also where a program is killed.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "holds the lock")] Option<File>);

impl Claim {
    /// Where the system has no such locks, as on some network drives, nothing is claimed.
    pub(super) fn on(folder: &Path) -> Result<Self> {
        let file = File::open(folder).ok();
        match file.as_ref().map(File::try_lock) {
            Some(Err(TryLockError::WouldBlock)) => {
                return Err(Error::file(folder, "another run is writing to it; name another folder"));
            }
            // Without a lock nobody knows whose the files are that look left behind.
            Some(Err(TryLockError::Error(_))) | None => {}
            Some(Ok(())) => parts::tidy(folder)?,
        }
        Ok(Self(file))
    }
}

//! The files of a model that belong together, and how a reader gets those of one model whatever a writer does meanwhile.
//!
//! `config.json` names the others by their SHA-256. A writer brings the new files to the disk under names of their own, then
//! gives `config.json` its name, which is the moment from which the folder holds the new model, and last moves the others to
//! where other programs look for them. A reader takes each file from wherever the one with the right sum lies; where there is
//! none, a writer has gone on meanwhile, and it begins anew.

use super::config::{CONFIG_FILE, Config};
use super::saved::Saved;
use crate::formats::file::{TEMPORARY, cannot, cause, sync_folder};
use crate::formats::sums::sha256;
use crate::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a file of this sum waits for its place.
fn waiting(folder: &Path, name: &str, sum: &str) -> PathBuf {
    let sum = sum.get(..16).unwrap_or(sum);
    folder.join(format!("{TEMPORARY}{sum}-{name}"))
}

/// How often the same configuration is found without its files before it is believed.
const TRIES: usize = 5;

/// The configuration and the files of these names that belong to it; nothing for those that it does not have.
pub(super) fn read(folder: &Path, names: &[&str]) -> Result<(Config, Vec<Option<Vec<u8>>>)> {
    let mut before: Option<Config> = None;
    let mut tries = 0;
    loop {
        let config = Config::load(folder.join(CONFIG_FILE))?;
        let parts: Result<Vec<_>> =
            names.iter().map(|name| part(folder, config.saved.as_ref(), name)).collect();
        let fault = match parts {
            // A folder from before there were sums may have become another model's meanwhile.
            Ok(parts) if config.saved.is_some() || Config::load(folder.join(CONFIG_FILE))? == config => {
                return Ok((config, parts));
            }
            Ok(_) => continue,
            Err(fault) => fault,
        };
        tries = if before.as_ref() == Some(&config) { tries + 1 } else { 0 };
        if tries == TRIES || config.saved.is_none() {
            return Err(fault);
        }
        before = Some(config);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A file's bytes, where the folder has it.
fn part(folder: &Path, saved: Option<&Saved>, name: &str) -> Result<Option<Vec<u8>>> {
    let path = folder.join(name);
    let Some(saved) = saved else {
        return bytes(&path);
    };
    let Some(sum) = saved.files.get(name) else { return Ok(None) };
    let mut found = false;
    for place in [&path, &waiting(folder, name, sum)] {
        if let Some(bytes) = bytes(place)? {
            if sha256(&bytes) == *sum {
                return Ok(Some(bytes));
            }
            found = true;
        }
    }
    let what = match found {
        false => {
            "is missing: config.json was saved with it; where you removed it on purpose, take `checkpoint` out of config.json"
        }
        true => {
            "is not the file that config.json was saved with: the folder is damaged, or its files come from two models; \
             where you changed it on purpose, take `checkpoint` out of config.json"
        }
    };
    Err(Error::file(path, what))
}

fn bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(Error::file(path, "is no file")),
        Err(_) => return Ok(None),
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, error)),
    }
}

/// Files that are on the disk and wait for their places; they are removed where nobody calls for them.
pub(super) struct Waiting<'a> {
    folder: &'a Path,
    /// From where to where.
    moves: Vec<(PathBuf, PathBuf)>,
    /// The files, locked: their writer is alive.
    locks: Vec<File>,
}

impl<'a> Waiting<'a> {
    /// Writes the files of these sums.
    pub(super) fn write(folder: &'a Path, files: &[(&str, Vec<u8>)], saved: &Saved) -> Result<Self> {
        let mut written = Self { folder, moves: vec![], locks: vec![] };
        let old = Config::load(folder.join(CONFIG_FILE)).ok().and_then(|config| config.saved);
        for (name, bytes) in files {
            let path = folder.join(name);
            // A vocabulary is the same from epoch to epoch.
            let is_same = old.as_ref().is_some_and(|old| old.files.get(*name) == saved.files.get(*name));
            if is_same && std::fs::read(&path).is_ok_and(|old| old == *bytes) {
                continue;
            }
            if path.is_dir() {
                return Err(Error::file(path, "cannot be written: it is a folder"));
            }
            let Some(sum) = saved.files.get(*name) else { continue };
            let place = waiting(folder, name, sum);
            // Also where it fails it is to go.
            written.moves.push((place.clone(), path.clone()));
            let fail = |error| cannot(&path, error);
            let mut file = File::create(&place).map_err(fail)?;
            let _ = file.try_lock();
            file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
            written.locks.push(file);
        }
        sync_folder(folder)?;
        Ok(written)
    }

    /// The configuration names them now: moves them to their places, and removes what the model does not have.
    pub(super) fn place(mut self, saved: &Saved, all: &[&str]) -> Result<()> {
        for (from, to) in std::mem::take(&mut self.moves) {
            std::fs::rename(&from, &to).map_err(|error| cannot(&to, error))?;
        }
        for name in all.iter().filter(|name| !saved.files.contains_key(**name)) {
            remove(&self.folder.join(name))?;
        }
        sync_folder(self.folder)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for (from, _) in &self.moves {
            let _ = std::fs::remove_file(from);
        }
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file(path, format!("cannot be removed: {}", cause(&error))).with_source(error))
        }
        _ => Ok(()),
    }
}

/// Whether a file of the folder is what a writer left that did not come to its end.
pub(super) fn is_left_over(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with(TEMPORARY)
}

/// Ends what a writer that was killed had begun: files that the configuration names get their places, the others go.
pub(super) fn tidy(folder: &Path) -> Result<()> {
    let fail = |error| cannot(&folder.join(CONFIG_FILE), error);
    let entries = std::fs::read_dir(folder).map_err(fail)?.filter_map(std::result::Result::ok);
    let left: Vec<PathBuf> =
        entries.filter(|entry| is_left_over(&entry.file_name())).map(|entry| entry.path()).collect();
    if left.is_empty() {
        return Ok(());
    }
    let path = folder.join(CONFIG_FILE);
    let config = path.exists().then(|| Config::load(path)).transpose()?;
    for (name, sum) in config.and_then(|config| config.saved).into_iter().flat_map(|saved| saved.files) {
        let (place, path) = (waiting(folder, &name, &sum), folder.join(&name));
        let is_whole = |path: &Path| {
            left.iter().any(|left| left == path)
                && bytes(path).ok().flatten().is_some_and(|bytes| sha256(&bytes) == sum)
        };
        // A name comes from a file: it is to lead to no other folder.
        if path.parent() == Some(folder) && is_whole(&place) {
            std::fs::rename(&place, &path).map_err(|error| cannot(&path, error))?;
        }
    }
    for path in left {
        // A folder of such a name is somebody else's, and who holds a lock is alive.
        let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let is_locked = File::open(&path).is_ok_and(|file| file.try_lock().is_err());
        if !is_folder && !is_locked {
            remove(&path)?;
        }
    }
    sync_folder(folder)
}

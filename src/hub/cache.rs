//! The folder of one repository in the cache, as Python's `huggingface_hub` lays it out:
//!
//! ```text
//! models--OWNER--NAME/refs/REVISION                the commit that a branch or tag was at
//! models--OWNER--NAME/blobs/ETAG                   a file's bytes
//! models--OWNER--NAME/snapshots/COMMIT/PATH        a link to them
//! models--OWNER--NAME/.listings/COMMIT             which files the commit has; this crate's own
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hf_hub::{CacheRepo, Repo, RepoType};

use super::address::{Address, Kind, check_name, is_commit};
use crate::formats::file::write_atomic;
use crate::{Error, Result};

/// The most files that are looked for in a snapshot.
const MOST: usize = 1 << 16;

/// The cache of one repository.
pub(super) struct Cache {
    folder: PathBuf,
    repository: CacheRepo,
}

impl Cache {
    pub(super) fn of(cache: &Path, address: &Address) -> Result<Self> {
        let kind = match address.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        let repository = Repo::new(address.repository.clone(), kind);
        let cache = std::path::absolute(cache).map_err(|error| Error::io(cache, error))?;
        let folder = cache.join(repository.folder_name());
        Ok(Self { folder, repository: hf_hub::Cache::new(cache).repo(repository) })
    }

    /// The commit that a revision is known to be at.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return self.snapshot(revision).is_dir().then(|| revision.into());
        }
        let commit = fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        Some(commit.trim().to_string()).filter(|commit| is_commit(commit))
    }

    /// Notes which commit a revision is at. A commit needs no note.
    pub(super) fn note_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        make_folder_of(&path)?;
        write_atomic(path, commit.as_bytes())
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repository.pointer_path(commit)
    }

    /// A file of a commit, if it is here.
    pub(super) fn get(&self, commit: &str, name: &str) -> Option<PathBuf> {
        Some(self.snapshot(commit).join(name)).filter(|path| path.is_file())
    }

    /// The files that a commit is known to have.
    pub(super) fn listing(&self, commit: &str) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.folder.join(".listings").join(commit)).ok()?;
        let names: Vec<String> = text.lines().map(String::from).collect();
        names.iter().all(|name| check_name(name).is_ok()).then_some(names)
    }

    pub(super) fn note_listing(&self, commit: &str, names: &[String]) -> Result<()> {
        let path = self.folder.join(".listings").join(commit);
        if path.is_file() {
            return Ok(());
        }
        make_folder_of(&path)?;
        write_atomic(path, names.iter().map(|name| format!("{name}\n")).collect::<String>().as_bytes())
    }

    /// The files of a commit that are here.
    pub(super) fn names(&self, commit: &str) -> Vec<String> {
        let root = self.snapshot(commit);
        let (mut names, mut folders) = (vec![], vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (path, is_folder) = (entry.path(), entry.file_type().is_ok_and(|kind| kind.is_dir()));
                match path.strip_prefix(&root) {
                    _ if is_folder => folders.push(path),
                    Ok(name) if path.is_file() && names.len() < MOST => {
                        names.push(name.to_string_lossy().replace('\\', "/"));
                    }
                    _ => {}
                }
            }
        }
        names.sort();
        names
    }

    /// The bytes of the file with this tag, if they are here.
    pub(super) fn blob(&self, tag: &str) -> Option<PathBuf> {
        Some(self.folder.join("blobs").join(tag)).filter(|path| path.is_file())
    }

    /// The file that the bytes are written to while they come, and whether what it holds may be gone on with: not where
    /// somebody else is writing to it.
    pub(super) fn incomplete(&self, tag: &str) -> Result<Incomplete> {
        let path = self.folder.join("blobs").join(format!("{tag}.incomplete"));
        make_folder_of(&path)?;
        let file = File::options().read(true).append(true).create(true).open(&path);
        let file = file.map_err(|error| Error::io(&path, error))?;
        if file.try_lock().is_ok() {
            return Ok(Incomplete { file, path, temporary: None });
        }
        let folder = self.folder.join("blobs");
        let temporary = tempfile::Builder::new().prefix("candle-recurrent-").tempfile_in(&folder);
        let temporary = temporary.map_err(|error| Error::io(&folder, error))?;
        let file = temporary.reopen().map_err(|error| Error::io(temporary.path(), error))?;
        Ok(Incomplete { file, path: temporary.path().into(), temporary: Some(temporary.into_temp_path()) })
    }

    /// Gives bytes that are whole their name.
    pub(super) fn complete(&self, incomplete: Incomplete, tag: &str) -> Result<()> {
        let path = self.folder.join("blobs").join(tag);
        incomplete.file.sync_all().map_err(|error| Error::io(&path, error))?;
        fs::rename(&incomplete.path, &path).map_err(|error| Error::io(&path, error))?;
        if let Some(temporary) = incomplete.temporary {
            // It has another name now.
            let _ = temporary.keep();
        }
        Ok(())
    }

    /// Puts a file with these bytes into a commit's folder.
    pub(super) fn link(&self, tag: &str, commit: &str, name: &str) -> Result<PathBuf> {
        let path = self.snapshot(commit).join(name);
        if path.is_file() {
            return Ok(path);
        }
        make_folder_of(&path)?;
        // A link whose bytes are gone.
        let _ = fs::remove_file(&path);
        let up = "../".repeat(2 + name.split('/').count() - 1);
        let blob = self.folder.join("blobs").join(tag);
        let linked = link(Path::new(&format!("{up}blobs/{tag}")), &path);
        linked.or_else(|_| fs::copy(&blob, &path).map(drop)).map_err(|error| Error::io(&path, error))?;
        match path.is_file() {
            true => Ok(path),
            false => Err(Error::file(path, "cannot be made in the cache")),
        }
    }
}

/// A file that is being downloaded.
pub(super) struct Incomplete {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Removes it, where nobody could go on with it.
    temporary: Option<tempfile::TempPath>,
}

impl Incomplete {
    /// Begins anew.
    pub(super) fn empty(&self) -> Result<()> {
        self.file.set_len(0).map_err(|error| Error::io(&self.path, error))
    }

    /// How many bytes there are.
    pub(super) fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|error| Error::io(&self.path, error))?.len())
    }
}

fn make_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))
}

#[cfg(unix)]
fn link(to: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, path)
}

#[cfg(windows)]
fn link(to: &Path, path: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(to, path)
}

#[cfg(not(any(unix, windows)))]
fn link(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

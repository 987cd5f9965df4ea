//! Files of text, and files that are whole or not there.

use crate::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What the names of files begin with that are on their way to their places.
pub(crate) const TEMPORARY: &str = ".candle-recurrent-";

/// Reads a file of UTF-8 text, without the byte order mark that Windows's editors put first.
///
/// # Errors
/// [`Error::File`] where it is a folder, cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    utf8(read_bytes(path)?, path)
}

/// The text of bytes, without a byte order mark; `origin` stands for the file in messages.
///
/// # Errors
/// [`Error::File`] where they are not UTF-8.
pub(crate) fn utf8(bytes: Vec<u8>, origin: &Path) -> Result<String> {
    let mut text =
        String::from_utf8(bytes).map_err(|_| Error::file(origin, "is not UTF-8 text; save it as UTF-8"))?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// Reads a file whole.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    check_regular(path)?;
    std::fs::read(path).map_err(|error| Error::io(path, error))
}

/// Refuses a folder, and a device or a pipe, which might never end.
pub(crate) fn check_regular(path: &Path) -> Result<()> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Err(Error::file(path, "is a folder, expected a file")),
        Ok(metadata) if !metadata.is_file() => {
            Err(Error::file(path, "is no file but a device or a pipe; save it as a file first"))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Writes `bytes` to `path`: first to a temporary file in the same folder, then by renaming it, so that an older file
/// stays as it is until the new one is complete. The new file is readable by everyone (mode 0644, less the umask).
///
/// # Errors
/// [`Error::File`] where the folder is missing or not writable, or the disk is full; nothing is left behind then.
pub(crate) fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    stage(path.as_ref(), bytes)?.rename()
}

/// As [`write_atomic`], without waiting for the disk: after the power went it may be empty or gone.
pub(crate) fn write_beside(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut staging = Staging::begin(path)?;
    staging.file.write_all(bytes).map_err(|error| staging.fail(error))?;
    match staging.file.persist(path) {
        Ok(_) => Ok(()),
        Err(fault) => Err(cannot(path, fault.error)),
    }
}

/// A file that is whole on the disk under a temporary name.
pub(crate) struct Staged {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Gives the file its name.
    pub(crate) fn rename(self) -> Result<()> {
        let path = self.path;
        match self.file.persist(&path) {
            Ok(_) => sync_folder(folder(&path)),
            Err(fault) => {
                let what = format!("cannot be written: {}", cause(&fault.error));
                Err(Error::file(&path, what).with_source(fault.error))
            }
        }
    }
}

/// Writes `bytes` beside `path` under a temporary name.
pub(crate) fn stage(path: &Path, bytes: &[u8]) -> Result<Staged> {
    let mut staging = Staging::begin(path)?;
    staging.file.write_all(bytes).map_err(|error| staging.fail(error))?;
    staging.end()
}

/// A file that is being written beside its place, under a temporary name.
pub(crate) struct Staging {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Staging {
    /// Makes the file that is to be at `path`.
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::file(path, "cannot be written: it is a folder"));
        }
        let mut name = std::ffi::OsString::from(TEMPORARY);
        name.push(path.file_name().unwrap_or_default());
        // Of two that write to one place each has a name of its own.
        let file = match temporary(folder(path), &name, 0) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let mut stale = name.clone();
                stale.push(".tmp");
                remove_stale(&folder(path).join(stale));
                temporary(folder(path), &name, 0).or_else(|_| temporary(folder(path), &name, 6))
            }
            other => other,
        };
        let file = file.map_err(|error| cannot(path, error))?;
        // Who holds the lock is alive.
        let _ = file.as_file().try_lock();
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// Another handle of the file.
    pub(crate) fn file(&self) -> Result<std::fs::File> {
        self.file.as_file().try_clone().map_err(|error| self.fail(error))
    }

    /// The folder that it is in.
    pub(crate) fn folder(&self) -> &Path {
        folder(&self.path)
    }

    /// What is said of a file that cannot be written.
    pub(crate) fn fail(&self, error: std::io::Error) -> Error {
        cannot(&self.path, error)
    }

    /// Everything is written: brings it to the disk.
    pub(crate) fn end(self) -> Result<Staged> {
        // A full disk may show only here, and a rename must not overtake the data.
        self.file.as_file().sync_all().map_err(|error| self.fail(error))?;
        Ok(Staged { file: self.file, path: self.path })
    }
}

/// A new file of this name, with so many random letters.
fn temporary(
    folder: &Path,
    name: &std::ffi::OsStr,
    random: usize,
) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(name).suffix(".tmp").rand_bytes(random);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o644));
    }
    builder.tempfile_in(folder)
}

/// Removes what a writer left that was killed.
fn remove_stale(path: &Path) {
    let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    let Ok(file) = std::fs::File::open(path) else { return };
    if is_file && file.try_lock().is_ok() {
        let _ = std::fs::remove_file(path);
    }
}

/// Brings a folder's names to the disk, where the system knows such a thing.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let Ok(folder) = std::fs::File::open(path) else { return Ok(()) };
        if let Err(error) = folder.sync_all()
            && !matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported)
        {
            return Err(cannot(&path.join("."), error));
        }
    }
    Ok(())
}

/// A file that is written piece by piece under a temporary name: it is whole in the end, or not there.
pub struct WholeFile {
    out: std::io::BufWriter<std::fs::File>,
    staging: Staging,
}

impl WholeFile {
    /// Begins the file that is to be at `path`.
    ///
    /// # Errors
    /// [`Error::File`] where the folder is missing or takes no files.
    pub fn begin(path: impl AsRef<Path>) -> Result<Self> {
        let staging = Staging::begin(path.as_ref())?;
        Ok(Self { out: std::io::BufWriter::with_capacity(1 << 18, staging.file()?), staging })
    }

    /// Writes more of it.
    ///
    /// # Errors
    /// [`Error::File`] where the disk is full.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|error| self.staging.fail(error))
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(|error| self.staging.fail(error))?;
        self.staging.end()?.rename()
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// What is said of a file that cannot be written.
pub(crate) fn cannot(path: &Path, error: std::io::Error) -> Error {
    let folder = folder(path);
    let cause = match error.kind() {
        std::io::ErrorKind::NotFound if !folder.exists() => {
            format!("there is no folder {}; make it first", folder.display())
        }
        std::io::ErrorKind::NotFound => format!("the folder {} takes no files", folder.display()),
        _ => cause(&error),
    };
    Error::file(path, format!("cannot be written: {cause}")).with_source(error)
}

/// The system's own words, without the temporary file's name or the error's number.
pub(crate) fn cause(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|wrapped| wrapped.source()).map(ToString::to_string);
    let text = inner.unwrap_or_else(|| error.to_string());
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> String {
        write_atomic(path, b"x").expect_err("refused").to_string()
    }

    #[test]
    fn files_are_replaced_whole_or_not_at_all() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history.csv");
        write_atomic(&path, b"old")?;
        write_atomic(&path, b"new")?;
        assert_eq!(std::fs::read(&path).expect("the file"), b"new");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).expect("the file").permissions().mode();
            // 0644, but for what the umask takes away.
            assert_eq!(mode & 0o600, 0o600);
            assert_eq!(mode & 0o111, 0);
            let plain = folder.path().join("plain");
            std::fs::write(&plain, b"").expect("a file");
            let umasked = std::fs::metadata(&plain).expect("the file").permissions().mode() & 0o644;
            assert_eq!(mode & 0o777, umasked);
        }
        std::fs::create_dir(folder.path().join("taken")).expect("a folder");
        assert!(refused(&folder.path().join("taken")).contains("it is a folder"));
        let missing = refused(&folder.path().join("no/file"));
        assert!(
            missing.contains("file: cannot be written: there is no folder ")
                && missing.ends_with("no; make it first"),
            "{missing}"
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            if cfg!(unix) { 3 } else { 2 }
        );
        Ok(())
    }
}

//! Files that are whole or not there.

use crate::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path`: first to a temporary file in the same folder, then by renaming it, so that an older file
/// stays as it is until the new one is complete. The new file is readable by everyone (mode 0644, less the umask).
///
/// # Errors
/// [`Error::File`] where the folder is missing or not writable, or the disk is full; nothing is left behind then.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    stage(path.as_ref(), bytes)?.rename()
}

/// A file that is whole on the disk under a temporary name.
pub(super) struct Staged {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Gives the file its name.
    pub(super) fn rename(self) -> Result<()> {
        let path = self.path;
        self.file
            .persist(&path)
            .map_err(|error| Error::file(&path, format!("cannot be written: {}", cause(&error.error))))?;
        Ok(())
    }
}

/// Writes `bytes` beside `path` under a temporary name.
pub(super) fn stage(path: &Path, bytes: &[u8]) -> Result<Staged> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let fail = |error: std::io::Error| {
        let cause = match error.kind() {
            std::io::ErrorKind::NotFound if !folder.exists() => {
                format!("there is no folder {}; make it first", folder.display())
            }
            std::io::ErrorKind::NotFound => format!("the folder {} takes no files", folder.display()),
            _ => cause(&error),
        };
        Error::file(path, format!("cannot be written: {cause}"))
    };
    if path.is_dir() {
        return Err(Error::file(path, "cannot be written: it is a folder"));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".candle-recurrent-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o644));
    }
    let mut file = builder.tempfile_in(folder).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    // A full disk may show only here, and a rename must not overtake the data.
    file.as_file().sync_all().map_err(fail)?;
    Ok(Staged { file, path: path.to_path_buf() })
}

/// The system's own words, without the temporary file's name or the error's number.
pub(super) fn cause(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|wrapped| wrapped.source()).map(ToString::to_string);
    let text = inner.unwrap_or_else(|| error.to_string());
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

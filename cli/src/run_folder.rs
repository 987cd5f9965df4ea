//! Where a run is written: a new folder, or the one that `--out` names.

use candle_recurrent::checkpoint::{CONFIG_FILE, HISTORY_FILE, ModelFolder, TOKENIZER_FILE, WEIGHTS_FILE};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Runs without `--out` go here.
pub(super) const RUNS: &str = "runs";

/// The first of `root/stem`, `root/stem-2`, `root/stem-3`, … that `free` accepts.
pub(super) fn first_free(root: &Path, stem: &str, free: impl Fn(&Path) -> bool) -> PathBuf {
    let numbered = (2..).map(|number| root.join(format!("{stem}-{number}")));
    let mut candidates = std::iter::once(root.join(stem)).chain(numbered);
    candidates.find(|path| free(path)).unwrap_or_else(|| root.join(stem))
}

/// The folder of a run of the model `name`: `out` itself, or a new one under `runs/`; an older run is never replaced
/// without being named.
pub(super) fn create(out: Option<&Path>, name: &str) -> anyhow::Result<ModelFolder> {
    let path = match out {
        Some(out) => out.to_path_buf(),
        None => {
            let root = Path::new(RUNS);
            let fail = |path: &Path, e| anyhow::anyhow!("{}: cannot be made: {e}", path.display());
            std::fs::create_dir_all(root).map_err(|e| fail(root, e))?;
            loop {
                // Making it claims it: of two runs that start together, one gets the next number.
                let path = first_free(root, &file_name(name), |path| path.symlink_metadata().is_err());
                match std::fs::create_dir(&path) {
                    Ok(()) => break path,
                    Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                    Err(e) => return Err(fail(&path, e)),
                }
            }
        }
    };
    Ok(ModelFolder::create(path)?)
}

/// Refuses to write to `out`, the argument `name`, where it would destroy what is `read`: a file, a folder's weights.
pub(super) fn refuse_input(read: &[Option<&Path>], out: &Path, name: &str) -> anyhow::Result<()> {
    let Ok(to) = out.canonicalize() else { return Ok(()) };
    for path in read.iter().flatten() {
        let Ok(from) = path.canonicalize() else { continue };
        let weights = from.join(WEIGHTS_FILE).canonicalize().ok();
        if from == to || from.parent() == Some(&to) || weights.as_ref() == Some(&to) {
            anyhow::bail!("{}: is what is being read; name another {name}", out.display());
        }
    }
    Ok(())
}

/// Refuses to write to `out` where a run would be lost by it: the run's folder, or a file that makes it one.
pub(super) fn refuse_run(out: &Path) -> anyhow::Result<()> {
    let is_run = |folder: &Path| [CONFIG_FILE, HISTORY_FILE].iter().all(|name| folder.join(name).is_file());
    if is_run(out) {
        anyhow::bail!("{}: holds a training run, which would be lost; name another folder", out.display());
    }
    let parts = [CONFIG_FILE, HISTORY_FILE, TOKENIZER_FILE, WEIGHTS_FILE];
    // Through a link as well.
    let (Ok(out), shown) = (out.canonicalize(), out.display()) else { return Ok(()) };
    if parts.iter().any(|part| out.ends_with(part)) && out.parent().is_some_and(is_run) {
        anyhow::bail!("{shown}: belongs to a training run, which would be lost; name another file");
    }
    Ok(())
}

/// Keeps other runs out of a folder for as long as it lives; the system lifts it also where a run is killed.
pub(super) struct Claim(#[expect(dead_code, reason = "holds the lock")] Option<File>);

impl Claim {
    /// Where the system has no such locks, as on some network drives, nothing is claimed.
    pub(super) fn on(folder: &ModelFolder) -> anyhow::Result<Self> {
        let file = File::open(folder.path()).ok();
        if let Some(Err(TryLockError::WouldBlock)) = file.as_ref().map(File::try_lock) {
            anyhow::bail!("{}: another run is writing to it; name another --out", folder.path().display());
        }
        Ok(Self(file))
    }
}

/// A model's name as a file name.
pub(super) fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    match name.trim_matches('.') {
        "" => "model".into(),
        name => name.into(),
    }
}

/// Takes an empty folder away again, where a run ended before it had anything to keep.
pub(super) fn remove_if_empty(folder: &ModelFolder) {
    // Fails, and is meant to, where there is something in it.
    let _ = std::fs::remove_dir(folder.path());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_from_two() {
        let taken = |names: &'static [&'static str]| {
            move |path: &Path| !names.iter().any(|name| path == Path::new("runs").join(name))
        };
        let first = |names| first_free(Path::new("runs"), "lstm", taken(names));
        assert_eq!(first(&[]), Path::new("runs/lstm"));
        assert_eq!(first(&["lstm"]), Path::new("runs/lstm-2"));
        assert_eq!(first(&["lstm", "lstm-2"]), Path::new("runs/lstm-3"));
    }

    #[test]
    fn a_model_name_never_leaves_the_folder() {
        assert_eq!(file_name("../../etc/passwd"), "-..-etc-passwd");
        assert_eq!(file_name(".."), "model");
        assert_eq!(file_name("나의 모델"), "나의-모델");
    }
}

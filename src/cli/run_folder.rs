//! Where a run is written: a new folder, or the one that `--out` names.

use crate::checkpoint::ModelFolder;
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

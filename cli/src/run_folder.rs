//! Where a run is written: a new folder, or the one that `--out` names.

use super::settings::Args;
use candle_recurrent::checkpoint::{
    CONFIG_FILE, Claim, HISTORY_FILE, ModelFolder, OPTIMIZER_FILE, STATE_FILE, TOKENIZER_FILE, WEIGHTS_FILE,
};
use std::path::{Path, PathBuf};

/// Runs without `--out` go here.
pub(super) const RUNS: &str = "runs";

/// The first of `root/stem`, `root/stem-2`, `root/stem-3`, … that `free` accepts.
pub(super) fn first_free(root: &Path, stem: &str, free: impl Fn(&Path) -> bool) -> PathBuf {
    let numbered = (2..).map(|number| root.join(format!("{stem}-{number}")));
    let mut candidates = std::iter::once(root.join(stem)).chain(numbered);
    candidates.find(|path| free(path)).unwrap_or_else(|| root.join(stem))
}

/// The folder of a run of the model `name`, kept from other writers: `out` itself, or a new one under `runs/`. An older run in it
/// is gone on with, or replaced where --overwrite says so.
pub(super) fn create(args: &Args, out: Option<&Path>, name: &str) -> anyhow::Result<(ModelFolder, Claim)> {
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
    claim(&path, args.overwrite || args.resumed.is_some())
}

/// A folder to write a model to, kept from other writers; one that holds a model or a run only where that is to be replaced.
pub(super) fn claim(path: &Path, overwrite: bool) -> anyhow::Result<(ModelFolder, Claim)> {
    refuse_existing(path, overwrite)?;
    let folder = ModelFolder::create(path)?;
    let claim = folder.claim()?;
    // Another run may have ended just now.
    refuse_existing(path, overwrite)?;
    Ok((folder, claim))
}

/// Refuses a folder that holds a model or a run, unless it is to be overwritten.
pub(super) fn refuse_existing(path: &Path, overwrite: bool) -> anyhow::Result<()> {
    let shown = path.display();
    if overwrite {
        return Ok(());
    }
    if path.join(STATE_FILE).is_file() {
        anyhow::bail!(
            "{shown}: holds a training run, which would be lost; go on with it by train --resume {shown}, name another \
             folder, or say --overwrite"
        );
    }
    if path.join(CONFIG_FILE).is_file() {
        anyhow::bail!("{shown}: holds a model, which would be lost; name another folder, or say --overwrite");
    }
    Ok(())
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

/// Refuses to write to a file that makes a folder a model.
pub(super) fn refuse_part(out: &Path) -> anyhow::Result<()> {
    let parts = [CONFIG_FILE, HISTORY_FILE, OPTIMIZER_FILE, STATE_FILE, TOKENIZER_FILE, WEIGHTS_FILE];
    // Through a link as well.
    let (Ok(out), shown) = (out.canonicalize(), out.display()) else { return Ok(()) };
    let is_model = |folder: &Path| folder.join(CONFIG_FILE).is_file() || folder.join(STATE_FILE).is_file();
    if parts.iter().any(|part| out.ends_with(part)) && out.parent().is_some_and(is_model) {
        anyhow::bail!("{shown}: belongs to a model folder, which would be lost; name another file");
    }
    Ok(())
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

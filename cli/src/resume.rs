//! `train --resume`: going on with a run that was stopped.

use super::begun::Begun;
use super::settings::Args;
use super::{Cli, Command};
use anyhow::{Context, bail};
use candle_recurrent::checkpoint::{STATE_FILE, SavedRun};
use clap::Parser;
use std::path::{Path, PathBuf};

/// The options that may be others than when the run was begun: they do not change what it comes to.
const FREE: [&str; 6] = ["resume", "epochs", "save_every", "threads", "quiet", "json"];

/// The arguments that a run was begun with, and where it stands; `given` are the names of the options beside `--resume`.
pub(super) fn arguments(args: Box<Args>, given: &[String]) -> anyhow::Result<Box<Args>> {
    let Some(run) = args.resume.clone() else { return Ok(args) };
    if let Some(other) = given.iter().find(|name| !FREE.contains(&name.as_str())) {
        let shown = match other.as_str() {
            "model" => "a MODEL".to_string(),
            other => format!("--{}", other.replace('_', "-")),
        };
        bail!(
            "{shown}: a run goes on as it was begun, so beside --resume stand --epochs, --save-every, --threads, --quiet and \
             --json alone; leave it out"
        );
    }
    if !run.join(STATE_FILE).exists() {
        bail!("{}", no_run(&run));
    }
    let saved = SavedRun::load(&run)?;
    let begun: Begun = serde_json::from_value(saved.of.begun.clone())
        .with_context(|| format!("{}: its state does not say how it was begun", run.display()))?;
    // Paths among the arguments are from where they were given.
    let run = go_to(&begun.folder, &run)?;
    let words = ["candle-recurrent", "train"].into_iter().map(String::from);
    let Command::Train(mut was) = Cli::try_parse_from(words.chain(begun.arguments.iter().cloned()))?.command
    else {
        bail!("{}: was not begun by train", run.display());
    };
    let epochs = saved.of.config.pointer("/recipe/epochs").and_then(serde_json::Value::as_u64);
    let epochs = epochs.map(|epochs| epochs as usize);
    if let Some(asked) = args.epochs().filter(|asked| *asked < saved.state.epochs) {
        bail!("--epochs {asked}: {} are done already", saved.state.epochs);
    }
    let save_every = given.iter().any(|name| name == "save_every").then_some(args.save_every);
    was.go_on(*args, &begun.model, run, epochs, save_every);
    was.resumed = Some(begun);
    Ok(was)
}

/// What to say of a path that is no run.
fn no_run(path: &Path) -> String {
    let shown = path.display();
    let is_run = |path: &Path| path.join(STATE_FILE).is_file();
    if let Some(folder) = path.parent().filter(|folder| path.is_file() && is_run(folder)) {
        return format!("{shown}: is a file of a run; give the run's folder, {}", folder.display());
    }
    // What `train all` leaves.
    let entries = path.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let mut runs: Vec<String> =
        entries.filter(|path| is_run(path)).map(|path| path.display().to_string()).collect();
    runs.sort();
    match runs.is_empty() {
        true => format!("{shown}: there is no run to go on with: it has no {STATE_FILE}"),
        false => format!("{shown}: holds several runs; go on with one of them: {}", runs.join(", ")),
    }
}

/// Goes where the run was begun, so that its data are found; gives the run's path from there. A folder that is no more, as of
/// a run that was moved, is done without: what the arguments name by whole paths is found all the same.
fn go_to(folder: &Path, run: &Path) -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).ok();
    let is_elsewhere = folder.canonicalize().is_ok_and(|folder| here != Some(folder));
    if !is_elsewhere {
        return Ok(run.to_path_buf());
    }
    let run = run.canonicalize().with_context(|| run.display().to_string())?;
    std::env::set_current_dir(folder)
        .with_context(|| format!("the run was begun in {}", folder.display()))?;
    Ok(run)
}

//! `push`: a model folder to the Hugging Face Hub.

use super::device::status;
use super::output::{message, table};
use super::{Outcome, Output};
use candle_recurrent::checkpoint::ModelFolder;
use candle_recurrent::hub::{Address, Hub, Kind};
use candle_recurrent::sharing::Plan;
use serde_json::json;
use std::path::PathBuf;

/// Upload a trained model to the Hugging Face Hub, with its card
///
/// The model's own files go up in one commit, and nothing else that lies in the folder. The repository is made where it
/// is not there yet. Needs a token with the right to write, in HF_TOKEN.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent push runs/lstm me/my-lstm --dry-run
  candle-recurrent push runs/lstm me/my-lstm --private
  candle-recurrent push runs/lstm me/my-lstm --revision better --message \"Trained for longer\"")]
pub(super) struct Args {
    /// The model folder, as train and convert write it
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The repository of the Hub
    #[arg(value_name = "OWNER/NAME")]
    repository: String,
    /// A repository that has yet to be made is to be seen by its owner only
    #[arg(long)]
    private: bool,
    /// The branch to write to, made from main where it is not there yet
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    revision: String,
    /// The commit's message [default: Upload NAME with candle-recurrent]
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// List what would be uploaded, and ask nobody
    #[arg(long)]
    dry_run: bool,
    /// No progress on the way
    #[arg(long, short)]
    quiet: bool,
    /// Print one JSON value: repository, revision, url, commit, files [{name, bytes}], removed
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let name = args.repository.strip_prefix("hf://").unwrap_or(&args.repository);
    let mut address = Address::repository(Kind::Model, name)
        .map_err(|error| anyhow::anyhow!("{error}; give OWNER/NAME, as in me/my-lstm"))?;
    if args.revision != "main" {
        address = address.at(&args.revision)?;
    }
    let folder = ModelFolder::open(&args.run)?;
    // Not while a training writes to it.
    let _claim = folder.claim()?;
    let plan = Plan::new(&folder, &address)?;
    let mut rows = vec![];
    for file in &plan.files {
        rows.push((file.name.clone(), file.content.length()?));
    }
    let files: Vec<_> = rows.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect();
    let mut report = json!({
        "repository": name, "revision": args.revision, "url": null, "commit": null, "files": files, "removed": [],
    });
    if args.dry_run {
        if args.json {
            output.json(&report)?;
            return Ok(Outcome::Done);
        }
        let lines = rows.into_iter().map(|(name, bytes)| vec![name, bytes.to_string()]);
        output.line(table(&lines.collect::<Vec<_>>()))?;
        output.line(format_args!("would go to {address} ({} bytes)", plan.length()?))?;
        if !plan.left.is_empty() {
            output.line(format_args!("would stay here: {}", plan.left.join(", ")))?;
        }
        return Ok(Outcome::Done);
    }
    let title = folder.config()?.model.name;
    let text = args.message.clone().unwrap_or_else(|| format!("Upload {title} with candle-recurrent"));
    let pushed = plan.push(&Hub::from_env()?, args.private, &text, &mut status(args.quiet))?;
    for name in pushed.ignored.iter() {
        message(&format!("warning: {name} is left out by the repository's .gitignore"));
    }
    if args.json {
        report["url"] = json!(pushed.url);
        report["commit"] = json!(pushed.commit);
        report["removed"] = json!(pushed.removed);
        output.json(&report)?;
        return Ok(Outcome::Done);
    }
    let is_new = if pushed.is_new { ", a new repository" } else { "" };
    output.line(format_args!(
        "pushed: {} ({} files, {} bytes, commit {}{is_new})",
        pushed.url,
        plan.files.len() - pushed.ignored.len(),
        plan.length()?,
        pushed.commit
    ))?;
    if !pushed.removed.is_empty() {
        output.line(format_args!("removed there: {}", pushed.removed.join(", ")))?;
    }
    output.line(format_args!("next: candle-recurrent summary {address}"))?;
    Ok(Outcome::Done)
}

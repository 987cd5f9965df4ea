//! `plot`: pictures of runs that are done.

use super::lambdas::Lambdas;
use super::model::ModelSource;
use super::{Outcome, Output, values};
use candle_recurrent::plot;
use candle_recurrent::sharing::Needed;
use candle_recurrent::train::History;
use std::path::{Path, PathBuf};

/// Draw the loss curves of one run, or compare the validation loss of several
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent plot runs/lstm --out lstm.png
  candle-recurrent plot runs/lstm runs/gru runs/stacked-lstm --out comparison.svg
  candle-recurrent plot lstm gru --out zoo.png
  candle-recurrent plot old/history.csv --out old.svg")]
pub(super) struct Args {
    /// Run folders, history.csv files, names of the zoo, or hf://OWNER/NAME
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,
    /// Where the picture goes: a name that ends in .svg or .png
    #[arg(long, value_name = "FILE", value_parser = values::picture)]
    out: PathBuf,
    /// Print one JSON value: out, runs [{name, best_epoch, best_val_loss}]
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut runs = Vec::new();
    for argument in &args.runs {
        runs.push((title(argument), history(argument)?));
    }
    let picture = match &runs[..] {
        [(name, history)] => plot::loss(name, history)?,
        _ => plot::comparison("validation loss", &runs)?,
    };
    picture.save(&args.out)?;
    if args.json {
        let runs = runs.iter().filter_map(|(name, history)| {
            let best = history.best()?;
            Some(
                serde_json::json!({ "name": name, "best_epoch": best.epoch, "best_val_loss": best.val_loss() }),
            )
        });
        output.json(
            &serde_json::json!({ "out": args.out.to_string_lossy(), "runs": runs.collect::<Vec<_>>() }),
        )?;
    } else {
        output.line(format_args!("drawn: {}", args.out.display()))?;
    }
    Ok(Outcome::Done)
}

fn history(argument: &str) -> anyhow::Result<History> {
    let path = Path::new(argument);
    if path.is_file() && path.extension().is_some_and(|extension| extension == "csv") {
        return Ok(History::load(path)?);
    }
    ModelSource::find_for(Needed::History, argument, None, &Lambdas::default())?.history()
}

/// The last part of a path that says something: `runs/lstm/history.csv` is `lstm`.
fn title(argument: &str) -> String {
    let path = Path::new(argument);
    let path = if path.ends_with("history.csv") { path.parent().unwrap_or(path) } else { path };
    path.file_name().map_or_else(|| argument.to_string(), |name| name.to_string_lossy().into_owned())
}

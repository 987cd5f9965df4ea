//! `backtest`: forecasts of the past of a file, held against what came.

use super::forecast::read;
use super::forecast_report::{coverage, heads, rows};
use super::lambdas::Lambdas;
use super::model::ModelSource;
use super::output::{message, table};
use super::{Outcome, Output, values};
use anyhow::bail;
use candle_core::Device;
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::data::series::Table;
use candle_recurrent::forecast::{Backtest, Forecaster};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Hold a forecaster's forecasts of a file's past against what came
///
/// It forecasts from several rows of the file on (origins), each time from what stands before, and compares its errors, step by
/// step, with those of the naive forecasts: the last value again, and the value of a season ago.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent backtest runs/gru --data prices.csv
  candle-recurrent backtest runs/gru --data prices.csv --origins 50 --step 1 --picture past.svg")]
pub(super) struct Args {
    /// The folder of a model that was trained on a series (train --target)
    model: String,
    /// A file of measurements with the columns that it was trained on
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// How many rows of each series to forecast from, the last ones that all steps ahead are there for
    #[arg(long, default_value_t = 20, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    origins: usize,
    /// Rows from one origin to the next [default: the steps that a forecast reaches ahead]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    step: Option<usize>,
    /// Where a picture of the forecasts goes: a name that ends in .svg or .png
    #[arg(long, value_name = "FILE", value_parser = values::picture)]
    picture: Option<PathBuf>,
    /// No messages on the way
    #[arg(long, short)]
    quiet: bool,
    /// Print one JSON value: origins, steps [{step, model {mae, rmse, smape, mase}, naive, seasonal_naive}], all
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let checkpoint = ModelSource::find(&args.model, None, &Lambdas::default())?.load(&Device::Cpu, None)?;
    let Some(forecaster) = Forecaster::of(&checkpoint) else {
        bail!("{}: was not trained on a series; train one with train --target", args.model);
    };
    let data = read(&forecaster, &args.data, args.quiet)?;
    let step = args.step.unwrap_or(forecaster.config().horizon);
    let origins = origins(&forecaster, &data, args.origins, step);
    let test = measure(&forecaster, &data, &origins)?;
    if let Some(until) = &forecaster.config().trained_until
        && let Some(seen) = seen(&data, &origins, until)
    {
        message(&format!(
            "note: {seen} of {} origins are before {until}, where the model's training part ends: it may know what comes",
            origins.len()
        ));
    }
    if let Some(path) = &args.picture {
        let name = &checkpoint.config.model.name;
        let title = format!("{name}: {} of {}", forecaster.config().target, data.name);
        forecaster.picture(&data, &origins, &title, name)?.save(path)?;
    }
    match args.json {
        true => output.json(&as_json(&test))?,
        false => {
            output.line(format_args!(
                "{} on {}: {} origins, {step} rows apart, {} steps ahead each",
                args.model,
                data.name,
                test.origins,
                test.steps.len()
            ))?;
            show(&forecaster, &checkpoint, &test, output)?;
        }
    }
    Ok(Outcome::Done)
}

/// Measures a forecaster on all windows of a file, for `evaluate`.
pub(super) fn evaluate(
    model: &str,
    checkpoint: &Checkpoint,
    data: &Path,
    as_json_value: bool,
    quiet: bool,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let Some(forecaster) = Forecaster::of(checkpoint) else { bail!("{model}: was not trained on a series") };
    let data = read(&forecaster, data, quiet)?;
    let origins = origins(&forecaster, &data, usize::MAX, 1);
    let test = measure(&forecaster, &data, &origins)?;
    match as_json_value {
        true => output.json(&as_json(&test))?,
        false => {
            output.line(format_args!(
                "{model} on {}: {} windows, {} steps ahead each",
                data.name,
                test.origins,
                test.steps.len()
            ))?;
            show(&forecaster, checkpoint, &test, output)?;
        }
    }
    Ok(Outcome::Done)
}

/// The rows to forecast from, those of each series by themselves, in order.
fn origins(forecaster: &Forecaster, data: &Table, count: usize, step: usize) -> Vec<usize> {
    let (window, horizon) = (forecaster.config().window, forecaster.config().horizon);
    let groups = data.groups.iter().flat_map(|group| {
        let (first, end) = (group.rows.start + window, (group.rows.end + 1).saturating_sub(horizon));
        let mut origins: Vec<usize> = (first..end.max(first)).rev().step_by(step).take(count).collect();
        origins.reverse();
        origins
    });
    groups.collect()
}

/// How many origins are before a time.
fn seen(data: &Table, origins: &[usize], until: &str) -> Option<usize> {
    let times = data.times.as_ref()?;
    let until = times.form.stamp(until)?;
    Some(origins.iter().filter(|&&origin| times.stamps[origin] < until).count()).filter(|&seen| seen > 0)
}

/// MASE is scaled by what stands before the first origin of each series.
fn measure(forecaster: &Forecaster, data: &Table, origins: &[usize]) -> anyhow::Result<Backtest> {
    let before = data.groups.iter().map(|group| {
        let first = origins.iter().copied().find(|origin| group.rows.contains(origin));
        first.map_or(group.rows.len(), |first| first - group.rows.start)
    });
    Ok(forecaster.backtest(data, origins, &before.collect::<Vec<_>>())?)
}

fn show(
    forecaster: &Forecaster,
    checkpoint: &Checkpoint,
    test: &Backtest,
    output: &mut Output,
) -> anyhow::Result<()> {
    let (name, season) = (&checkpoint.config.model.name, forecaster.config().season);
    let mut lines = vec![heads(&["step", "forecast"])];
    if test.steps.len() > 1 {
        for (step, compared) in test.steps.iter().enumerate() {
            lines.extend(rows(&(step + 1).to_string(), name, season, compared));
        }
    }
    lines.extend(rows("all", name, season, &test.all()));
    output.line(table(&lines))?;
    if let Some(line) = coverage(test) {
        output.line(line)?;
    }
    Ok(())
}

fn as_json(test: &Backtest) -> Value {
    let step = |(at, compared): (usize, &candle_recurrent::forecast::Compared)| {
        let mut value = serde_json::to_value(compared.figures()).unwrap_or_default();
        value["step"] = (at + 1).into();
        value
    };
    json!({
        "origins": test.origins,
        "steps": test.steps.iter().enumerate().map(step).collect::<Vec<_>>(),
        "all": test.all().figures(),
        "coverage": test.coverage(),
    })
}

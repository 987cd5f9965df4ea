//! `backtest`: forecasts of the past of a file, held against what came.

use super::forecast::read;
use super::forecast_report::{heads, remarks, rows};
use super::lambdas::Lambdas;
use super::measurements::left_out;
use super::model::ModelSource;
use super::output::{message, table};
use super::{Outcome, Output, hub, measurements, values};
use anyhow::bail;
use candle_core::Device;
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::data::series::{Table, TableSource};
use candle_recurrent::forecast::{Backtest, Forecaster};
use candle_recurrent::formats::Encoding;
use candle_recurrent::sharing::Wanted;
use serde_json::{Value, json};
use std::path::PathBuf;

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
    /// A file of measurements with the columns that it was trained on, or one on the Hub: hf://datasets/OWNER/NAME[/FILE]
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The encoding of the file: utf-8, cp949, shift_jis, … [default: found out, where it is UTF-8, UTF-16 or CP949]
    #[arg(long, value_name = "NAME")]
    encoding: Option<Encoding>,
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
    /// Print one JSON value: origins, trained_on (how many of them the model was trained on), steps [{step, model {mae, rmse,
    /// smape, mase}, naive, seasonal_naive}], all, coverage, mase_leaves_out (series without a MASE)
    #[arg(long)]
    json: bool,
}

/// What `evaluate` is asked for.
pub(super) struct Asked {
    /// Whether windows that were trained on are measured too.
    pub(super) all_rows: bool,
    pub(super) as_json: bool,
    pub(super) quiet: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let checkpoint = ModelSource::find(&args.model, None, &Lambdas::default())?.load(&Device::Cpu, None)?;
    let Some(forecaster) = Forecaster::of(&checkpoint) else {
        bail!("{}: was not trained on a series; train one with train --target", args.model);
    };
    let files = hub::data(&args.data, Wanted::Test, args.quiet)?;
    let source = measurements::find(&args.data, files.as_ref(), Wanted::Test, args.encoding)?;
    let data = read(&forecaster, source, args.quiet)?;
    let step = args.step.unwrap_or(forecaster.config().horizon);
    let origins = origins(&forecaster, &data, args.origins, step);
    let test = forecaster.backtest(&data, &origins)?;
    let trained = forecaster.config().trained_rows(&data);
    let seen = origins.iter().filter(|&&origin| trained.holds(&data, origin)).count();
    if seen > 0 {
        message(&format!(
            "note: {seen} of {} origins are {}, which the model was trained on: it may know what comes",
            origins.len(),
            training_part(&forecaster)
        ));
    }
    if let Some(path) = &args.picture {
        let name = &checkpoint.config.model.name;
        let title = format!("{name}: {} of {}", forecaster.config().target, data.name);
        forecaster.picture(&data, &origins, &title, name)?.save(path)?;
    }
    match args.json {
        true => output.json(&as_json(&test, seen, 0))?,
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

/// Measures a forecaster for `evaluate`: on the windows of a file whose steps ahead it was not trained on, or on all.
pub(super) fn evaluate(
    model: &str,
    checkpoint: &Checkpoint,
    source: TableSource,
    asked: Asked,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let Some(forecaster) = Forecaster::of(checkpoint) else { bail!("{model}: was not trained on a series") };
    let data = read(&forecaster, source, asked.quiet)?;
    let trained = forecaster.config().trained_rows(&data);
    let all = origins(&forecaster, &data, usize::MAX, 1);
    let (seen, new): (Vec<usize>, Vec<usize>) = all.iter().partition(|&&origin| trained.holds(&data, origin));
    let measures_all = asked.all_rows || new.is_empty();
    let test = forecaster.backtest(&data, if measures_all { &all } else { &new })?;
    if trained.others > 0 && !asked.quiet {
        message(&format!(
            "note: {} of {} series are not those that the model was trained on: their numbers differ, and all their windows are \
             measured",
            trained.others,
            data.groups.len()
        ));
    }
    let (known, left_out) = if measures_all { (seen.len(), 0) } else { (0, seen.len()) };
    match asked.as_json {
        true => output.json(&as_json(&test, known, left_out))?,
        false => {
            let part = training_part(&forecaster);
            let trained = match (known, left_out) {
                (0, 0) => String::new(),
                (0, count) => format!("; {count} {part} were trained on and are left out (--all-rows)"),
                (count, _) => format!("; {count} {part} were trained on"),
            };
            output.line(format_args!(
                "{model} on {}: {} windows, {} steps ahead each{trained}",
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
    let short = data.groups.iter().filter(|group| group.rows.len() < window + horizon);
    let short: Vec<&str> = short.map(|group| group.name.as_str()).collect();
    if short.len() < data.groups.len() {
        left_out(&short, data.groups.len(), window + horizon, "series");
    }
    let groups = data.groups.iter().flat_map(|group| {
        let (first, end) = (group.rows.start + window, (group.rows.end + 1).saturating_sub(horizon));
        let mut origins: Vec<usize> = (first..end.max(first)).rev().step_by(step).take(count).collect();
        origins.reverse();
        origins
    });
    groups.collect()
}

/// Where the rows are that the model was trained on.
fn training_part(forecaster: &Forecaster) -> String {
    match &forecaster.config().trained_until {
        Some(until) => format!("before {until}"),
        None => "at the beginning".into(),
    }
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
    remarks(test).into_iter().try_for_each(|line| output.line(line))
}

/// `trained_on` of the windows are of the training part, and so are those that are left out.
fn as_json(test: &Backtest, trained_on: usize, left_out: usize) -> Value {
    let step = |(at, compared): (usize, &candle_recurrent::forecast::Compared)| {
        let mut value = serde_json::to_value(compared.figures()).unwrap_or_default();
        value["step"] = (at + 1).into();
        value
    };
    json!({
        "origins": test.origins,
        "trained_on": trained_on,
        "left_out": left_out,
        "steps": test.steps.iter().enumerate().map(step).collect::<Vec<_>>(),
        "all": test.all().figures(),
        "coverage": test.coverage(),
        "without_season": test.without_season,
        "mase_leaves_out": test.unscaled,
    })
}

//! `predict` with a forecaster: the steps after a file's end.

use super::Outcome;
use super::measurements::{Answer, free, left_out, quoted};
use super::output::{Output, message};
use anyhow::bail;
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::data::series::{Table, TableSource};
use candle_recurrent::forecast::{Ahead, Forecaster, StepAhead};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Reads a file as a forecaster takes it, and passes on what was found.
pub(super) fn read(forecaster: &Forecaster, source: TableSource, quiet: bool) -> anyhow::Result<Table> {
    let config = forecaster.config();
    let table = TableSource { columns: config.columns(), missing: config.missing, ..source }.read()?;
    table.notes.iter().filter(|_| !quiet).for_each(|note| message(note));
    let found = table.times.as_ref().and_then(|times| times.spacing).map(|spacing| spacing.in_words());
    if let (Some(own), Some(found)) =
        (config.frequency.as_ref().and_then(|it| it.strip_prefix("every ")), &found)
        && own != found
    {
        message(&format!(
            "warning: the model was trained on a row every {own}, and here is one every {found}"
        ));
    }
    Ok(table)
}

/// Writes what follows, as CSV or JSON.
pub(super) fn run(
    checkpoint: &Checkpoint,
    source: TableSource,
    out: Option<&Path>,
    as_json: bool,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let Some(forecaster) = Forecaster::of(checkpoint) else { bail!("the model forecasts nothing") };
    let table = read(&forecaster, source, false)?;
    let (ahead, short) = forecaster.ahead(&table)?;
    let window = forecaster.config().window;
    if ahead.is_empty() {
        let rows = table.groups.iter().map(|group| group.rows.len()).max().unwrap_or(0);
        bail!("{}: has {rows} rows, and a forecast is made from {window}", table.name);
    }
    let short: Vec<&str> = short.iter().map(String::as_str).collect();
    left_out(&short, table.groups.len(), window, "series");
    let time = table.times.as_ref().map(|times| times.column.as_str());
    let (series, steps) = (ahead.len(), forecaster.config().horizon);
    let answer = Answer {
        csv: &|| csv(&forecaster, &ahead, time),
        json: &|| json(&forecaster, &ahead),
        counts: json!({ "series": series, "steps": steps }),
        in_words: format!("{series} series, {steps} steps each"),
    };
    answer.tell(out, as_json, output)?;
    Ok(Outcome::Done)
}

/// No more digits than the model computes with.
fn number(value: f64) -> String {
    (value as f32).to_string()
}

/// The names of the columns of values; those of the band are other ones than the `taken`.
fn columns(forecaster: &Forecaster, taken: &[&str]) -> Vec<String> {
    let config = forecaster.config();
    let target = config.target.as_str();
    let band = |name: &str| free(name, &[taken, &[target]].concat());
    match config.quantiles.is_empty() {
        true if config.errors.is_empty() => vec![target.into()],
        true => vec![target.into(), band("low"), band("high")],
        false => config.quantiles.iter().map(|quantile| format!("{target}_{quantile}")).collect(),
    }
}

/// The values in these columns.
fn values(step: &StepAhead) -> Vec<f64> {
    match step.quantiles.is_empty() {
        true => std::iter::once(step.value).chain(step.band.into_iter().flatten()).collect(),
        false => step.quantiles.clone(),
    }
}

fn csv(forecaster: &Forecaster, ahead: &[Ahead], time: Option<&str>) -> String {
    let config = forecaster.config();
    let has_times = ahead.iter().flat_map(|it| &it.steps).all(|step| step.time.is_some());
    let group = config.group_column.as_deref().unwrap_or_default();
    let step = free("step", &[group, &config.target]);
    let place = time.filter(|_| has_times).unwrap_or(&step);
    let columns = columns(forecaster, &[group, place]);
    let heads = config.group_column.iter().cloned().chain([place.to_string()]).chain(columns);
    let mut text = heads.map(|head| quoted(&head)).collect::<Vec<_>>().join(",") + "\n";
    for series in ahead {
        for step in &series.steps {
            let place = step.time.clone().filter(|_| has_times).unwrap_or_else(|| step.step.to_string());
            let group = config.group_column.iter().map(|_| series.group.clone());
            let cells = group.chain([place]).chain(values(step).into_iter().map(number));
            text.push_str(&cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(","));
            text.push('\n');
        }
    }
    text
}

fn json(forecaster: &Forecaster, ahead: &[Ahead]) -> Value {
    let rounded = |value: f64| json!(number(value).parse::<f64>().unwrap_or(value));
    let quantiles = &forecaster.config().quantiles;
    let step = |step: &StepAhead| {
        let mut fields = Map::new();
        fields.extend(step.time.as_ref().map(|time| ("time".to_string(), json!(time))));
        fields.insert("step".into(), json!(step.step));
        fields.insert("value".into(), rounded(step.value));
        for (name, value) in ["low", "high"].into_iter().zip(step.band.into_iter().flatten()) {
            fields.insert(name.into(), rounded(value));
        }
        if !quantiles.is_empty() {
            let pairs = quantiles.iter().zip(&step.quantiles);
            let all: Map<String, Value> =
                pairs.map(|(quantile, value)| (quantile.to_string(), rounded(*value))).collect();
            fields.insert("quantiles".into(), all.into());
        }
        Value::Object(fields)
    };
    let all = ahead.iter().map(|series| {
        let steps: Vec<Value> = series.steps.iter().map(step).collect();
        match forecaster.config().group_column {
            Some(_) => json!({ "group": series.group, "steps": steps }),
            None => json!({ "steps": steps }),
        }
    });
    json!({ "target": forecaster.config().target, "forecasts": all.collect::<Vec<_>>() })
}

//! `predict` with a forecaster: the steps after a file's end.

use super::output::{Output, message};
use super::series::quoted;
use super::{Outcome, series};
use anyhow::bail;
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::data::series::Table;
use candle_recurrent::forecast::{Ahead, Forecaster, StepAhead};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Reads a file as a forecaster takes it, and passes on what was found.
pub(super) fn read(forecaster: &Forecaster, data: &Path, quiet: bool) -> anyhow::Result<Table> {
    series::is_there("--data", data)?;
    let config = forecaster.config();
    let table = Table::read(data, &config.columns(), config.missing)?;
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
    data: &Path,
    out: Option<&Path>,
    as_json: bool,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let Some(forecaster) = Forecaster::of(checkpoint) else {
        bail!("{}: the model forecasts nothing", data.display())
    };
    let table = read(&forecaster, data, false)?;
    let (ahead, short) = forecaster.ahead(&table)?;
    let window = forecaster.config().window;
    if ahead.is_empty() {
        let rows = table.groups.iter().map(|group| group.rows.len()).max().unwrap_or(0);
        bail!("{}: has {rows} rows, and a forecast is made from {window}", data.display());
    }
    if let Some(first) = short.first() {
        message(&format!(
            "warning: {} series have fewer rows than a window ({window}) and are left out, the first {first:?}",
            short.len()
        ));
    }
    if as_json && out.is_none() {
        output.json(&json(&forecaster, &ahead))?;
        return Ok(Outcome::Done);
    }
    let text = csv(&forecaster, &ahead, table.times.as_ref().map(|times| times.column.as_str()));
    match out {
        None => output.text(&text)?,
        Some(out) => {
            std::fs::write(out, text).map_err(|error| anyhow::anyhow!("{}: {error}", out.display()))?;
            match as_json {
                true => output.json(&json(&forecaster, &ahead))?,
                false => output.line(format_args!(
                    "{}: {} series, {} steps each",
                    out.display(),
                    ahead.len(),
                    forecaster.config().horizon
                ))?,
            }
        }
    }
    Ok(Outcome::Done)
}

/// No more digits than the model computes with.
fn number(value: f64) -> String {
    (value as f32).to_string()
}

/// The names of the columns of values.
fn columns(forecaster: &Forecaster) -> Vec<String> {
    let config = forecaster.config();
    match config.quantiles.is_empty() {
        true if config.errors.is_empty() => vec![config.target.clone()],
        true => vec![config.target.clone(), "low".into(), "high".into()],
        false => config.quantiles.iter().map(|quantile| format!("{}_{quantile}", config.target)).collect(),
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
    let place = time.filter(|_| has_times).unwrap_or("step");
    let heads = config.group_column.iter().cloned().chain([place.to_string()]).chain(columns(forecaster));
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
    let names = columns(forecaster);
    let step = |step: &StepAhead| {
        let mut fields = Map::new();
        fields.extend(step.time.as_ref().map(|time| ("time".to_string(), json!(time))));
        fields.insert("step".into(), json!(step.step));
        for (name, value) in names.iter().zip(values(step)) {
            fields.insert(name.clone(), rounded(value));
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

//! `list`: what the zoo has.

use super::output::table;
use super::{Outcome, Output};
use candle_recurrent::checkpoint::{Results, recurrent_in_words};
use candle_recurrent::zoo;
use serde::Serialize;

/// List the models of the zoo: their recurrent layers, parameters, and the figures they were trained to
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent list
  candle-recurrent list --json")]
pub(super) struct Args {
    /// Print one JSON value: a list of {name, layers, params, results}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    layers: Vec<String>,
    params: usize,
    results: Option<Results>,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut rows = Vec::new();
    for entry in zoo::entries() {
        let config = entry.config()?;
        rows.push(Row {
            name: entry.name,
            layers: config.model.layers.iter().filter_map(|layer| recurrent_in_words(&layer.class)).collect(),
            params: config.model.summary()?.total_params,
            results: config.results,
        });
    }
    if args.json {
        output.json(&rows)?;
        return Ok(Outcome::Done);
    }
    let header = ["name", "recurrent layers", "params", "val_loss", "test_acc", "trained on"];
    let mut lines = vec![header.map(String::from).to_vec()];
    for row in rows {
        let results = row.results;
        let figure = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.4}"));
        lines.push(vec![
            row.name.into(),
            row.layers.join(", "),
            row.params.to_string(),
            figure(results.as_ref().and_then(|results| results.get("val_loss"))),
            figure(results.as_ref().and_then(|results| results.get("test_accuracy"))),
            results.as_ref().map_or_else(|| "-".into(), |results| results.data.clone()),
        ]);
    }
    output.line(table(&lines))?;
    Ok(Outcome::Done)
}

//! `summary`: the table that Keras prints.

use super::flags::in_words;
use super::lambdas::Lambdas;
use super::model::ModelSource;
use super::output::message;
use super::{Outcome, Output};
use std::path::PathBuf;

/// Print a model's layers, output shapes and parameters, as Keras does
///
/// Exits with 1, the table printed, where the file's weights cannot be used.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent summary stacked-lstm
  candle-recurrent summary runs/lstm --json
  candle-recurrent summary my-model/config.json
  candle-recurrent summary best-lstm-model.h5
  candle-recurrent summary best.weights.h5 --config model.json")]
pub(super) struct Args {
    /// A name of the zoo (see `list`), a model folder, a config.json, a file of Keras's (.keras, .h5), of PyTorch's
    /// (.pt) with --config, or one of these on the Hugging Face Hub: hf://OWNER/NAME
    model: String,
    /// The architecture of a file of weights alone: Keras's to_json(), a config.json, or another file of the model
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    lambdas: Lambdas,
    /// Print one JSON value: layers [{name, class_name, output_shape, params}], total_params
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let source = ModelSource::find(&args.model, args.config.as_deref(), &args.lambdas)?;
    let (model, fault) = source.model_and_fault()?;
    let summary = model.summary()?;
    if let Some(fault) = &fault {
        message(&format!("warning: these are its layers, but it cannot be used: {}", in_words(fault)));
    }
    match args.json {
        true => output.json(&summary)?,
        false => output.line(summary.to_string().trim_end())?,
    }
    Ok(if fault.is_some() { Outcome::Faulty } else { Outcome::Done })
}

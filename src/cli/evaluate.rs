//! `evaluate`: loss and accuracy on the test reviews.

use super::device::{DeviceName, set_threads, status};
use super::model::{ModelSource, tokenizer};
use super::{Outcome, Output, values};
use crate::data::{self, Source};
use crate::train;
use std::path::PathBuf;

/// Measure a trained model on a data set's test reviews
///
/// Text is turned into ids by the model's own vocabulary. An imdb.npz holds ids already: evaluate models on it that
/// were trained on IMDB.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent evaluate runs/lstm
  candle-recurrent evaluate lstm --data imdb
  candle-recurrent evaluate runs/gru --data imdb.npz --json
  candle-recurrent evaluate best-lstm-model.h5 --data imdb.npz")]
pub(super) struct Args {
    /// A name of the zoo (see `list`), a model folder, or a file of Keras's (.keras, .h5)
    model: String,
    /// The architecture of a file of weights alone: Keras's to_json(), a config.json, or another file of the model
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What turns text into ids where the model has no vocabulary: imdb (Keras's words), a tokenizer.json, or a word
    /// index
    #[arg(long, value_name = "FILE|imdb")]
    tokenizer: Option<String>,
    /// builtin, imdb, an imdb.npz, an aclImdb folder, or a folder of the Hub's Parquet files
    #[arg(long, default_value = "builtin", value_name = "SOURCE", value_parser = values::source)]
    data: Source,
    /// Reviews at a time; changes speed and memory, not the result
    #[arg(long, default_value_t = 1024, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    batch_size: usize,
    /// Threads of the CPU; changes speed, not the result [default: one a core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::threads)]
    threads: Option<usize>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// No messages on the way
    #[arg(long, short)]
    quiet: bool,
    /// Print one JSON value: loss, accuracy, samples
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let device = args.device.open()?;
    let source = ModelSource::find(&args.model, args.config.as_deref())?;
    let mut checkpoint = source.load(&device)?;
    if checkpoint.config.model.vocab_size().is_none() {
        anyhow::bail!(
            "{}: does not read text, having no Embedding, and the data sets are reviews; for arrays there is predict --input",
            args.model
        );
    }
    if let Some(argument) = &args.tokenizer {
        checkpoint.tokenizer = Some(tokenizer(argument, checkpoint.config.recipe.vocab_size)?);
    }
    set_threads(args.threads)?;
    let options = checkpoint.config.recipe.data_options();
    let mut report = status(args.quiet);
    let test = data::load_test(&args.data, &options, checkpoint.tokenizer.as_ref(), &mut report)?;
    let evaluation = train::evaluate(&checkpoint.model, &test, args.batch_size, &device)?;
    match args.json {
        true => output.json(&evaluation)?,
        false => output.line(format_args!(
            "{} on {}: loss {:.4}, accuracy {:.4} ({} test reviews)",
            args.model, args.data, evaluation.loss, evaluation.accuracy, evaluation.samples
        ))?,
    }
    Ok(Outcome::Done)
}

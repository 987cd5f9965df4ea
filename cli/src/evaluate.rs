//! `evaluate`: loss and accuracy on the test reviews.

use super::reading::Reading;
use super::{Outcome, Output, values};
use anyhow::Context;
use candle_recurrent::data;
use candle_recurrent::train;

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
    /// Reviews at a time; changes speed and memory, not the result
    #[arg(long, default_value_t = 1024, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    batch_size: usize,
    #[command(flatten)]
    reading: Reading,
    /// Print one JSON value: loss, accuracy, samples
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let (reading, data) = (&args.reading, &args.reading.data);
    let device = reading.device()?;
    let mut checkpoint = reading.model(&args.model)?.load(&device, None)?;
    let model = &checkpoint.config.model;
    if model.reads_text() {
        anyhow::bail!("{}: turns text into ids itself, and evaluate gives ids; take predict", args.model);
    }
    if model.vocab_size().is_none() {
        anyhow::bail!(
            "{}: does not read text, having no Embedding, and the data sets are reviews; for arrays there is predict --input",
            args.model
        );
    }
    model.check_binary_classifier().with_context(|| args.model.clone())?;
    if model.is_stateful() {
        anyhow::bail!(
            "{}: is stateful, so each answer would hang on the reviews before it; set `stateful` to false in its \
             configuration",
            args.model
        );
    }
    reading.encoding.set(&mut checkpoint.config.recipe);
    if let Some(named) = reading.encoding.tokenizer(checkpoint.config.recipe.vocab_size)? {
        checkpoint.tokenizer = Some(named);
    }
    reading.set_threads()?;
    let options = checkpoint.config.recipe.data_options();
    let test = data::load_test(data, &options, checkpoint.tokenizer.as_ref(), &mut reading.status())?;
    let evaluation = train::evaluate(&checkpoint.model, &test, args.batch_size, &device)?;
    match args.json {
        true => output.json(&evaluation)?,
        false => output.line(format_args!(
            "{} on {}: loss {:.4}, accuracy {:.4} ({} test reviews)",
            args.model, data, evaluation.loss, evaluation.accuracy, evaluation.samples
        ))?,
    }
    Ok(Outcome::Done)
}

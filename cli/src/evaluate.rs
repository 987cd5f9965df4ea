//! `evaluate`: loss and metrics on test data.

use super::output::message;
use super::reading::Reading;
use super::{Outcome, Output, backtest, dataset, own_texts, sequences, values, words};
use anyhow::Context;
use candle_recurrent::data::{self, Examples, Source};
use candle_recurrent::sharing::Wanted;
use candle_recurrent::train::{self, Evaluation, heads};
use serde_json::Value;

/// Measure a trained model on test data
///
/// Text is turned into ids by the model's own vocabulary. An imdb.npz holds ids already: evaluate models on it that
/// were trained on IMDB. Your own file of texts and labels is measured whole, by the classes that the model was trained
/// on. Arrays are those under x_test and y_test, or x and y. Loss and metrics are those of the model's
/// recipe, else they are taken from its last activation and the labels.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent evaluate runs/lstm
  candle-recurrent evaluate lstm --data imdb
  candle-recurrent evaluate runs/gru --data imdb.npz --json
  candle-recurrent evaluate runs/lstm --data more.csv --text-column document
  candle-recurrent evaluate forecaster.keras --data test.npz --metrics mae,rmse
  candle-recurrent evaluate best-lstm-model.h5 --data imdb.npz")]
pub(super) struct Args {
    /// A name of the zoo (see `list`), a model folder, a file of Keras's (.keras, .h5), of PyTorch's (.pt) with
    /// --config, or one of these on the Hugging Face Hub: hf://OWNER/NAME[@REVISION][/FILE]
    model: String,
    /// Rows in a batch of Keras's: where masks or weights say how much a row counts, the loss is a mean of batches
    #[arg(long, default_value_t = 32, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    batch_size: usize,
    /// The loss, in place of the recipe's: mse, huber(delta=2)
    #[arg(long, value_name = "LOSS", value_parser = words::class_per_output)]
    loss: Option<Value>,
    /// The metrics, in place of the recipe's: accuracy,auc(curve=PR)
    #[arg(long, value_name = "METRICS", value_parser = words::classes)]
    metrics: Option<Value>,
    #[command(flatten)]
    reading: Reading,
    /// Print one JSON value: loss, the metrics by their names (accuracy), samples
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let reading = &args.reading;
    let device = reading.device()?;
    let (mut checkpoint, notes) = reading.model(&args.model)?.load_compiled(&device)?;
    if checkpoint.config.model.reads_text() {
        anyhow::bail!("{}: turns text into ids itself, and evaluate gives ids; take predict", args.model);
    }
    reading.fetch(Wanted::Test)?;
    if let (Some(_), Source::Path(data)) = (&checkpoint.config.series, &reading.data) {
        return backtest::evaluate(&args.model, &checkpoint, data, args.json, reading.quiet, output);
    }
    let of_sequences = match (&checkpoint.config.sequences, &reading.data) {
        (Some(config), Source::Path(data)) => Some((config, data)),
        _ => None,
    };
    let arrays = if of_sequences.is_none() { reading.arrays()? } else { None };
    let labelled = if arrays.is_none() && of_sequences.is_none() { reading.labelled_test()? } else { None };
    let model = &checkpoint.config.model;
    let (examples, name, rows): (Examples, String, &str) = match (&arrays, of_sequences) {
        (Some(source), _) => {
            reading.set_threads()?;
            (dataset::test_arrays(source, model)?, source.name(), "rows")
        }
        (None, Some((config, data))) => {
            reading.set_threads()?;
            let targets = checkpoint.config.targets().context("the model names no classes")?;
            let (examples, rows) = sequences::examples(config, &targets, data, reading.quiet)?;
            (examples, reading.data.to_string(), rows)
        }
        (None, None) => {
            if model.vocab_size().is_none() {
                anyhow::bail!(
                    "{}: does not read text, having no Embedding, and {} are reviews; give arrays: a .npz with x and y",
                    args.model,
                    reading.data
                );
            }
            if labelled.is_none() && checkpoint.config.classes.len() != 2 {
                model.check_binary_classifier().with_context(|| args.model.clone())?;
            }
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
            let tokenizer = checkpoint.tokenizer.as_ref();
            match &labelled {
                Some(source) => {
                    (reading.status())(&format!("reading {}", source.path.display()));
                    let (examples, notes) = own_texts::test(source, &checkpoint, &args.model)?;
                    own_texts::tell(&notes, reading.quiet);
                    (examples, reading.data.to_string(), "texts")
                }
                None => {
                    let test =
                        data::load_test(&reading.reviews()?, &options, tokenizer, &mut reading.status())?;
                    (Examples::from(&test), reading.data.to_string(), "test reviews")
                }
            }
        }
    };
    let config = &mut checkpoint.config;
    match &args.loss {
        Some(loss) => config.recipe.set_loss(loss.clone()),
        None => notes.iter().for_each(|note| message(&format!("warning: {}: {note}", args.model))),
    }
    config.recipe.metrics = args.metrics.clone().unwrap_or_else(|| config.recipe.metrics.clone());
    let guessed = config.guess_objective(examples.targets())?;
    if let (Some(guessed), Some(_), false) = (guessed, &arrays, reading.quiet) {
        message(&format!("note: {guessed}"));
    }
    let objective = config.objective()?;
    objective.check_targets("test", &examples, &heads(&config.model)?)?;
    let model = &checkpoint.model;
    let evaluation = train::evaluate(model, &objective, &examples, args.batch_size, &device)?;
    match args.json {
        true => output.json(&evaluation)?,
        false => output.line(format_args!(
            "{} on {name}: {} ({} {rows})",
            args.model,
            in_words(&evaluation),
            evaluation.samples
        ))?,
    }
    Ok(Outcome::Done)
}

/// `loss 0.4266, accuracy 0.8003`.
pub(super) fn in_words(evaluation: &Evaluation) -> String {
    let figures = evaluation.figures.iter().map(|(name, value)| format!("{name} {value:.4}"));
    figures.collect::<Vec<_>>().join(", ")
}

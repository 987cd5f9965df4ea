//! `evaluate`: loss and metrics on test data.

use super::judged::{Judged, Origin, class_names, judge};
use super::judged_files::Told;
use super::judged_page::Head;
use super::output::message;
use super::reading::Reading;
use super::{
    Outcome, Output, backtest, dataset, judged_files, judged_words, own_texts, sequences, values, words,
};
use anyhow::Context;
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::data::{self, Dataset, Examples, Source};
use candle_recurrent::report::{Kind, MOST_CLASSES, Rows};
use candle_recurrent::sharing::Wanted;
use candle_recurrent::text::{Tokenizer, TokenizerKind, UNKNOWN};
use candle_recurrent::train::{self, Evaluation, heads};
use serde_json::Value;
use std::path::PathBuf;

/// So many mistakes are told where nobody says how many.
const MISTAKES: usize = 5;

/// Measure a trained model on test data
///
/// Text is turned into ids by the model's own vocabulary. An imdb.npz holds ids already: evaluate models on it that
/// were trained on IMDB. Your own file of texts and labels is measured whole, by the classes that the model was trained
/// on. Arrays are those under x_test and y_test, or x and y. Loss and metrics are those of the model's
/// recipe, else they are taken from its last activation and the labels. Of classes it shows precision, recall and F1 of
/// each, and which are taken for which.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent evaluate runs/lstm
  candle-recurrent evaluate lstm --data imdb
  candle-recurrent evaluate runs/gru --data imdb.npz --json
  candle-recurrent evaluate runs/lstm --data more.csv --text-column document
  candle-recurrent evaluate runs/lstm --data more.csv --mistakes 10 --out report
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
    /// Write the whole report into this folder: report.html, which stands alone, report.json, predictions.csv, and of classes
    /// confusion.svg and confusion.png
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Show so many of the worst mistakes with their texts [default: 5 in the report and in JSON, none beside the tables]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::whole)]
    mistakes: Option<usize>,
    /// Measure a forecaster also on the windows of its training part, which are left out where the file is that of the training
    #[arg(long)]
    all_rows: bool,
    #[command(flatten)]
    reading: Reading,
    /// Print one JSON value: loss, the metrics by their names (accuracy), samples, and the report: figures by class, their
    /// means, ROC-AUC, confusion, calibration, mistakes
    #[arg(long)]
    json: bool,
}

impl Args {
    /// The first of the options that are of reports and of what they show, which forecasters have not.
    fn of_reports(&self) -> Option<&'static str> {
        let options = [
            (self.out.is_some(), "--out"),
            (self.mistakes.is_some(), "--mistakes"),
            (self.loss.is_some(), "--loss"),
            (self.metrics.is_some(), "--metrics"),
        ];
        options.into_iter().find_map(|(given, name)| given.then_some(name))
    }
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let reading = &args.reading;
    let device = reading.device()?;
    let (mut checkpoint, notes) = reading.model(&args.model)?.load_compiled(&device)?;
    if checkpoint.config.model.reads_text() {
        anyhow::bail!("{}: turns text into ids itself, and evaluate gives ids; take predict", args.model);
    }
    reading.fetch(Wanted::Test)?;
    let takes_measurements = checkpoint.config.series.is_some() || checkpoint.config.sequences.is_some();
    if let (true, Some(option)) = (takes_measurements, reading.of_texts().or(reading.encoding.given())) {
        anyhow::bail!("{}: takes measurements, and {option} is for texts; leave it out", args.model);
    }
    if let (Some(_), Some(source)) = (&checkpoint.config.series, reading.measurements(Wanted::Test)?) {
        if let Some(option) = args.of_reports() {
            anyhow::bail!("{option}: a forecaster has no such report; take backtest");
        }
        let asked = backtest::Asked { all_rows: args.all_rows, as_json: args.json, quiet: reading.quiet };
        return backtest::evaluate(&args.model, &checkpoint, source, asked, output);
    }
    if args.all_rows {
        anyhow::bail!("--all-rows: goes with a model that was trained on a series (train --target)");
    }
    let data = Data::read(args, &mut checkpoint)?;
    let config = &mut checkpoint.config;
    match &args.loss {
        Some(loss) => config.recipe.set_loss(loss.clone()),
        None => notes.iter().for_each(|note| message(&format!("warning: {}: {note}", args.model))),
    }
    config.recipe.metrics = args.metrics.clone().unwrap_or_else(|| config.recipe.metrics.clone());
    let guessed = config.guess_objective(data.examples.targets())?;
    if let (Some(guessed), Origin::Arrays, false) = (guessed, &data.origin, reading.quiet) {
        message(&format!("note: {guessed}"));
    }
    let objective = config.objective()?;
    let heads = heads(&config.model)?;
    objective.check_targets("test", &data.examples, &heads)?;
    let kind = match heads.as_slice() {
        [head] => Kind::of(head, &data.examples)?,
        _ => None,
    };
    if let (None, Some(out)) = (kind, &args.out) {
        anyhow::bail!(
            "--out {}: a report is of one class, one set of classes or one number a row, up to {MOST_CLASSES} classes, without \
             sample weights; leave it out",
            out.display()
        );
    }
    args.out.as_deref().map_or(Ok(()), judged_files::prepare)?;
    let mut rows = kind.map(|kind| Rows::new(kind, &data.examples)).transpose()?;
    let mut on_rows = |outputs: &[train::Output]| rows.as_mut().map_or(Ok(()), |rows| rows.add(outputs));
    let (model, examples) = (&checkpoint.model, &data.examples);
    let evaluation =
        train::evaluate_rows(model, &objective, examples, args.batch_size, &device, &mut on_rows)?;
    let mistakes = args.mistakes.unwrap_or(MISTAKES);
    let report = rows.as_ref().map(|rows| {
        let classes = class_names(&checkpoint.config.classes, rows.kind(), &data.origin);
        judge(rows, &classes, mistakes, &data.origin, examples)
    });
    let judged = Judged { evaluation, report: report.transpose()? };
    let count = format!("{} {}", judged.evaluation.samples, data.rows);
    if let (Some(out), Some(report), Some(rows)) = (&args.out, &judged.report, &rows) {
        let figures =
            judged.evaluation.figures.iter().map(|(name, value)| (name.to_string(), value)).collect();
        let head = Head { model: &args.model, data: &data.name, count: count.clone(), figures };
        let told = Told { judged: &judged, report, rows, origin: &data.origin, examples, head };
        told.write(out)?;
    }
    if args.json {
        output.json(&judged)?;
        return Ok(Outcome::Done);
    }
    output.line(format_args!(
        "{} on {}: {} ({count})",
        args.model,
        data.name,
        in_words(&judged.evaluation)
    ))?;
    if let Some(report) = &judged.report {
        output.line(format_args!("\n{}", judged_words::in_words(report, args.mistakes.is_some())))?;
    }
    if let Some(out) = &args.out {
        output.line(format_args!("\nreport: {}", out.join("report.html").display()))?;
    }
    Ok(Outcome::Done)
}

/// What is measured.
struct Data {
    examples: Examples,
    origin: Origin,
    name: String,
    /// What a row is called, in the plural.
    rows: &'static str,
}

impl Data {
    fn read(args: &Args, checkpoint: &mut Checkpoint) -> anyhow::Result<Self> {
        let reading = &args.reading;
        if let (Some(config), Some(source)) =
            (&checkpoint.config.sequences, reading.measurements(Wanted::Test)?)
        {
            reading.set_threads()?;
            let targets = checkpoint.config.targets().context("the model names no classes")?;
            let (examples, rows) = sequences::examples(config, &targets, source, reading.quiet)?;
            return Ok(Self { examples, origin: Origin::Arrays, name: reading.data.to_string(), rows });
        }
        let arrays = reading.arrays()?;
        let labelled = if arrays.is_none() { reading.labelled_test()? } else { None };
        let model = &checkpoint.config.model;
        if let Some(source) = &arrays {
            reading.set_threads()?;
            let examples = dataset::test_arrays(source, model)?;
            return Ok(Self { examples, origin: Origin::Arrays, name: source.name(), rows: "rows" });
        }
        if model.vocab_size().is_none() {
            anyhow::bail!(
                "{}: does not read text, having no Embedding, and {} are reviews; give arrays: a .npz with x and y",
                args.model,
                reading.data
            );
        }
        let is_named = checkpoint.config.classes.len() == 2
            && model.outputs()?.iter().all(|(_, shape, _)| shape.len() == 2);
        if labelled.is_none() && !is_named {
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
        let name = reading.data.to_string();
        if let Some(source) = &labelled {
            (reading.status())(&format!("reading {}", source.path.display()));
            let (examples, rows, notes) = own_texts::test(source, checkpoint, &args.model)?;
            own_texts::tell(&notes, reading.quiet);
            return Ok(Self { examples, origin: Origin::Texts(rows), name, rows: "texts" });
        }
        let options = checkpoint.config.recipe.data_options();
        let tokenizer = checkpoint.tokenizer.as_ref();
        let reviews = reading.reviews()?;
        let test = data::load_test(&reviews, &options, tokenizer, &mut reading.status())?;
        if let Some(doubt) = tokenizer.map(|own| doubt(&reviews, &test, own)).transpose()?.flatten() {
            message(&doubt);
        }
        let origin = Origin::Reviews(checkpoint.tokenizer.clone());
        Ok(Self { examples: Examples::from(&test), origin, name, rows: "test reviews" })
    }
}

/// A warning where a model reads reviews by another vocabulary than they came with, or knows few of their words.
fn doubt(reviews: &Source, test: &Dataset, own: &Tokenizer) -> anyhow::Result<Option<String>> {
    if data::holds_ids(reviews)? {
        return Ok((!own.is_imdb()).then(|| {
            format!("warning: {reviews}: holds ids of Keras's words of IMDB, and the model reads ids of other words: its figures say \
                     nothing")
        }));
    }
    if own.kind() != Some(TokenizerKind::Word) {
        return Ok(None);
    }
    let words = test.ids().iter().filter(|&&id| id >= UNKNOWN).count();
    let unknown = test.ids().iter().filter(|&&id| id == UNKNOWN).count();
    Ok(data::doubt(&reviews.to_string(), unknown, words))
}

/// `loss 0.4266, accuracy 0.8003`.
pub(super) fn in_words(evaluation: &Evaluation) -> String {
    let figures = evaluation.figures.iter().map(|(name, value)| format!("{name} {value:.4}"));
    figures.collect::<Vec<_>>().join(", ")
}

//! `predict`: is this text positive or negative? And, for models of any kind: what do these arrays give?

use super::classify::{self, Answer, Batches, Classifier, Shown};
use super::lambdas::Lambdas;
use super::lines::Lines;
use super::model::ModelSource;
use super::predict_table::Asked;
use super::run_folder::{refuse_input, refuse_part};
use super::tokenizer::Encoding;
use super::{
    Outcome, Output, arrays, forecast, hub, measurements, predict_arrays, predict_table, predict_texts,
    prediction, sequences, values,
};
use anyhow::Context;
use candle_core::Device;
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::data::{Targets, TextSource};
use candle_recurrent::formats::Encoding as TextEncoding;
use candle_recurrent::sharing::Wanted;
use candle_recurrent::text::Encoded;
use std::path::{Path, PathBuf};

/// Classify text from the command line or standard input, or run arrays through any model (--input)
///
/// Prints the label, the probability that the text is positive (of a model with classes of its own, that it is of the
/// second of two, or of the likeliest of more; of one that gives numbers, the number alone), and the text; of arrays, what the model gives. Lines of
/// standard input are answered line by line, as they come: the answer to line n is line n of the output. A blank line has no
/// answer, and a blank line stands in its place (with --json an item of nulls).
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent predict lstm \"I expected to hate it, but it is lovely\"
  candle-recurrent predict runs/gru --json \"not good at all\" \"a great film\"
  candle-recurrent predict lstm < reviews.txt
  candle-recurrent predict hf://OWNER/NAME \"a great film\"
  candle-recurrent predict runs/reviews --input new.csv --output answered.csv
  candle-recurrent predict best-lstm-model.h5 --tokenizer imdb \"a great film\"
  candle-recurrent predict forecast.keras --input x.npz --output y.npz
  candle-recurrent predict tagger.h5 --input x.npz --until bidirectional
  candle-recurrent predict runs/gru --data prices.csv")]
pub(super) struct Args {
    /// A name of the zoo (see `list`), a model folder, a file of Keras's (.keras, .h5), of PyTorch's (.pt) with
    /// --config, or one of these on the Hugging Face Hub: hf://OWNER/NAME[@REVISION][/FILE]
    model: String,
    /// The texts; without any, the lines of standard input, of up to 16 MiB each
    text: Vec<String>,
    /// Arrays in place of texts, floats or token ids: a .npz or .safetensors with x, or x0, x1, … in the order of the
    /// model's inputs; a .npy; or a .csv of numbers, a sample a line. Or a table of texts: a .csv, .tsv, .jsonl, .json (a list of objects) or
    /// .parquet, also packed as .csv.gz, .jsonl.zst and the like. Or one of these on the
    /// Hub: hf://datasets/OWNER/NAME[@REVISION][/FILE]
    #[arg(long, value_name = "FILE", group = "from", value_parser = arrays::input_path, conflicts_with = "text")]
    input: Option<PathBuf>,
    /// Of a model that was trained on a series (train --target): measurements up to now, to go on from the end of; of one that
    /// tells sequences apart, sequences. A file, or one on the Hub: hf://datasets/OWNER/NAME[@REVISION][/FILE]
    #[arg(long, value_name = "FILE", group = "from", conflicts_with_all = ["text", "tokenizer", "padding", "truncating", "until", "batch_size", "input"])]
    data: Option<PathBuf>,
    /// Where the answer to --input goes: of arrays, as y, or y0, y1, …, a .npz, .npy, .safetensors or .csv; of texts, the same
    /// table with label and probability added; of measurements, the forecast [default: standard output]
    #[arg(long, value_name = "FILE", value_parser = arrays::output_path, requires = "from", conflicts_with = "text")]
    output: Option<PathBuf>,
    /// Of a table of texts, the column of the texts: its name, or its number from 1 [default: the one named text, document,
    /// review, sentence or the like]
    #[arg(long, value_name = "NAME", requires = "input", conflicts_with = "text")]
    text_column: Option<String>,
    /// The encoding of a table of texts or of measurements: utf-8, cp949, shift_jis, gb18030, latin1, … [default: found out,
    /// where it is UTF-8, UTF-16 or CP949]
    #[arg(long = "encoding", value_name = "NAME", requires = "from", conflicts_with = "text")]
    text_encoding: Option<TextEncoding>,
    /// Stop at the first row of a table that cannot be read; else it is told, and stands there without an answer
    #[arg(long, requires = "input", conflicts_with = "text")]
    strict: bool,
    /// Tell the K likeliest classes, each with its own probability
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = values::positive)]
    top: Option<usize>,
    /// Samples of --input at a time; changes speed and memory, not the result, but for a stateful model, whose states go
    /// from one batch to the next [default: the file's where it says one]
    #[arg(long, value_name = "N", requires = "input", allow_negative_numbers = true, value_parser = values::positive, conflicts_with_all = ["text", "tokenizer"])]
    batch_size: Option<usize>,
    /// The architecture of a file of weights alone: Keras's to_json(), a config.json, or another file of the model
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The layer to run up to, whose outputs are the answer: what comes after it is left out, and need not be known
    #[arg(long, value_name = "LAYER")]
    until: Option<String>,
    #[command(flatten)]
    lambdas: Lambdas,
    #[command(flatten)]
    encoding: Encoding,
    /// Print one JSON value: a list of {text, probability, label, unknown}, the last the share of the text's words that
    /// the vocabulary does not have (null where there are no words), of three classes or more with the probabilities of
    /// all; of arrays, {y: …} with lists in lists. It is printed as
    /// it comes, so what an error breaks off is not whole
    #[arg(long)]
    json: bool,
}

impl Args {
    fn shown(&self) -> Shown {
        Shown { as_json: self.json, top: self.top.unwrap_or(0) }
    }

    /// The first of the options that say something of texts.
    fn of_texts(&self, takes_measurements: bool) -> Option<&'static str> {
        let options = [
            (self.text_column.is_some(), "--text-column"),
            (self.text_encoding.is_some() && !takes_measurements, "--encoding"),
            (self.strict, "--strict"),
            (self.top.is_some(), "--top"),
        ];
        let given = options.into_iter().find_map(|(given, name)| given.then_some(name));
        given.or_else(|| self.encoding.given())
    }

    /// The texts, or the lines of standard input.
    fn texts(&self) -> anyhow::Result<Lines> {
        if self.text.is_empty() {
            return Ok(Lines::stdin());
        }
        if let Some(index) = self.text.iter().position(|text| text.trim().is_empty()) {
            anyhow::bail!("TEXT {} of {}: is empty", index + 1, self.text.len());
        }
        Ok(Lines::Given(self.text.clone()))
    }
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    candle_recurrent::keep_memory();
    if let Some(out) = &args.output {
        let read = [
            Some(Path::new(&args.model)),
            args.config.as_deref(),
            args.input.as_deref(),
            args.data.as_deref(),
        ];
        refuse_input(&read, out, "--output")?;
        refuse_part(out)?;
    }
    let checkpoint = ModelSource::find(&args.model, args.config.as_deref(), &args.lambdas)?
        .load(&Device::Cpu, args.until.as_deref())?;
    let takes_measurements = checkpoint.config.series.is_some() || checkpoint.config.sequences.is_some();
    if let (true, Some(option)) = (takes_measurements, args.of_texts(true)) {
        anyhow::bail!("{}: takes measurements, and {option} is for texts; leave it out", args.model);
    }
    if let (true, Some(data)) = (takes_measurements, args.data.as_ref().or(args.input.as_ref())) {
        let files = hub::data(data, Wanted::Test, false)?;
        let source = measurements::find(data, files.as_ref(), Wanted::Test, args.text_encoding)?;
        let out = args.output.as_deref();
        measurements::check_output(out)?;
        return match checkpoint.config.series {
            Some(_) => forecast::run(&checkpoint, source, out, args.json, output),
            None => sequences::predict(&checkpoint, source, out, args.json, output),
        };
    }
    if args.data.is_some() || takes_measurements {
        let what = match takes_measurements {
            true => "takes measurements; give them with --data FILE",
            false => {
                "was not trained on a series (train --target), which --data is for; give arrays with --input"
            }
        };
        anyhow::bail!("{}: {what}", args.model);
    }
    let input = args.input.as_deref().map(hub::one_file).transpose()?;
    let model = &checkpoint.config.model;
    if let Some(input) = &input
        && predict_table::holds(input, args.text_column.is_some(), model)
    {
        if !input.try_exists().unwrap_or(true) {
            anyhow::bail!("--input {}: there is no such file", input.display());
        }
        let (text_column, encoding) = (args.text_column.clone(), args.text_encoding);
        let source = TextSource { path: input.to_path_buf(), text_column, encoding };
        let name = args.input.as_deref().unwrap_or(input).display().to_string();
        let (out, strict, as_json) = (args.output.as_deref(), args.strict, args.json);
        let asked = Asked { source, name, out, strict, top: args.top.unwrap_or(0), as_json };
        if model.reads_text() {
            if let Some(option) = args.encoding.given() {
                anyhow::bail!("{}: turns text into ids itself; leave {option} out", args.model);
            }
            return predict_texts::table(&args.model, &checkpoint, &asked, output);
        }
        return asked.run(&IdReader::new(args, checkpoint)?, output);
    }
    if let Some(input) = &input {
        if let Some(option) = args.of_texts(false) {
            return Err(usage(format!("{option}: goes with texts, and {} holds arrays", input.display())));
        }
        let out = args.output.as_deref();
        if let Some(Err(what)) = args.output.as_ref().map(|out| arrays::answer_path(out)) {
            return Err(usage(format!("--output {}: {what}", out.unwrap_or(input.as_ref()).display())));
        }
        return predict_arrays::run(&checkpoint, input, out, args.batch_size, args.json, output);
    }
    if checkpoint.config.model.reads_text() {
        if let Some(option) = args.encoding.given() {
            anyhow::bail!("{}: turns text into ids itself; leave {option} out", args.model);
        }
        return predict_texts::run(&args.model, &checkpoint, args.texts()?, args.shown(), output);
    }
    classify::run(&IdReader::new(args, checkpoint)?, args.texts()?, args.shown(), output)
}

/// What is said of options that do not go together.
fn usage(what: String) -> anyhow::Error {
    clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, what).into()
}

/// A model that reads ids, with the vocabulary that makes them of text.
struct IdReader {
    checkpoint: Checkpoint,
    targets: Targets,
}

impl IdReader {
    fn new(args: &Args, mut checkpoint: Checkpoint) -> anyhow::Result<Self> {
        let model = &args.model;
        if checkpoint.config.model.vocab_size().is_none() {
            anyhow::bail!(
                "{model}: does not read text, having no Embedding; give its input with --input FILE"
            );
        }
        if checkpoint.config.targets().is_none() {
            checkpoint.config.model.check_binary_classifier().with_context(|| model.clone())?;
        }
        if checkpoint.config.model.is_stateful() && checkpoint.config.model.batch_size() != Some(1) {
            let size = checkpoint.config.model.batch_size();
            anyhow::bail!(
                "{model}: is stateful with batches of {}, and texts are read one at a time; give token ids with --input",
                size.map_or("a size it does not say".into(), |n| n.to_string())
            );
        }
        args.encoding.set(&mut checkpoint.config.recipe);
        let named = args.encoding.tokenizer(checkpoint.config.recipe.vocab_size)?;
        checkpoint.tokenizer = named.or(checkpoint.tokenizer.take());
        if checkpoint.tokenizer.is_none() {
            anyhow::bail!(
                "{model}: has no vocabulary, so it cannot read text; give one with --tokenizer (imdb, \
                 keras:FILE, or a tokenizer.json), put the tokenizer.json of its data into its folder, or give token ids with --input"
            );
        }
        let targets = prediction::targets(&checkpoint.config);
        Ok(Self { checkpoint, targets })
    }
}

impl Classifier for IdReader {
    fn targets(&self) -> &Targets {
        &self.targets
    }

    fn batches(&self) -> Batches {
        match self.checkpoint.config.model.is_stateful() {
            true => Batches::InTurn,
            false => Batches::Any,
        }
    }

    fn classify(&self, texts: &[&str]) -> anyhow::Result<Vec<Answer>> {
        let predicted = self.checkpoint.answer_counted(texts)?;
        let answer = |(values, encoded): (Vec<f32>, Encoded)| Answer {
            values,
            words: Some((encoded.words, encoded.unknown)),
        };
        Ok(predicted.into_iter().map(answer).collect())
    }
}

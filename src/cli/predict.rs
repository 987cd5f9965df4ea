//! `predict`: is this text positive or negative?

use super::model::ModelSource;
use super::{Outcome, Output, output};
use crate::checkpoint::Checkpoint;
use crate::nn::Mode;
use crate::text::{Tokenizer, pad_sequences};
use anyhow::Context;
use candle_core::{Device, Tensor};
use serde::Serialize;
use std::io::{BufRead, IsTerminal};

/// Classify text: from the command line, or each line of standard input
///
/// Prints the label, the probability that the text is positive, and the text.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent predict lstm \"I expected to hate it, but it is lovely\"
  candle-recurrent predict runs/gru --json \"not good at all\" \"a great film\"
  candle-recurrent predict lstm < reviews.txt")]
pub(super) struct Args {
    /// A name of the zoo (see `list`), or a model folder
    model: String,
    /// The texts; without any, the lines of standard input
    text: Vec<String>,
    /// Print one JSON value: a list of {text, probability, label}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Prediction {
    text: String,
    probability: f32,
    label: &'static str,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let classifier = Classifier::load(&args.model)?;
    let mut predictions = Vec::new();
    let mut count = 0;
    let mut classify = |text: String| -> anyhow::Result<()> {
        count += 1;
        let prediction = classifier.predict(text)?;
        if args.json {
            predictions.push(prediction);
            return Ok(());
        }
        let Prediction { text, probability, label } = prediction;
        output.line(format_args!("{label}  {probability:.4}  {}", text.replace(['\n', '\r'], " ")))
    };
    if args.text.is_empty() {
        read_lines(&mut classify)?;
    } else {
        if let Some(index) = args.text.iter().position(|text| text.trim().is_empty()) {
            anyhow::bail!("TEXT {} of {}: is empty", index + 1, args.text.len());
        }
        args.text.iter().try_for_each(|text| classify(text.clone()))?;
    }
    if count == 0 {
        anyhow::bail!("no text: give it as TEXT, or as lines on standard input");
    }
    if args.json {
        output.json(&predictions)?;
    }
    Ok(Outcome::Done)
}

/// Each line of standard input that is not blank.
fn read_lines(classify: &mut dyn FnMut(String) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::message("type a text a line; Ctrl-D ends");
    }
    for (number, line) in stdin.lock().split(b'\n').enumerate() {
        let line = line.context("standard input cannot be read")?;
        let Ok(line) = String::from_utf8(line) else {
            anyhow::bail!("standard input, line {}: is not UTF-8 text; convert the file first", number + 1);
        };
        let line = line.trim_end_matches('\r');
        if !line.trim().is_empty() {
            classify(line.to_string())?;
        }
    }
    Ok(())
}

struct Classifier {
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
}

impl Classifier {
    fn load(model: &str) -> anyhow::Result<Self> {
        let mut checkpoint = ModelSource::find(model)?.load(&Device::Cpu)?;
        let Some(tokenizer) = checkpoint.tokenizer.take() else {
            anyhow::bail!(
                "{model}: has no tokenizer.json, so it cannot read text; train on data that has words, or put the \
                 tokenizer.json of its data into the folder"
            );
        };
        Ok(Self { checkpoint, tokenizer })
    }

    fn predict(&self, text: String) -> anyhow::Result<Prediction> {
        let max_len = self.checkpoint.config.recipe.max_len;
        let ids = pad_sequences(&[self.tokenizer.encode(&text)?], max_len);
        let ids = Tensor::from_vec(ids, (1, max_len), &Device::Cpu)?;
        let logits = self.checkpoint.model.logits(&ids, Mode::Inference)?;
        let probability = candle_nn::ops::sigmoid(&logits)?.flatten_all()?.to_vec1::<f32>()?;
        let probability = probability.first().copied().unwrap_or(f32::NAN);
        if !probability.is_finite() {
            anyhow::bail!("the model gives no number for {text:?}: are its weights finite?");
        }
        // Strictly above one half, as Keras counts accuracy.
        let label = if probability > 0.5 { "positive" } else { "negative" };
        Ok(Prediction { text, probability, label })
    }
}

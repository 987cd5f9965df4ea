//! `predict` with a model that turns text into ids itself.

use super::answers::Answers;
use super::classify::{self, Answer, Batches, Classifier, Shown};
use super::lines::Lines;
use super::output::message;
use super::predict_arrays::{TEXTS, check_multiple, outputs, text_batch};
use super::predict_table::Asked;
use super::prediction::{self, unknown_note};
use super::{Outcome, Output};
use anyhow::{Context, bail};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::data::Targets;
use candle_recurrent::layers::{Mode, TextVectorization, Texts};
use candle_recurrent::model::{Class, Model, ModelConfig};
use std::collections::VecDeque;

/// Runs the texts through the model that the argument `name` gave.
pub(super) fn run(
    name: &str,
    checkpoint: &Checkpoint,
    texts: Lines,
    shown: Shown,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let reader = TextReader::new(name, checkpoint)?;
    match checkpoint.config.model.check_binary_classifier() {
        Ok(()) => classify::run(&reader, texts, shown, output),
        Err(_) if shown.top > 0 => {
            bail!("{name}: gives no classes of which there would be likeliest; leave --top out")
        }
        Err(_) => reader.show(texts, shown.as_json, output),
    }
}

/// Answers the rows of a table.
pub(super) fn table(
    name: &str,
    checkpoint: &Checkpoint,
    asked: &Asked,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    checkpoint.config.model.check_binary_classifier().with_context(|| name.to_string())?;
    asked.run(&TextReader::new(name, checkpoint)?, output)
}

/// A model with what counts the words that it does not know.
struct TextReader<'a> {
    model: &'a Model,
    /// The one layer of the model that splits texts into words, where there is one.
    counts: Option<TextVectorization>,
    targets: Targets,
}

fn counts(model: &ModelConfig) -> anyhow::Result<Option<TextVectorization>> {
    let mut layers = model.layers.iter().filter_map(|layer| match &layer.class {
        Class::TextVectorization(config) => Some(config),
        _ => None,
    });
    let (Some(config), None) = (layers.next(), layers.next()) else { return Ok(None) };
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    Ok(Some(TextVectorization::new(config.clone(), vb)?))
}

impl<'a> TextReader<'a> {
    fn new(name: &str, checkpoint: &'a Checkpoint) -> anyhow::Result<Self> {
        let model = &checkpoint.config.model;
        let inputs = model.inputs();
        if inputs.len() != 1 {
            let names: Vec<&str> = inputs.iter().map(|layer| layer.name.as_str()).collect();
            bail!("{name}: has the inputs {}; give them with --input FILE", names.join(", "));
        }
        let targets = prediction::targets(&checkpoint.config);
        Ok(Self { model: &checkpoint.model, counts: counts(model)?, targets })
    }

    fn words(&self, text: &str) -> anyhow::Result<Option<(usize, usize)>> {
        Ok(self.counts.as_ref().map(|layer| layer.unknown(text)).transpose()?)
    }

    /// Prints the numbers that a model of another kind gives: a row a text, also a blank one. Texts are run batch by batch as
    /// they come.
    fn show(&self, mut lines: Lines, as_json: bool, output: &mut Output) -> anyhow::Result<Outcome> {
        let config = self.model.config();
        let batch = text_batch(config)?;
        if let (true, Lines::Given(texts)) = (config.is_stateful(), &lines) {
            check_multiple(texts.len(), batch)?;
        }
        let mut answers = Answers::new(None, as_json);
        // Blank lines before the first text are counted: there may be nothing else.
        let (mut waiting, mut blank, mut count) = (VecDeque::new(), 0, 0);
        let ended = loop {
            let texts = match lines.next() {
                Ok(Some(texts)) => texts,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            for text in texts {
                if text.is_empty() && count == 0 {
                    blank += 1;
                    continue;
                }
                let note =
                    self.words(&text)?.and_then(|(words, unknown)| unknown_note(&text, words, unknown));
                note.iter().for_each(|note| message(note));
                for text in std::iter::repeat_n(String::new(), std::mem::take(&mut blank)).chain([text]) {
                    waiting.push_back(text);
                    count += 1;
                    if waiting.len() == batch {
                        self.answer(waiting.drain(..), &mut answers, output)?;
                    }
                }
            }
        };
        if count == 0 {
            ended?;
            bail!("no text: give it as TEXT, or as lines on standard input");
        }
        // What ends the lines is told after the answers to those before it.
        let whole = if config.is_stateful() { check_multiple(count, batch) } else { Ok(()) };
        if whole.is_ok() && !waiting.is_empty() {
            self.answer(waiting.drain(..), &mut answers, output)?;
        }
        if whole.is_ok() || ended.is_err() {
            answers.finish(output)?;
        }
        ended?;
        whole?;
        Ok(Outcome::Done)
    }

    /// Runs some texts and hands what the model gives on.
    fn answer(
        &self,
        texts: impl ExactSizeIterator<Item = String>,
        answers: &mut Answers,
        output: &mut Output,
    ) -> anyhow::Result<()> {
        let count = texts.len();
        answers.add(&outputs(self.model, &[Texts::column(texts).into()])?, count, output)
    }
}

impl Classifier for TextReader<'_> {
    fn targets(&self) -> &Targets {
        &self.targets
    }

    fn batches(&self) -> Batches {
        let config = self.model.config();
        let pads_to_the_longest = |class: &Class| matches!(class, Class::TextVectorization(config) if config.output_sequence_length.is_none());
        match config.layers.iter().any(|layer| pads_to_the_longest(&layer.class)) {
            _ if config.is_stateful() => Batches::InTurn,
            true => Batches::Of(TEXTS),
            false => Batches::Any,
        }
    }

    fn classify(&self, texts: &[&str]) -> anyhow::Result<Vec<Answer>> {
        let column = Texts::column(texts.iter().copied());
        let outputs = self.model.call(&[column.into()], Mode::Inference)?;
        let Some(output) = outputs.first() else { return Ok(vec![]) };
        let probabilities = output.values.tensor()?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let answer = |(text, probability): (&&str, f32)| {
            Ok(Answer { values: vec![probability], words: self.words(text)? })
        };
        texts.iter().zip(probabilities).map(answer).collect()
    }
}

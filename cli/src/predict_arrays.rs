//! `predict --input`: arrays through a model of any kind.

use super::answers::Answers;
use super::arrays;
use super::output::message;
use super::{Outcome, Output};
use anyhow::bail;
use candle_core::Tensor;
use candle_recurrent::Error;
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::data::{InputKind, ModelInput, model_inputs, shape_table};
use candle_recurrent::formats::{Arrays, InputArray, StoredArray, StoredTexts};
use candle_recurrent::layers::{Flow, Mode, Texts};
use candle_recurrent::model::{Model, ModelConfig};
use std::path::Path;

/// At most so many samples at a time: what lies between two layers then stays in the cache.
const BATCH: usize = 64;

/// At most so many texts at a time, as many as Keras's `predict` takes: where a model pads to the longest of them, they
/// matter to each other.
pub(super) const TEXTS: usize = 32;

/// Samples of one of a model's inputs, which are read from their file batch by batch.
enum Samples {
    Numbers(StoredArray, ModelInput),
    /// Texts in the shape in which the model takes them.
    Texts(StoredTexts),
}

impl Samples {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Numbers(array, _) => array.shape(),
            Self::Texts(texts) => texts.shape(),
        }
    }

    /// How many there are.
    fn count(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    /// `count` of them, from `from` on.
    fn batch(&self, from: usize, count: usize) -> anyhow::Result<Flow> {
        Ok(match self {
            Self::Numbers(array, input) => input.rows(array, from, count)?.into(),
            Self::Texts(texts) => {
                let sample = self.shape().get(1..).unwrap_or_default();
                let size: usize = sample.iter().product();
                let values = texts.read(from * size..(from + count) * size)?;
                Texts::new(values, [&[count], sample].concat())?.into()
            }
        })
    }
}

/// Runs the arrays in `input` through the model and writes or prints what it gives, batch by batch.
pub(super) fn run(
    checkpoint: &Checkpoint,
    input: &Path,
    out: Option<&Path>,
    batch_size: Option<usize>,
    as_json: bool,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let within = |error: anyhow::Error| match error.downcast::<Error>() {
        Ok(Error::Data(what)) => Error::file(input, what).into(),
        Ok(other) => anyhow::Error::from(other).context(input.display().to_string()),
        Err(error) => error.context(input.display().to_string()),
    };
    let inputs = model_inputs(&checkpoint.config.model);
    let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
    let texts: Vec<bool> = inputs.iter().map(|input| input.kind == InputKind::Texts).collect();
    let samples = if texts.contains(&true) {
        let arrays = inputs.iter().zip(arrays::read_mixed(input, &names, &texts)?);
        let samples = arrays.map(|(wanted, array)| match array {
            InputArray::Numbers(array) => Ok(Samples::Numbers(array, wanted.clone())),
            InputArray::Texts(texts) => Ok(Samples::Texts(wanted.accept_texts(texts)?)),
        });
        samples.collect::<anyhow::Result<Vec<_>>>().map_err(within)?
    } else {
        match arrays::read(input, &names)? {
            Arrays::Stored(arrays) => arrays
                .into_iter()
                .zip(&inputs)
                .map(|(array, wanted)| Samples::Numbers(array, wanted.clone()))
                .collect(),
            Arrays::Table { rows, note } => {
                if let Some(note) = note {
                    message(&format!("note: {}: {note}", input.display()));
                }
                let table = shape_table(&inputs, &rows).map_err(|error| within(error.into()))?;
                inputs.first().map(|wanted| Samples::Numbers(table, wanted.clone())).into_iter().collect()
            }
        }
    };
    forward(&checkpoint.model, &samples, batch_size, &within, Answers::new(out, as_json), output)
}

/// Hands the model's answers on, batch by batch.
fn forward(
    model: &Model,
    inputs: &[Samples],
    batch_size: Option<usize>,
    within: &dyn Fn(anyhow::Error) -> anyhow::Error,
    mut answers: Answers,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let (count, batch) = batches(model.config(), inputs, batch_size).map_err(within)?;
    answers.expect(count);
    for from in (0..count).step_by(batch) {
        let count = batch.min(count - from);
        answers.add(&call(model, inputs, from, count).map_err(within)?, count, output)?;
    }
    answers.finish(output)?;
    Ok(Outcome::Done)
}

/// The model's outputs for a batch.
fn call(model: &Model, inputs: &[Samples], from: usize, count: usize) -> anyhow::Result<Vec<Tensor>> {
    let flows = inputs.iter().map(|input| input.batch(from, count)).collect::<anyhow::Result<Vec<_>>>()?;
    outputs(model, &flows)
}

/// The model's outputs.
pub(super) fn outputs(model: &Model, inputs: &[Flow]) -> anyhow::Result<Vec<Tensor>> {
    let outputs = model.call(inputs, Mode::Inference)?;
    Ok(outputs.iter().map(|output| output.values.tensor()).collect::<candle_core::Result<_>>()?)
}

/// How many samples there are, and how many to run at a time.
fn batches(
    config: &ModelConfig,
    inputs: &[Samples],
    batch_size: Option<usize>,
) -> anyhow::Result<(usize, usize)> {
    let samples: Vec<usize> = inputs.iter().map(Samples::count).collect();
    let count = samples.first().copied().unwrap_or(0);
    if samples.iter().any(|&samples| samples != count) {
        bail!("the inputs hold {samples:?} samples, expected the same number in each");
    }
    if count == 0 {
        bail!("the input holds no samples");
    }
    let batch = match config {
        config if config.is_stateful() => {
            let batch = stateful_batch(config, batch_size)?;
            check_multiple(count, batch)?;
            batch
        }
        config if config.reads_text() => batch_size.unwrap_or(TEXTS),
        // Batches of one size: where a layer runs on Candle's operations, a few samples left over might be summed in another
        // order, and differ in the last digits.
        _ => count.div_ceil(count.div_ceil(batch_size.unwrap_or(BATCH))),
    };
    Ok((count, batch))
}

/// How many texts to run at a time of those that come one after the other.
pub(super) fn text_batch(config: &ModelConfig) -> anyhow::Result<usize> {
    if config.is_stateful() { stateful_batch(config, None) } else { Ok(TEXTS) }
}

/// The batch of a model that carries its states from one to the next.
fn stateful_batch(config: &ModelConfig, asked: Option<usize>) -> anyhow::Result<usize> {
    match (config.batch_size(), asked) {
        (Some(own), Some(asked)) if own != asked => {
            bail!("the model is stateful with batches of {own}, and --batch-size is {asked}; leave it out")
        }
        (Some(batch), _) | (None, Some(batch)) => Ok(batch),
        (None, None) => bail!(
            "the model is stateful and does not say of how many samples its batches are; give it with --batch-size"
        ),
    }
}

/// Refuses samples of which some would be left over.
pub(super) fn check_multiple(count: usize, batch: usize) -> anyhow::Result<()> {
    if count.is_multiple_of(batch) {
        return Ok(());
    }
    bail!(
        "the input holds {count} samples, and the model is stateful with batches of {batch}: give a multiple of {batch}"
    )
}

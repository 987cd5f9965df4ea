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
use candle_recurrent::formats::{Arrays, InputArray, StoredArray};
use candle_recurrent::layers::{Flow, Mode, Values};
use candle_recurrent::model::{Model, ModelConfig};
use std::path::Path;

/// At most so many samples at a time: what lies between two layers then stays in the cache.
const BATCH: usize = 64;

/// At most so many texts at a time, as many as Keras's `predict` takes: where a model pads to the longest of them, they
/// matter to each other.
pub(super) const TEXTS: usize = 32;

/// Samples of one of a model's inputs.
enum Samples {
    /// They stand in a file and are read batch by batch.
    Stored(StoredArray, ModelInput),
    /// They are in memory as the model takes them.
    Ready(Flow),
}

impl Samples {
    /// How many there are.
    fn count(&self) -> anyhow::Result<usize> {
        Ok(match self {
            Self::Stored(array, _) => array.shape().first().copied().unwrap_or(0),
            Self::Ready(flow) => match &flow.values {
                Values::Texts(texts) => texts.dims().first().copied().unwrap_or(0),
                values => values.tensor()?.dim(0)?,
            },
        })
    }

    /// `count` of them, from `from` on.
    fn batch(&self, from: usize, count: usize) -> anyhow::Result<Flow> {
        Ok(match self {
            Self::Stored(array, input) => input.rows(array, from, count)?.into(),
            Self::Ready(flow) => match &flow.values {
                Values::Texts(texts) => texts.narrow(from, count)?.into(),
                values => values.tensor()?.narrow(0, from, count)?.into(),
            },
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
            InputArray::Numbers(array) => Ok(Samples::Stored(array, wanted.clone())),
            InputArray::Texts(texts, shape) => Ok(Samples::Ready(wanted.accept_texts(texts, shape)?.into())),
        });
        samples.collect::<anyhow::Result<Vec<_>>>().map_err(within)?
    } else {
        match arrays::read(input, &names)? {
            Arrays::Stored(arrays) => arrays
                .into_iter()
                .zip(&inputs)
                .map(|(array, wanted)| Samples::Stored(array, wanted.clone()))
                .collect(),
            Arrays::Table { rows, note } => {
                if let Some(note) = note {
                    message(&format!("note: {}: {note}", input.display()));
                }
                let table = shape_table(&inputs, &rows).and_then(|table| {
                    let accepted = inputs.first().map(|wanted| wanted.accept(table));
                    accepted.transpose()
                });
                let table = table.map_err(|error| within(error.into()))?;
                table.into_iter().map(|table| Samples::Ready(table.into())).collect()
            }
        }
    };
    forward(&checkpoint.model, &samples, batch_size, &within, Answers::new(out, as_json), output)
}

/// Runs texts through a model that has no other input, and prints what it gives.
pub(super) fn show(
    model: &Model,
    texts: Flow,
    as_json: bool,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    forward(model, &[Samples::Ready(texts)], None, &|error| error, Answers::new(None, as_json), output)
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
    let outputs = model.call(&flows, Mode::Inference)?;
    Ok(outputs.iter().map(|output| output.values.tensor()).collect::<candle_core::Result<_>>()?)
}

/// How many samples there are, and how many to run at a time.
fn batches(
    config: &ModelConfig,
    inputs: &[Samples],
    batch_size: Option<usize>,
) -> anyhow::Result<(usize, usize)> {
    let samples = inputs.iter().map(Samples::count).collect::<anyhow::Result<Vec<_>>>()?;
    let count = samples.first().copied().unwrap_or(0);
    if samples.iter().any(|&samples| samples != count) {
        bail!("the inputs hold {samples:?} samples, expected the same number in each");
    }
    if count == 0 {
        bail!("the input holds no samples");
    }
    let batch = match config {
        config if config.is_stateful() => stateful_batch(config, count, batch_size)?,
        config if config.reads_text() => batch_size.unwrap_or(TEXTS),
        // Batches of one size: where a layer runs on Candle's operations, a few samples left over might be summed in another
        // order, and differ in the last digits.
        _ => count.div_ceil(count.div_ceil(batch_size.unwrap_or(BATCH))),
    };
    Ok((count, batch))
}

/// The batch of a model that carries its states from one to the next.
fn stateful_batch(config: &ModelConfig, count: usize, asked: Option<usize>) -> anyhow::Result<usize> {
    let batch = match (config.batch_size(), asked) {
        (Some(own), Some(asked)) if own != asked => {
            bail!("the model is stateful with batches of {own}, and --batch-size is {asked}; leave it out")
        }
        (Some(batch), _) | (None, Some(batch)) => batch,
        (None, None) => bail!(
            "the model is stateful and does not say of how many samples its batches are; give it with --batch-size"
        ),
    };
    if !count.is_multiple_of(batch) {
        bail!(
            "the input holds {count} samples, and the model is stateful with batches of {batch}: give a multiple of \
             {batch}"
        );
    }
    Ok(batch)
}

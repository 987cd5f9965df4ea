//! `predict --input`: arrays through a model of any kind.

use super::arrays;
use super::output::message;
use super::{Outcome, Output};
use candle_core::{DType, Tensor};
use candle_recurrent::Error;
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::data::{InputKind, ModelInput, model_inputs, shape_table};
use candle_recurrent::formats::{Arrays, InputArray};
use candle_recurrent::layers::{Flow, Mode, Values};
use candle_recurrent::model::{Model, ModelConfig};
use serde::{Serialize, Serializer};
use std::path::Path;

/// At most so many samples at a time, to bound memory.
const BATCH: usize = 256;

/// At most so many texts at a time, as many as Keras's `predict` takes: where a model pads to the longest of them, they
/// matter to each other.
pub(super) const TEXTS: usize = 32;

/// Runs the arrays in `input` through the model and writes or prints what it gives.
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
    let flow = |(wanted, array): (&ModelInput, InputArray)| match array {
        InputArray::Numbers(array) => Ok(Flow::from(wanted.accept(array.tensor()?)?)),
        InputArray::Texts(texts, shape) => Ok(wanted.accept_texts(texts, shape)?.into()),
    };
    let flows = if texts.contains(&true) {
        let arrays = arrays::read_mixed(input, &names, &texts)?;
        inputs.iter().zip(arrays).map(flow).collect::<anyhow::Result<Vec<_>>>().map_err(within)?
    } else {
        match arrays::read(input, &names)? {
            Arrays::Stored(arrays) => {
                let arrays = arrays.into_iter().map(InputArray::Numbers);
                inputs.iter().zip(arrays).map(flow).collect::<anyhow::Result<Vec<_>>>().map_err(within)?
            }
            Arrays::Table { rows, note } => {
                if let Some(note) = note {
                    message(&format!("note: {}: {note}", input.display()));
                }
                let table = shape_table(&inputs, &rows).map_err(|error| within(error.into()))?;
                let accept = |wanted: &ModelInput| wanted.accept(table.clone()).map(Flow::from);
                let flows: Result<Vec<Flow>, Error> = inputs.iter().map(accept).collect();
                flows.map_err(|error| within(error.into()))?
            }
        }
    };
    let outputs = forward(&checkpoint.model, &flows, batch_size).map_err(within)?;
    if let Some(path) = out {
        arrays::write(path, &outputs)?;
    }
    show(&outputs, out, as_json, output)
}

/// Prints what a model gives, or where it was written.
pub(super) fn show(
    outputs: &[Tensor],
    out: Option<&Path>,
    as_json: bool,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let names = arrays::names(outputs.len());
    if as_json {
        let values = outputs.iter().map(|tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1());
        let values = values.collect::<Result<Vec<Vec<f32>>, _>>()?;
        output.json(&Answers { names: &names, outputs, values: &values })?;
    } else if let Some(path) = out {
        let shapes = names.iter().zip(outputs).map(|(name, tensor)| format!("{name} {:?}", tensor.dims()));
        output.line(format_args!("{}: {}", path.display(), shapes.collect::<Vec<_>>().join(", ")))?;
    } else {
        for (name, tensor) in names.iter().zip(outputs) {
            print(name, tensor, output)?;
        }
    }
    Ok(Outcome::Done)
}

/// The number of samples of an input.
fn samples(flow: &Flow) -> anyhow::Result<usize> {
    Ok(match &flow.values {
        Values::Texts(texts) => texts.dims().first().copied().unwrap_or(0),
        values => values.tensor()?.dim(0)?,
    })
}

/// Samples of an input, `count` from `from` on.
fn narrow(flow: &Flow, from: usize, count: usize) -> anyhow::Result<Flow> {
    Ok(match &flow.values {
        Values::Texts(texts) => texts.narrow(from, count)?.into(),
        values => values.tensor()?.narrow(0, from, count)?.into(),
    })
}

/// The model's answers, batch by batch.
pub(super) fn forward(
    model: &Model,
    inputs: &[Flow],
    batch_size: Option<usize>,
) -> anyhow::Result<Vec<Tensor>> {
    let samples = inputs.iter().map(samples).collect::<anyhow::Result<Vec<_>>>()?;
    let count = samples.first().copied().unwrap_or(0);
    if samples.iter().any(|&samples| samples != count) {
        anyhow::bail!("the inputs hold {samples:?} samples, expected the same number in each");
    }
    if count == 0 {
        anyhow::bail!("the input holds no samples");
    }
    let batch = match model.config() {
        config if config.is_stateful() => stateful_batch(config, count, batch_size)?,
        config if config.reads_text() => batch_size.unwrap_or(TEXTS),
        // Batches of one size: a few samples left over would be summed in another order, and differ in the last digits.
        _ => count.div_ceil(count.div_ceil(batch_size.unwrap_or(BATCH))),
    };
    let mut parts: Vec<Vec<Tensor>> = Vec::new();
    for from in (0..count).step_by(batch) {
        let part = inputs.iter().map(|input| narrow(input, from, batch.min(count - from)));
        let outputs = model.call(&part.collect::<anyhow::Result<Vec<_>>>()?, Mode::Inference)?;
        for (index, output) in outputs.iter().enumerate() {
            let output = output.values.tensor()?;
            match parts.get_mut(index) {
                Some(parts) => parts.push(output),
                None => parts.push(vec![output]),
            }
        }
    }
    Ok(parts.iter().map(|parts| Tensor::cat(parts, 0)).collect::<Result<_, _>>()?)
}

/// The batch of a model that carries its states from one to the next.
fn stateful_batch(config: &ModelConfig, count: usize, asked: Option<usize>) -> anyhow::Result<usize> {
    let batch = match (config.batch_size(), asked) {
        (Some(own), Some(asked)) if own != asked => anyhow::bail!(
            "the model is stateful with batches of {own}, and --batch-size is {asked}; leave it out"
        ),
        (Some(batch), _) | (None, Some(batch)) => batch,
        (None, None) => anyhow::bail!(
            "the model is stateful and does not say of how many samples its batches are; give it with --batch-size"
        ),
    };
    if !count.is_multiple_of(batch) {
        anyhow::bail!(
            "the input holds {count} samples, and the model is stateful with batches of {batch}: give a multiple of \
             {batch}"
        );
    }
    Ok(batch)
}

/// The outputs by their names.
struct Answers<'a> {
    names: &'a [String],
    outputs: &'a [Tensor],
    values: &'a [Vec<f32>],
}

impl Serialize for Answers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nested = self
            .outputs
            .iter()
            .zip(self.values)
            .map(|(output, values)| Nested { values, shape: output.dims() });
        serializer.collect_map(self.names.iter().zip(nested))
    }
}

/// Values as lists in lists, each with no more digits than f32 has.
struct Nested<'a> {
    values: &'a [f32],
    shape: &'a [usize],
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.shape.split_first() {
            None => self.values.first().serialize(serializer),
            Some((&count, shape)) => {
                let size = shape.iter().product::<usize>();
                let part = |i| self.values.get(i * size..(i + 1) * size).unwrap_or_default();
                serializer.collect_seq((0..count).map(|i| Nested { values: part(i), shape }))
            }
        }
    }
}

/// A tensor sample by sample.
fn rows(tensor: &Tensor) -> anyhow::Result<Vec<Vec<f32>>> {
    let samples = tensor.dim(0)?;
    let size = tensor.elem_count() / samples.max(1);
    Ok(tensor.to_dtype(DType::F32)?.reshape((samples, size))?.to_vec2()?)
}

/// A line a sample, as many numbers as one can read.
fn print(name: &str, tensor: &Tensor, output: &mut Output) -> anyhow::Result<()> {
    const SHOWN: usize = 8;
    output.line(format_args!("{name} {:?}", tensor.dims()))?;
    for (index, row) in rows(tensor)?.iter().enumerate() {
        let numbers: Vec<String> = row.iter().take(SHOWN).map(|value| format!("{value:>10.5}")).collect();
        let more = if row.len() > SHOWN { format!("  … ({} in all)", row.len()) } else { String::new() };
        output.line(format_args!("{index:>6}  {}{more}", numbers.join(" ")))?;
    }
    Ok(())
}

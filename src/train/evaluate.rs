//! Loss and metrics on data, without training.

use super::history::Figures;
use super::losses::BatchLoss;
use super::meters::{Meters, Scored};
use super::objective::Objective;
use super::output::Output;
use super::trainable::{Called, Trainable};
use crate::data::{Array, Examples};
use crate::layers::Mode;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use serde::Serialize;

/// Rows that are computed at a time: it changes speed and memory only.
const ROWS: usize = 1024;

/// Loss and metrics on a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The loss and the metrics by Keras's names.
    #[serde(flatten)]
    pub figures: Figures,
    /// Rows.
    pub samples: usize,
}

impl Evaluation {
    /// The figure of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.figures.get(name)
    }

    /// The mean loss.
    pub fn loss(&self) -> f64 {
        self.get("loss").unwrap_or(f64::NAN)
    }
}

/// Loss and metrics of `model` on `examples` in order, without dropout. Give a model over detached tensors, or every batch
/// builds a graph for nothing.
///
/// `batch_size` is Keras's, 32 there unless it is said: where a mask or a weight decides how much a row counts, a loss is a
/// mean of the batches' means. How many rows are computed at a time is another matter.
///
/// Calls [`keep_memory`](crate::keep_memory): the process keeps memory that tensors have used.
///
/// # Errors
/// Empty data, zero batch size, a loss that is NaN or infinite ([`Error::Data`]), errors of the model.
pub fn evaluate<T: Trainable + ?Sized>(
    model: &T,
    objective: &Objective,
    examples: &Examples,
    batch_size: usize,
    device: &Device,
) -> Result<Evaluation> {
    evaluate_rows(model, objective, examples, batch_size, device, &mut |_| Ok(()))
}

/// [`evaluate`] that hands on the model's outputs too, for some rows after the other, as they are computed.
///
/// # Errors
/// As [`evaluate`], and those of `on_rows`.
pub fn evaluate_rows<T: Trainable + ?Sized>(
    model: &T,
    objective: &Objective,
    examples: &Examples,
    batch_size: usize,
    device: &Device,
    on_rows: OnRows,
) -> Result<Evaluation> {
    if examples.is_empty() {
        return Err(Error::Data("there are no rows to evaluate".to_string()));
    }
    if batch_size == 0 {
        return Err(Error::argument("batch_size", "this must be at least 1"));
    }
    check_batches(model, "test", examples, batch_size)?;
    candle_recurrent_kernel::keep_memory();
    let evaluation = measure(model, objective, examples, batch_size, device, on_rows)?;
    if !evaluation.loss().is_finite() {
        let what = format!("the model's loss on them is {}: are its weights finite?", evaluation.loss());
        return Err(Error::Data(what));
    }
    Ok(evaluation)
}

/// Refuses rows that do not make whole batches of a stateful model.
pub(super) fn check_batches<T: Trainable + ?Sized>(
    model: &T,
    of: &str,
    examples: &Examples,
    batch_size: usize,
) -> Result<()> {
    if !model.is_stateful() || batch_size == 0 || examples.rows().is_multiple_of(batch_size) {
        return Ok(());
    }
    let what = format!(
        "{} {of} rows do not make whole batches of {batch_size}, which a stateful model needs; leave the rest out, or give \
         another --batch-size",
        examples.rows()
    );
    Err(Error::Data(what))
}

/// Takes the outputs of a model for the next rows.
pub(super) type OnRows<'a> = &'a mut dyn FnMut(&[Output]) -> Result<()>;

/// [`evaluate_rows`] without its checks.
pub(super) fn measure<T: Trainable + ?Sized>(
    model: &T,
    objective: &Objective,
    examples: &Examples,
    batch_size: usize,
    device: &Device,
    on_rows: OnRows,
) -> Result<Evaluation> {
    let rows = examples.rows();
    // A model that carries its states takes every batch by itself.
    let step = match model.is_stateful() {
        true => batch_size,
        false => (ROWS / batch_size).max(1).saturating_mul(batch_size),
    };
    let mut meters: Option<Meters> = None;
    for from in (0..rows).step_by(step) {
        let count = step.min(rows - from);
        let inputs = examples.inputs().iter().map(|input| input.slice(from, count, device));
        let called = model.call(&inputs.collect::<Result<Vec<_>>>()?, Mode::Inference)?;
        on_rows(&called.outputs)?;
        let batch = Batch::slice(examples, from, count, device)?;
        let meters = meters.get_or_insert_with(|| batch.meters(objective, &called));
        // Where all rows count alike, the mean of the batches' means is the mean of all.
        let counts_alike = batch.weights.is_empty()
            && called.outputs.iter().all(|output| output.mask.is_none())
            && objective.is_mean_over_rows();
        let group = if counts_alike { count } else { batch_size };
        for at in (0..count).step_by(group) {
            let rows = group.min(count - at);
            let part =
                if rows == count { None } else { Some((called.narrow(at, rows)?, batch.narrow(at, rows)?)) };
            let (called, batch) = part.as_ref().map_or((&called, &batch), |(called, batch)| (called, batch));
            let total = Total::of(objective, called, batch)?;
            total.add_to(meters, called, batch)?;
        }
    }
    let figures = meters.map(|meters| meters.figures()).unwrap_or_default();
    Ok(Evaluation { figures, samples: rows })
}

/// The targets and weights of a batch, on the host for metrics and on the device for losses.
pub(super) struct Batch {
    targets: Vec<Tensor>,
    /// None, one for all outputs, or one an output.
    weights: Vec<Tensor>,
    pub(super) rows: usize,
}

impl Batch {
    /// Rows by their numbers.
    pub(super) fn gather(examples: &Examples, rows: &[u32], device: &Device) -> Result<Self> {
        Self::of(examples, rows.len(), |array| array.gather(rows, device))
    }

    fn slice(examples: &Examples, from: usize, count: usize, device: &Device) -> Result<Self> {
        Self::of(examples, count, |array| array.slice(from, count, device))
    }

    fn of(examples: &Examples, rows: usize, part: impl Fn(&Array) -> Result<Tensor>) -> Result<Self> {
        let tensors = |arrays: &[Array]| arrays.iter().map(&part).collect::<Result<_>>();
        Ok(Self { targets: tensors(examples.targets())?, weights: tensors(examples.weights())?, rows })
    }

    fn narrow(&self, from: usize, rows: usize) -> Result<Self> {
        let narrow = |tensor: &Tensor| tensor.narrow(0, from, rows)?.contiguous();
        let parts = |tensors: &[Tensor]| tensors.iter().map(narrow).collect::<candle_core::Result<_>>();
        Ok(Self { targets: parts(&self.targets)?, weights: parts(&self.weights)?, rows })
    }

    /// The weights for an output.
    fn weights(&self, output: usize) -> Option<&Tensor> {
        self.weights.get(output).or(self.weights.first())
    }

    /// Meters for batches like this one.
    pub(super) fn meters(&self, objective: &Objective, called: &Called) -> Meters {
        let widths: Vec<usize> = called.outputs.iter().map(|output| width(&output.values)).collect();
        let targets = called.outputs.iter().zip(&self.targets).map(|(output, targets)| {
            let positions = output.values.elem_count() / width(&output.values);
            (targets.elem_count() / positions.max(1)).max(1)
        });
        Meters::new(objective, &targets.collect::<Vec<_>>(), &widths)
    }
}

fn width(values: &Tensor) -> usize {
    values.dims().last().copied().unwrap_or(1).max(1)
}

impl Called {
    fn narrow(&self, from: usize, rows: usize) -> Result<Self> {
        let narrow = |tensor: &Tensor| tensor.narrow(0, from, rows)?.contiguous();
        let output = |output: &Output| {
            let mask = output.mask.as_ref().map(narrow).transpose()?;
            Ok(Output { values: narrow(&output.values)?, activation: output.activation, mask })
        };
        let outputs = self.outputs.iter().map(output).collect::<candle_core::Result<_>>()?;
        Ok(Self { outputs, penalty: self.penalty.clone() })
    }
}

/// The loss of a batch: each output's own, and the whole.
pub(super) struct Total {
    losses: Vec<Option<BatchLoss>>,
    /// The whole, a scalar that carries the gradient.
    pub(super) loss: Tensor,
    /// The same as a number.
    pub(super) value: f64,
}

impl Total {
    pub(super) fn of(objective: &Objective, called: &Called, batch: &Batch) -> Result<Self> {
        let counts = [called.outputs.len(), batch.targets.len()];
        if let Some(count) = counts.into_iter().find(|&count| count != objective.outputs.len()) {
            let what =
                format!("{} outputs have a loss or targets, and {count} are there", objective.outputs.len());
            return Err(Error::argument("outputs", what));
        }
        let mut losses = Vec::with_capacity(called.outputs.len());
        let (mut total, mut value): (Option<Tensor>, f64) = (None, 0.0);
        let mut add = |loss: Tensor| -> Result<()> {
            total = Some(match total.take() {
                Some(total) => (total + loss)?,
                None => loss,
            });
            Ok(())
        };
        let outputs = objective.outputs.iter().zip(&called.outputs).zip(&batch.targets);
        for (at, ((goal, output), targets)) in outputs.enumerate() {
            let Some(loss) = &goal.loss else {
                losses.push(None);
                continue;
            };
            let own = loss.batch(output, targets, batch.weights(at))?;
            value += own.value * goal.loss_weight;
            let weighted =
                if goal.loss_weight == 1.0 { own.loss.clone() } else { (&own.loss * goal.loss_weight)? };
            add(weighted)?;
            losses.push(Some(own));
        }
        if let Some(penalty) = &called.penalty {
            value += f64::from(penalty.to_dtype(DType::F32)?.to_scalar::<f32>()?);
            add(penalty.clone())?;
        }
        match total {
            Some(loss) => Ok(Self { losses, loss, value }),
            None => Err(Error::argument("loss", "no output has a loss")),
        }
    }

    pub(super) fn add_to(&self, meters: &mut Meters, called: &Called, batch: &Batch) -> Result<()> {
        meters.add(&Scored {
            outputs: &called.outputs,
            targets: &batch.targets,
            weights: &(0..called.outputs.len()).map(|output| batch.weights(output)).collect::<Vec<_>>(),
            losses: &self.losses,
            loss: self.value,
            rows: batch.rows,
        })
    }
}

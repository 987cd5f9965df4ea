//! The loss of a batch: positions, weights, threads and the way back. In f32 on the CPU one op, else tensor operations.

use super::criterion::{Criterion, Targets};
use super::reduction::{Shaped, Weighting};
use crate::layers::{Activation, suits_kernels, with_floats};
use crate::train::output::Output;
use crate::{Error, Result};
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor};
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// The loss of a batch.
#[derive(Clone, Debug)]
pub struct BatchLoss {
    /// A scalar that carries the gradient.
    pub loss: Tensor,
    /// The same as a number.
    pub value: f64,
}

/// Values that one thread works through: about 0.1 ms. Sums are made a block at a time and added in the order of the
/// blocks, so that the number of threads does not show.
const BLOCK: usize = 16_384;

/// The loss of a batch; [`Loss::batch`](super::Loss::batch) says the rest.
pub fn batch(
    criterion: Arc<dyn Criterion>,
    output: &Output,
    targets: &Tensor,
    weights: Option<&Tensor>,
) -> Result<BatchLoss> {
    let (x, logits) = values(&*criterion, output)?;
    // One value a sample may come without an axis of its own.
    let dims = if x.rank() == 1 { vec![x.elem_count(), 1] } else { x.dims().to_vec() };
    let Some((&width, positions)) = dims.split_last().filter(|_| x.elem_count() > 0) else {
        return Err(Error::argument(
            "output",
            format!("a loss needs values, and the shape is {:?}", x.dims()),
        ));
    };
    criterion.check_head(Some(width), output.activation).map_err(|what| Error::argument("loss", what))?;
    let count = positions.iter().product::<usize>();
    let targets = fitting(&*criterion, targets, x.dims())?.detach();
    let targets = criterion.prepared(targets.to_dtype(x.dtype())?.reshape((count, ()))?.contiguous()?)?;
    let mut mask = output.mask.as_ref().map(shaped).transpose()?;
    if criterion.targets() == Targets::Class {
        mask = counted(&*criterion, &targets, width, positions, mask)?;
    }
    let weighting = criterion.reduction().weigh(positions, mask, weights.map(shaped).transpose()?)?;
    let rows = Rows { criterion, logits, width, weighting };
    let x = x.reshape((count, width))?;
    match suits_kernels(&x) {
        true => rows.fused(&x.contiguous()?, &targets),
        false => rows.by_tensors(&x, &targets),
    }
}

/// The shape of the targets for an output of such a shape.
pub fn target_shape(targets: Targets, output: &[usize]) -> Vec<usize> {
    match (targets, output) {
        (Targets::Class, [positions @ .., _]) => positions.to_vec(),
        (Targets::Single, [positions @ .., _]) => [positions, &[1]].concat(),
        _ => output.to_vec(),
    }
}

/// What the loss takes of an output, and whether that is logits.
fn values(criterion: &dyn Criterion, output: &Output) -> Result<(Tensor, bool)> {
    let left = output.activation.filter(|&activation| activation != Activation::Linear);
    let (x, logits) = match left.is_some() && left == criterion.logits_of() {
        true => (output.values.clone(), true),
        false => (output.applied()?, criterion.takes_logits()),
    };
    // As Keras, which computes losses in `floatx`.
    let single = !matches!(x.dtype(), DType::F32 | DType::F64);
    Ok((if single { x.to_dtype(DType::F32)? } else { x }, logits))
}

/// The targets, if their shape fits but for an axis of 1 at the end.
fn fitting(criterion: &dyn Criterion, targets: &Tensor, output: &[usize]) -> Result<Tensor> {
    let expected = target_shape(criterion.targets(), output);
    let fits = |found: &[usize]| match found {
        found if found == expected => true,
        [rest @ .., 1] if rest == expected => true,
        found => matches!(expected.as_slice(), [rest @ .., 1] if rest == found),
    };
    match fits(targets.dims()) {
        true => Ok(targets.clone()),
        false => {
            let what =
                format!("their shape is {:?}; an output {output:?} needs {expected:?}", targets.dims());
            Err(Error::argument("targets", what))
        }
    }
}

fn shaped(tensor: &Tensor) -> Result<Shaped> {
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(Shaped { dims: tensor.dims().to_vec(), values: values.into_iter().map(f64::from).collect() })
}

/// Checks classes, and takes out of the mask the positions that the loss ignores.
fn counted(
    criterion: &dyn Criterion,
    targets: &Tensor,
    width: usize,
    positions: &[usize],
    mask: Option<Shaped>,
) -> Result<Option<Shaped>> {
    let targets = targets.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let ignored = criterion.ignored();
    for &target in targets.iter().filter(|&&target| Some(target) != ignored) {
        criterion.check_target(target, width).map_err(|what| Error::argument("targets", what))?;
    }
    let Some(ignored) = ignored else { return Ok(mask) };
    let mut values: Vec<f64> = targets.iter().map(|&target| f64::from(target != ignored)).collect();
    if let Some(mask) = mask {
        let times = (values.len() / mask.values.len().max(1)).max(1);
        if mask.values.len() * times != values.len() {
            let what = format!("its shape is {:?}, and the output has {positions:?} positions", mask.dims);
            return Err(Error::argument("mask", what));
        }
        for (value, at) in values.iter_mut().zip(0..) {
            *value *= mask.values.get(at / times).copied().unwrap_or(0.0);
        }
    }
    Ok(Some(Shaped { dims: positions.to_vec(), values }))
}

/// A loss over the positions of a batch.
#[derive(Debug)]
struct Rows {
    criterion: Arc<dyn Criterion>,
    logits: bool,
    width: usize,
    weighting: Weighting,
}

impl Rows {
    fn fused(self, x: &Tensor, targets: &Tensor) -> Result<BatchLoss> {
        let mut gradient = x.track_op().then(|| vec![0.0; x.elem_count()]);
        let sum = with_floats([x, targets], |[x, targets]| self.sum(x, targets, gradient.as_deref_mut()))?;
        let value = sum / self.weighting.divisor;
        let loss =
            x.apply_op2(targets, Fused { rows: self, loss: value as f32, gradient: Mutex::new(gradient) })?;
        Ok(BatchLoss { loss, value })
    }

    /// The weighted sum of the losses; gradients of each position's loss by itself, 0 where it does not count.
    fn sum(&self, x: &[f32], targets: &[f32], gradient: Option<&mut [f32]>) -> f64 {
        let count = x.len() / self.width;
        let targets_each = targets.len() / count;
        let rows = (BLOCK / self.width).max(1);
        if rows >= count {
            return self.block(0, x, targets, gradient);
        }
        let mut blocks: Vec<Option<&mut [f32]>> = match gradient {
            Some(gradient) => gradient.chunks_mut(rows * self.width).map(Some).collect(),
            None => (0..count.div_ceil(rows)).map(|_| None).collect(),
        };
        let xs = x.par_chunks(rows * self.width).zip(targets.par_chunks(rows * targets_each));
        let sums = xs.zip(&mut blocks).enumerate();
        let sums =
            sums.map(|(i, ((x, targets), gradient))| self.block(i * rows, x, targets, gradient.take()));
        sums.collect::<Vec<f64>>().into_iter().sum()
    }

    fn block(&self, first: usize, x: &[f32], targets: &[f32], gradient: Option<&mut [f32]>) -> f64 {
        let weights = self.weighting.weights.as_ref().map(|weights| &weights[first..]);
        self.criterion.rows((x, targets), self.width, weights, self.logits, gradient)
    }

    /// The gradients of the positions, made those of the batch's loss.
    fn scale(&self, gradient: &mut [f32], from_above: f32) {
        let Some(weights) = &self.weighting.weights else {
            let scale = from_above / self.weighting.divisor as f32;
            return gradient.iter_mut().for_each(|slope| *slope *= scale);
        };
        let scale = f64::from(from_above) / self.weighting.divisor;
        for (row, &weight) in gradient.chunks_exact_mut(self.width).zip(weights) {
            let scale = (f64::from(weight) * scale) as f32;
            row.iter_mut().for_each(|slope| *slope *= scale);
        }
    }

    fn by_tensors(&self, x: &Tensor, targets: &Tensor) -> Result<BatchLoss> {
        let (losses, gradient) = self.criterion.tensors(&x.detach(), targets, self.logits)?;
        let count = losses.elem_count();
        let (loss, gradient) = match &self.weighting.weights {
            None => (losses.sum_all()?, gradient),
            Some(weights) => {
                let weights = Tensor::from_slice(weights, count, x.device())?
                    .to_dtype(x.dtype())?
                    .reshape((count, 1))?;
                let counts = weights.ne(0.0)?;
                let losses = (losses.reshape((count, 1))? * &weights)?;
                let losses = counts.where_cond(&losses, &losses.zeros_like()?)?;
                let slopes = gradient.broadcast_mul(&weights)?;
                let counts = counts.broadcast_as(slopes.dims())?;
                (losses.sum_all()?, counts.where_cond(&slopes, &slopes.zeros_like()?)?)
            }
        };
        let (loss, gradient) = ((loss / self.weighting.divisor)?, (gradient / self.weighting.divisor)?);
        let value = match loss.dtype() {
            DType::F64 => loss.to_scalar::<f64>()?,
            _ => f64::from(loss.to_dtype(DType::F32)?.to_scalar::<f32>()?),
        };
        // A sum with that gradient, less its own value.
        let carrier = (x * gradient)?.sum_all()?;
        Ok(BatchLoss { loss: (loss + (&carrier - carrier.detach())?)?, value })
    }
}

/// The loss that was computed already, as a node of Candle's graph. The first way back takes the gradient that the way
/// forth has left; a second one computes it again.
struct Fused {
    rows: Rows,
    loss: f32,
    gradient: Mutex<Option<Vec<f32>>>,
}

impl CustomOp2 for Fused {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.loss]), Shape::from(())))
    }

    fn bwd(
        &self,
        x: &Tensor,
        targets: &Tensor,
        _: &Tensor,
        from_above: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let left = self.gradient.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut gradient = match left {
            Some(gradient) => gradient,
            None => with_floats([x, targets], |[x, targets]| {
                let mut gradient = vec![0.0; x.len()];
                self.rows.sum(x, targets, Some(&mut gradient));
                gradient
            })?,
        };
        self.rows.scale(&mut gradient, from_above.to_scalar::<f32>()?);
        Ok((Some(Tensor::from_vec(gradient, x.dims(), x.device())?), None))
    }
}

//! Binary cross-entropy on logits, finite for any finite logit, as one op.

use crate::{Error, Result};
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor};
use std::sync::{Arc, Mutex, PoisonError};

/// What a batch gave: the loss as a tensor to differentiate, and its figures on the host.
#[derive(Clone, Debug)]
pub struct BatchLoss {
    /// The mean over the batch, a scalar tensor that carries the gradient.
    pub loss: Tensor,
    /// The same as a number.
    pub value: f64,
    /// How many samples are classified correctly: the probability is above 0.5, strictly, just where the logit is
    /// above 0.
    pub correct: usize,
}

/// The mean over the batch of `max(x, 0) - x z + log(1 + exp(-|x|))` for logits x and targets z (Keras's
/// `binary_crossentropy` on TensorFlow, where the sigmoid's logits are known), as a scalar tensor.
///
/// `logits` (n, 1) or (n); `targets` as many values from 0 to 1, which are constants: no gradient flows into them.
///
/// # Errors
/// No value at all, or another number of targets than of logits.
pub fn binary_crossentropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    Ok(batch_loss(logits, targets)?.loss)
}

/// [`binary_crossentropy`] with the figures that training reports. Targets above 0.5 are the positive class.
///
/// # Errors
/// As [`binary_crossentropy`].
pub fn batch_loss(logits: &Tensor, targets: &Tensor) -> Result<BatchLoss> {
    let count = targets.elem_count();
    if count == 0 || logits.elem_count() != count {
        let what = format!("shape {:?} for {count} targets; one logit a sample is needed", logits.dims());
        return Err(Error::argument("logits", what));
    }
    let targets = targets.detach().to_dtype(logits.dtype())?;
    if !logits.device().is_cpu() || logits.dtype() != DType::F32 {
        return tensor_loss(&logits.flatten_all()?, &targets.flatten_all()?);
    }
    let figures = Arc::new(Mutex::new(Figures::default()));
    let op = BinaryCrossentropy { figures: figures.clone() };
    let loss = logits.contiguous()?.apply_op2(&targets.contiguous()?, op)?;
    let Figures { value, correct } = *figures.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(BatchLoss { loss, value, correct })
}

/// For other devices and types. The gradient `(sigmoid(x) - z) / n` is given outright: candle's gradients of the
/// formula's parts do not add up to it at 0.
fn tensor_loss(logits: &Tensor, targets: &Tensor) -> Result<BatchLoss> {
    let (x, n) = (logits.detach(), targets.elem_count() as f64);
    let softplus = (x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    let loss = (softplus - (&x * targets)?)?.mean_all()?;
    let gradient = ((candle_nn::ops::sigmoid(&x)? - targets)? / n)?;
    // A sum with that gradient, less its own value.
    let carrier = (logits * gradient)?.sum_all()?;
    let value = f64::from(loss.to_dtype(DType::F32)?.to_scalar::<f32>()?);
    let correct = x.gt(0.0)?.eq(&targets.gt(0.5)?)?.to_dtype(DType::U32)?.sum_all()?.to_scalar::<u32>()?;
    let loss = (loss + (&carrier - carrier.detach())?)?;
    Ok(BatchLoss { loss, value, correct: correct as usize })
}

#[derive(Clone, Copy, Default)]
struct Figures {
    value: f64,
    correct: usize,
}

struct BinaryCrossentropy {
    figures: Arc<Mutex<Figures>>,
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("binary-crossentropy: a strided array"),
    }
}

impl CustomOp2 for BinaryCrossentropy {
    fn name(&self) -> &'static str {
        "binary-crossentropy"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        logits_layout: &Layout,
        targets: &CpuStorage,
        targets_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (logits, targets) = (values(logits, logits_layout)?, values(targets, targets_layout)?);
        let (mut sum, mut correct) = (0.0f64, 0);
        for (&x, &z) in logits.iter().zip(targets) {
            // libm's functions, so that training gives the same bytes everywhere. `f32::max` would drop a NaN.
            let positive = if x < 0.0 { 0.0 } else { x };
            sum += f64::from(positive - x * z + libm::log1pf(libm::expf(-x.abs())));
            correct += usize::from((x > 0.0) == (z > 0.5));
        }
        let value = sum / logits.len() as f64;
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = Figures { value, correct };
        Ok((CpuStorage::F32(vec![value as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        targets: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let scale = gradient.to_scalar::<f32>()? / logits.elem_count() as f32;
        let op = Backward { scale };
        Ok((Some(logits.detach().apply_op2_no_bwd(&targets.detach(), &op)?), None))
    }
}

/// `(sigmoid(x) - z) * scale`.
struct Backward {
    scale: f32,
}

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "binary-crossentropy-backward"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        logits_layout: &Layout,
        targets: &CpuStorage,
        targets_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, z) = (values(logits, logits_layout)?, values(targets, targets_layout)?);
        let gradient = x.iter().zip(z).map(|(&x, &z)| (1.0 / (1.0 + libm::expf(-x)) - z) * self.scale);
        Ok((CpuStorage::F32(gradient.collect()), logits_layout.shape().clone()))
    }
}

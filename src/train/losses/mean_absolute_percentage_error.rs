//! Mean absolute percentage error.

use super::criterion::{Criterion, plain_loss};
use super::reduction::Reduction;
use super::rowwise::{self, LEAST, sign};
use crate::Result;
use candle_core::Tensor;

plain_loss! {
    /// 100 |z - y| / max(|z|, 10⁻⁷), the mean over the last axis; the slope is 0 where they are equal.
    MeanAbsolutePercentageError
}

impl Criterion for MeanAbsolutePercentageError {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        let scale = |z: f32| if z.abs() > LEAST { z.abs() } else { LEAST };
        let value = |y: f32, z: f32| 100.0 * ((z - y) / scale(z)).abs();
        rowwise::mean(x, targets, gradient, value, |y, z| 100.0 * sign(y - z) / scale(z))
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let error = (x - targets)?;
        let scale = (targets.abs()?.maximum(f64::from(LEAST))?.recip()? * 100.0)?;
        rowwise::mean_tensors(&(error.abs()? * &scale)?, &(error.sign()? * scale)?)
    }
}

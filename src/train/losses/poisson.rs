//! Poisson loss.

use super::criterion::{Criterion, plain_loss};
use super::heads::Checked;
use super::reduction::Reduction;
use super::rowwise::{self, LEAST};
use crate::Result;
use candle_core::Tensor;

plain_loss! {
    /// y - z log(y + 10⁻⁷) for rates y and counts z, the mean over the last axis; NaN where y is below -10⁻⁷.
    Poisson
}

impl Criterion for Poisson {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check_target(&self, target: f32, _: usize) -> Checked {
        match target >= 0.0 {
            true => Ok(()),
            false => Err(format!("target {target}, and a count is not below 0")),
        }
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        let value = |y: f32, z: f32| y - z * libm::logf(y + LEAST);
        rowwise::mean(x, targets, gradient, value, |y, z| 1.0 - z / (y + LEAST))
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let rate = (x + f64::from(LEAST))?;
        rowwise::mean_tensors(&(x - (targets * rate.log()?)?)?, &(targets / rate)?.affine(-1.0, 1.0)?)
    }
}

//! Mean squared logarithmic error.

use super::criterion::{Criterion, plain_loss};
use super::reduction::Reduction;
use super::rowwise::{self, LEAST, clip};
use crate::Result;
use candle_core::Tensor;

plain_loss! {
    /// (log(1 + y) - log(1 + z))², the mean over the last axis. What is below 10⁻⁷ counts as 10⁻⁷, and has slope 0.
    MeanSquaredLogarithmicError
}

impl Criterion for MeanSquaredLogarithmicError {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        let log = |x: f32| libm::logf(clip(x, LEAST, f32::INFINITY).0 + 1.0);
        let value = |y, z| (log(y) - log(z)) * (log(y) - log(z));
        let slope = |y, z| match clip(y, LEAST, f32::INFINITY) {
            (y, true) => 2.0 * (log(y) - log(z)) / (y + 1.0),
            _ => 0.0,
        };
        rowwise::mean(x, targets, gradient, value, slope)
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let inside = x.ge(f64::from(LEAST))?.to_dtype(x.dtype())?;
        let (y, z) = ((x.maximum(f64::from(LEAST))? + 1.0)?, (targets.maximum(f64::from(LEAST))? + 1.0)?);
        let error = (y.log()? - z.log()?)?;
        rowwise::mean_tensors(&error.sqr()?, &(((error * 2.0)? / y)? * inside)?)
    }
}

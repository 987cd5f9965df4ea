//! Mean squared error.

use super::criterion::{Criterion, plain_loss};
use super::reduction::Reduction;
use super::rowwise;
use crate::Result;
use candle_core::Tensor;

plain_loss! {
    /// (z - y)², the mean over the last axis.
    MeanSquaredError
}

impl Criterion for MeanSquaredError {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        rowwise::mean(x, targets, gradient, |y, z| (z - y) * (z - y), |y, z| 2.0 * (y - z))
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let error = (x - targets)?;
        rowwise::mean_tensors(&error.sqr()?, &(error * 2.0)?)
    }
}

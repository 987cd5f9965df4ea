//! Mean absolute error.

use super::criterion::{Criterion, plain_loss};
use super::reduction::Reduction;
use super::rowwise::{self, sign};
use crate::Result;
use candle_core::Tensor;

plain_loss! {
    /// |z - y|, the mean over the last axis; the slope is 0 where they are equal.
    MeanAbsoluteError
}

impl Criterion for MeanAbsoluteError {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        rowwise::mean(x, targets, gradient, |y, z| (z - y).abs(), |y, z| sign(y - z))
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let error = (x - targets)?;
        rowwise::mean_tensors(&error.abs()?, &error.sign()?)
    }
}

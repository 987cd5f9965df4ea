//! Hinge loss.

use super::criterion::{Criterion, plain_loss};
use super::heads::{self, Checked};
use super::reduction::Reduction;
use super::rowwise::{self, margin, positive};
use crate::Result;
use candle_core::Tensor;

plain_loss! {
    /// max(1 - z y, 0), the mean over the last axis; z is -1 or 1. Where all targets of a batch are 0 or 1, they are made
    /// -1 and 1. At the kink the slope is that of the margin's side.
    Hinge
}

impl Criterion for Hinge {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check_target(&self, target: f32, _: usize) -> Checked {
        heads::within(target, -1.0, 1.0)
    }

    fn prepared(&self, targets: Tensor) -> Result<Tensor> {
        rowwise::signs(targets)
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        let value = |y: f32, z: f32| margin(y, z).0;
        let slope = |y: f32, z: f32| if margin(y, z).1 { -z } else { 0.0 };
        rowwise::mean(x, targets, gradient, value, slope)
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let margin = (x * targets)?.affine(-1.0, 1.0)?;
        let inside = margin.ge(0.0)?.to_dtype(x.dtype())?;
        rowwise::mean_tensors(&positive(&margin)?, &(targets.neg()? * inside)?)
    }
}

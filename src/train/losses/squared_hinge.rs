//! Squared hinge loss.

use super::criterion::{Criterion, plain_loss};
use super::heads::{self, Checked};
use super::reduction::Reduction;
use super::rowwise::{self, margin, positive};
use crate::Result;
use candle_core::Tensor;

plain_loss! {
    /// max(1 - z y, 0)², the mean over the last axis; targets as those of [`Hinge`](super::Hinge).
    SquaredHinge
}

impl Criterion for SquaredHinge {
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
        let value = |y: f32, z: f32| margin(y, z).0 * margin(y, z).0;
        rowwise::mean(x, targets, gradient, value, |y, z| -2.0 * z * margin(y, z).0)
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let margin = positive(&(x * targets)?.affine(-1.0, 1.0)?)?;
        rowwise::mean_tensors(&margin.sqr()?, &((targets * margin)? * -2.0)?)
    }
}

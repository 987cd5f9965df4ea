//! Log-cosh.

use super::criterion::{Criterion, plain_loss};
use super::reduction::Reduction;
use super::rowwise::{self, softplus_of_minus_abs};
use crate::Result;
use candle_core::Tensor;

plain_loss! {
    /// log cosh(y - z), the mean over the last axis: half the square near 0, less than log 2 below the size far away.
    LogCosh
}

impl Criterion for LogCosh {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        let value = |y: f32, z: f32| {
            let size = (y - z).abs();
            size + libm::log1pf(libm::expf(-2.0 * size)) - std::f32::consts::LN_2
        };
        rowwise::mean(x, targets, gradient, value, |y, z| libm::tanhf(y - z))
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let error = (x - targets)?;
        let value = ((error.abs()? + softplus_of_minus_abs(&(&error * 2.0)?)?)? - std::f64::consts::LN_2)?;
        rowwise::mean_tensors(&value, &error.tanh()?)
    }
}

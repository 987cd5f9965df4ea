//! Huber loss.

use super::criterion::Criterion;
use super::reduction::Reduction;
use super::rowwise;
use crate::{Error, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// e² / 2 for errors e = y - z up to `delta`, beyond that δ |e| - δ² / 2; the mean over the last axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Huber {
    /// Where the square goes over into a line.
    pub delta: f64,
    /// How the losses of a batch become one number.
    pub reduction: Reduction,
    /// What the user calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Default for Huber {
    fn default() -> Self {
        Self { delta: 1.0, reduction: Reduction::default(), name: None }
    }
}

impl Criterion for Huber {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self) -> Result<()> {
        match self.delta > 0.0 && self.delta.is_finite() {
            true => Ok(()),
            false => Err(Error::argument("delta", format!("{} is not a number above 0", self.delta))),
        }
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        let delta = self.delta as f32;
        let value = |y: f32, z: f32| {
            let error = y - z;
            if error.abs() <= delta { 0.5 * error * error } else { delta * error.abs() - 0.5 * delta * delta }
        };
        let slope = |y: f32, z: f32| {
            let error = y - z;
            if error.abs() <= delta { error } else { delta * rowwise::sign(error) }
        };
        rowwise::mean(x, targets, gradient, value, slope)
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let (error, delta) = ((x - targets)?, self.delta);
        let near = error.abs()?.le(delta)?;
        let line = error.abs()?.affine(delta, -0.5 * delta * delta)?;
        let values = near.where_cond(&(error.sqr()? * 0.5)?, &line)?;
        rowwise::mean_tensors(&values, &near.where_cond(&error, &(error.sign()? * delta)?)?)
    }
}

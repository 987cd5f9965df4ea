//! Quantile loss.

use super::criterion::{Criterion, Targets};
use super::heads::Checked;
use super::reduction::Reduction;
use crate::layers::Activation;
use crate::{Error, Result};
use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

/// max(q (z - y), (q - 1)(z - y)) for an output y that is to be the quantile q of the target z (Koenker & Bassett 1978); the
/// mean over the quantiles. Keras has no such loss.
///
/// The output has a value for each of `quantiles`, (batch, …, quantiles); a target is one value for all of them, (batch, …, 1).
/// The slope is -q for y ≤ z, else 1 - q.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pinball {
    /// The quantiles, each between 0 and 1; the median, 0.5.
    pub quantiles: Vec<f64>,
    /// How the losses of a batch become one number.
    pub reduction: Reduction,
    /// What the user calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Default for Pinball {
    fn default() -> Self {
        Self { quantiles: vec![0.5], reduction: Reduction::default(), name: None }
    }
}

impl Criterion for Pinball {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self) -> Result<()> {
        let wrong = self.quantiles.iter().find(|&&quantile| !(quantile > 0.0 && quantile < 1.0));
        match (wrong, self.quantiles.is_empty()) {
            (None, false) => Ok(()),
            (Some(quantile), _) => {
                Err(Error::argument("quantiles", format!("{quantile} is not between 0 and 1")))
            }
            (None, true) => Err(Error::argument("quantiles", "there must be at least one")),
        }
    }

    fn check_head(&self, width: Option<usize>, _: Option<Activation>) -> Checked {
        let count = self.quantiles.len();
        match width {
            Some(width) if width != count => {
                Err(format!("{count} `quantiles` need as many outputs, and the model gives {width}"))
            }
            _ => Ok(()),
        }
    }

    fn targets(&self) -> Targets {
        Targets::Single
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        let target = targets[0];
        let share = 1.0 / x.len() as f32;
        let pairs = || x.iter().zip(&self.quantiles).map(|(&x, &quantile)| (target - x, quantile as f32));
        if let Some(gradient) = gradient {
            for (to, (error, quantile)) in gradient.iter_mut().zip(pairs()) {
                *to = share * if error >= 0.0 { -quantile } else { 1.0 - quantile };
            }
        }
        let losses = pairs().map(|(error, quantile)| {
            f64::from(if error >= 0.0 { quantile * error } else { (quantile - 1.0) * error })
        });
        losses.sum::<f64>() / x.len() as f64
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let quantiles = Tensor::new(self.quantiles.as_slice(), &candle_core::Device::Cpu)?;
        let quantiles = quantiles.to_dtype(x.dtype())?.to_device(x.device())?.broadcast_as(x.dims())?;
        let error = targets.broadcast_sub(x)?;
        let others = (&quantiles - 1.0)?;
        let factors = error.ge(0.0)?.where_cond(&quantiles.contiguous()?, &others)?;
        let count = x.dim(D::Minus1)? as f64;
        Ok((((error * &factors)?.sum(D::Minus1)? / count)?, (factors.neg()? / count)?))
    }
}

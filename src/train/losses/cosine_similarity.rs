//! Cosine similarity as a loss.

use super::criterion::Criterion;
use super::heads::Checked;
use super::reduction::Reduction;
use super::rowwise::{self, minus_one};
use crate::Result;
use crate::layers::Activation;
use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

/// -y · z / (‖y‖ ‖z‖): -1 where output and target point the same way. Of a vector of zeros it is 0, with
/// slope -10⁷ z / ‖z‖, Keras's: 1 / ‖y‖ is at most 10⁷.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CosineSimilarity {
    /// The axis of the vectors: the last, -1.
    #[serde(default = "minus_one")]
    pub axis: i64,
    /// How the losses of a batch become one number.
    pub reduction: Reduction,
    /// What the user calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Default for CosineSimilarity {
    fn default() -> Self {
        Self { axis: -1, reduction: Reduction::default(), name: None }
    }
}

/// 1 / ‖x‖ is no greater, and beyond has no slope.
const GREATEST: f64 = 1e7;

/// 1 / ‖x‖
fn inverse_norm(x: &[f32]) -> f64 {
    let square: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (1.0 / square.sqrt()).min(GREATEST)
}

impl Criterion for CosineSimilarity {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self) -> Result<()> {
        rowwise::last_axis(self.axis)
    }

    fn check_head(&self, width: Option<usize>, _: Option<Activation>) -> Checked {
        match width {
            Some(1) => {
                Err("vectors of 1 value have no directions to compare: use mean_squared_error".to_string())
            }
            _ => Ok(()),
        }
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        let (scale, other) = (inverse_norm(x), inverse_norm(targets));
        let products = x.iter().zip(targets).map(|(&y, &z)| f64::from(y) * f64::from(z));
        let cosine = products.sum::<f64>() * scale * other;
        if let Some(gradient) = gradient {
            for ((to, &y), &z) in gradient.iter_mut().zip(x).zip(targets) {
                let (y, z) = (f64::from(y) * scale, f64::from(z) * other);
                *to = match scale == GREATEST {
                    true => (-z * scale) as f32,
                    false => ((cosine * y - z) * scale) as f32,
                };
            }
        }
        -cosine
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let inverse_norm = |x: &Tensor| -> Result<Tensor> {
            Ok(x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.recip()?.minimum(GREATEST)?)
        };
        let scale = inverse_norm(x)?;
        let (y, z) = (x.broadcast_mul(&scale)?, targets.broadcast_mul(&inverse_norm(targets)?)?);
        let cosine = (&y * &z)?.sum_keepdim(D::Minus1)?;
        let inside = scale.lt(GREATEST)?.to_dtype(x.dtype())?;
        let slopes = (y.broadcast_mul(&(&cosine * inside)?)? - z)?.broadcast_mul(&scale)?;
        Ok((cosine.squeeze(D::Minus1)?.neg()?, slopes))
    }
}

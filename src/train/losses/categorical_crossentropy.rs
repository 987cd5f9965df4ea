//! Cross-entropy of one class among many, targets being a value for each class.

use super::criterion::Criterion;
use super::heads::{self, Checked};
use super::reduction::Reduction;
use super::rowwise::{self, LEAST, MOST, clip, clip_tensor, minus_one};
use super::sparse_categorical_crossentropy::check_head;
use crate::Result;
use crate::layers::Activation;
use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

/// -Σ z log p for probabilities p, brought to a sum of 1, and targets z. Of logits x, log p is x - log Σ eˣ.
///
/// The gradient with respect to logits is softmax(x) - z, TensorFlow's also where the targets do not sum to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CategoricalCrossentropy {
    /// The output itself is logits.
    pub from_logits: bool,
    /// Targets are moved this share of the way to 1 / classes.
    pub label_smoothing: f64,
    /// The axis of the classes: the last, -1.
    #[serde(default = "minus_one")]
    pub axis: i64,
    /// How the losses of a batch become one number.
    pub reduction: Reduction,
    /// What the user calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Default for CategoricalCrossentropy {
    fn default() -> Self {
        Self {
            from_logits: false,
            label_smoothing: 0.0,
            axis: -1,
            reduction: Reduction::default(),
            name: None,
        }
    }
}

/// A target, moved a share of the way to 1 / classes.
pub fn smooth(z: f32, share: f64, classes: usize) -> f32 {
    match share == 0.0 {
        true => z,
        false => z * (1.0 - share) as f32 + (share / classes as f64) as f32,
    }
}

/// The gradient with respect to values, in place of that with respect to them divided by their sum.
pub fn through_sum(gradient: &mut [f32], x: &[f32], total: f64) {
    let products = gradient.iter().zip(x).map(|(&slope, &x)| f64::from(slope) * f64::from(x));
    let mean = products.sum::<f64>() / total;
    gradient.iter_mut().for_each(|slope| *slope = ((f64::from(*slope) - mean) / total) as f32);
}

/// The same of tensors.
pub fn through_sum_tensors(gradient: &Tensor, x: &Tensor, total: &Tensor) -> Result<Tensor> {
    let mean = (gradient * x)?.sum_keepdim(D::Minus1)?.broadcast_div(total)?;
    Ok(gradient.broadcast_sub(&mean)?.broadcast_div(total)?)
}

impl Criterion for CategoricalCrossentropy {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self) -> Result<()> {
        rowwise::share("label_smoothing", self.label_smoothing)?;
        rowwise::last_axis(self.axis)
    }

    fn logits_of(&self) -> Option<Activation> {
        Some(Activation::Softmax)
    }

    fn takes_logits(&self) -> bool {
        self.from_logits
    }

    fn check_head(&self, width: Option<usize>, last: Option<Activation>) -> Checked {
        check_head(width, last)?;
        let last = last.filter(|&last| last != Activation::Softmax);
        heads::logits_or_probabilities(self.from_logits, last, "softmax")
    }

    fn check_target(&self, target: f32, _: usize) -> Checked {
        heads::within(target, 0.0, 1.0)
    }

    fn row(&self, x: &[f32], targets: &[f32], logits: bool, mut gradient: Option<&mut [f32]>) -> f64 {
        let smooth = |z| smooth(z, self.label_smoothing, x.len());
        let pairs = || x.iter().zip(targets).map(|(&x, &z)| (x, smooth(z)));
        if logits {
            let (greatest, total) = rowwise::exponentials(x, gradient.as_deref_mut());
            if let Some(gradient) = gradient {
                rowwise::normalise(gradient, total);
                gradient.iter_mut().zip(targets).for_each(|(slope, &z)| *slope -= smooth(z));
            }
            let log = libm::log(total) + f64::from(greatest);
            return pairs().map(|(x, z)| f64::from(z) * (log - f64::from(x))).sum();
        }
        let total: f64 = x.iter().copied().map(f64::from).sum();
        let share = (1.0 / total) as f32;
        let clipped = |x: f32| clip(x * share, LEAST, MOST);
        if let Some(gradient) = gradient {
            for (to, (x, z)) in gradient.iter_mut().zip(pairs()) {
                *to = match clipped(x) {
                    (p, true) => -z / p,
                    _ => 0.0,
                };
            }
            through_sum(gradient, x, total);
        }
        -pairs().map(|(x, z)| f64::from(z * libm::logf(clipped(x).0))).sum::<f64>()
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, logits: bool) -> Result<(Tensor, Tensor)> {
        let classes = x.dim(D::Minus1)? as f64;
        let z = targets.affine(1.0 - self.label_smoothing, self.label_smoothing / classes)?;
        if logits {
            let log_p = candle_nn::ops::log_softmax(x, D::Minus1)?;
            return Ok(((&z * &log_p)?.sum(D::Minus1)?.neg()?, (log_p.exp()? - z)?));
        }
        let total = x.sum_keepdim(D::Minus1)?;
        let (p, inside) = clip_tensor(&x.broadcast_div(&total)?, LEAST, MOST)?;
        let losses = (&z * p.log()?)?.sum(D::Minus1)?.neg()?;
        let slopes = ((z / p)?.neg()? * inside)?;
        Ok((losses, through_sum_tensors(&slopes, x, &total)?))
    }
}

//! Binary cross-entropy.

use super::criterion::Criterion;
use super::heads::{self, Checked};
use super::reduction::Reduction;
use super::rowwise::{
    self, LEAST, MOST, clip, clip_tensor, minus_one, positive, sigmoid, softplus_of_minus_abs,
};
use crate::Result;
use crate::layers::Activation;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// -z log p - (1 - z) log(1 - p) for probabilities p and targets z from 0 to 1, the mean over the last axis. Of logits x it
/// is `max(x, 0) - x z + log(1 + exp(-|x|))`, which is finite at any finite logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BinaryCrossentropy {
    /// The output itself is logits.
    pub from_logits: bool,
    /// Targets are moved this share of the way to 0.5.
    pub label_smoothing: f64,
    /// The axis of the mean: the last, -1.
    #[serde(default = "minus_one")]
    pub axis: i64,
    /// How the losses of a batch become one number.
    pub reduction: Reduction,
    /// What the user calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Default for BinaryCrossentropy {
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

/// The loss of a logit.
pub fn of_logit(x: f32, z: f32) -> f32 {
    // `f32::max` would drop a NaN.
    let positive = if x < 0.0 { 0.0 } else { x };
    positive - x * z + libm::log1pf(libm::expf(-x.abs()))
}

/// The loss of a probability; the slope is 0 beyond where it is clipped.
pub fn of_probability(p: f32, z: f32) -> f32 {
    let (p, _) = clip(p, LEAST, MOST);
    -(z * libm::logf(p) + (1.0 - z) * libm::logf(1.0 - p))
}

/// The slope of [`of_probability`].
pub fn slope_of_probability(p: f32, z: f32) -> f32 {
    match clip(p, LEAST, MOST) {
        (p, true) => (1.0 - z) / (1.0 - p) - z / p,
        _ => 0.0,
    }
}

/// The same of tensors: losses and slopes of each value.
pub fn tensors(x: &Tensor, z: &Tensor, logits: bool) -> Result<(Tensor, Tensor)> {
    if logits {
        let value = ((positive(x)? - (x * z)?)? + softplus_of_minus_abs(x)?)?;
        return Ok((value, (candle_nn::ops::sigmoid(x)? - z)?));
    }
    let (p, inside) = clip_tensor(x, LEAST, MOST)?;
    let (other_p, other_z) = (p.affine(-1.0, 1.0)?, z.affine(-1.0, 1.0)?);
    let value = ((z * p.log()?)? + (&other_z * other_p.log()?)?)?.neg()?;
    let slope = ((other_z / other_p)? - (z / p)?)?;
    Ok((value, (slope * inside)?))
}

/// A target, moved a share of the way to 0.5.
pub fn smooth(z: f32, share: f64) -> f32 {
    match share == 0.0 {
        true => z,
        false => z * (1.0 - share) as f32 + (0.5 * share) as f32,
    }
}

/// See [`Criterion::check_head`].
pub fn check_head(last: Option<Activation>) -> Checked {
    heads::not(
        last,
        Activation::Softmax,
        "use categorical_crossentropy, or end the model in sigmoid, which makes each value a probability by itself",
    )
}

impl Criterion for BinaryCrossentropy {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self) -> Result<()> {
        rowwise::share("label_smoothing", self.label_smoothing)?;
        rowwise::last_axis(self.axis)
    }

    fn logits_of(&self) -> Option<Activation> {
        Some(Activation::Sigmoid)
    }

    fn takes_logits(&self) -> bool {
        self.from_logits
    }

    fn check_head(&self, _: Option<usize>, last: Option<Activation>) -> Checked {
        check_head(last)?;
        // Keras takes the logits of a sigmoid either way.
        let last = last.filter(|&last| last != Activation::Sigmoid);
        heads::logits_or_probabilities(self.from_logits, last, "sigmoid")
    }

    fn check_target(&self, target: f32, _: usize) -> Checked {
        heads::within(target, 0.0, 1.0)
    }

    fn row(&self, x: &[f32], targets: &[f32], logits: bool, gradient: Option<&mut [f32]>) -> f64 {
        let share = self.label_smoothing;
        let smooth = |z| smooth(z, share);
        match logits {
            true => rowwise::mean(
                x,
                targets,
                gradient,
                |x, z| of_logit(x, smooth(z)),
                |x, z| sigmoid(x) - smooth(z),
            ),
            false => rowwise::mean(
                x,
                targets,
                gradient,
                |p, z| of_probability(p, smooth(z)),
                |p, z| slope_of_probability(p, smooth(z)),
            ),
        }
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, logits: bool) -> Result<(Tensor, Tensor)> {
        let targets = targets.affine(1.0 - self.label_smoothing, 0.5 * self.label_smoothing)?;
        let (values, slopes) = tensors(x, &targets, logits)?;
        rowwise::mean_tensors(&values, &slopes)
    }
}

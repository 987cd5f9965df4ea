//! Binary cross-entropy that counts what is easy less.

use super::binary_crossentropy::{
    check_head, of_logit, of_probability, slope_of_probability, smooth, tensors,
};
use super::criterion::Criterion;
use super::heads::{self, Checked};
use super::reduction::Reduction;
use super::rowwise::{self, minus_one, sigmoid};
use crate::layers::Activation;
use crate::{Error, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Binary cross-entropy times (1 - q)^γ, q = z p + (1 - z)(1 - p) being the probability of the target (Lin et al. 2017);
/// the mean over the last axis. With `apply_class_balancing` it is weighted by α z + (1 - α)(1 - z).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BinaryFocalCrossentropy {
    /// Weights class 1 by α and class 0 by 1 - α.
    pub apply_class_balancing: bool,
    /// α: the weight of class 1.
    pub alpha: f64,
    /// γ: how much less what is easy counts.
    pub gamma: f64,
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

impl Default for BinaryFocalCrossentropy {
    fn default() -> Self {
        Self {
            apply_class_balancing: false,
            alpha: 0.25,
            gamma: 2.0,
            from_logits: false,
            label_smoothing: 0.0,
            axis: -1,
            reduction: Reduction::default(),
            name: None,
        }
    }
}

impl Criterion for BinaryFocalCrossentropy {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self) -> Result<()> {
        if !(self.gamma >= 0.0 && self.gamma.is_finite()) {
            return Err(Error::argument("gamma", format!("{} is not a number from 0", self.gamma)));
        }
        rowwise::share("alpha", self.alpha)?;
        rowwise::share("label_smoothing", self.label_smoothing)?;
        rowwise::last_axis(self.axis)
    }

    fn logits_of(&self) -> Option<Activation> {
        (!self.from_logits).then_some(Activation::Sigmoid)
    }

    fn takes_logits(&self) -> bool {
        self.from_logits
    }

    fn check_head(&self, _: Option<usize>, last: Option<Activation>) -> Checked {
        check_head(last)?;
        heads::logits_or_probabilities(self.from_logits, last, "sigmoid")
    }

    fn check_target(&self, target: f32, _: usize) -> Checked {
        heads::within(target, 0.0, 1.0)
    }

    fn row(&self, x: &[f32], targets: &[f32], logits: bool, gradient: Option<&mut [f32]>) -> f64 {
        let value = |x: f32, z: f32| {
            let at = self.at(x, z, logits);
            at.weight * self.power(at.rest, self.gamma) * at.entropy
        };
        let slope = |x: f32, z: f32| {
            let at = self.at(x, z, logits);
            let bend = match self.gamma == 0.0 {
                true => 0.0,
                false => {
                    self.gamma as f32 * self.power(at.rest, self.gamma - 1.0) * at.rest_slope * at.entropy
                }
            };
            at.weight * (bend + self.power(at.rest, self.gamma) * at.entropy_slope)
        };
        rowwise::mean(x, targets, gradient, value, slope)
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, logits: bool) -> Result<(Tensor, Tensor)> {
        let z = targets.affine(1.0 - self.label_smoothing, 0.5 * self.label_smoothing)?;
        let (entropy, entropy_slope) = tensors(x, &z, logits)?;
        let (other_z, toward) = (z.affine(-1.0, 1.0)?, z.affine(-2.0, 1.0)?);
        let (p, other_p) = match logits {
            true => (candle_nn::ops::sigmoid(x)?, candle_nn::ops::sigmoid(&x.neg()?)?),
            false => (x.clone(), x.affine(-1.0, 1.0)?),
        };
        let rest = ((&z * &other_p)? + (&other_z * &p)?)?;
        let rest_slope = match logits {
            true => ((toward * p)? * other_p)?,
            false => toward,
        };
        let factor = rest.powf(self.gamma)?;
        let mut slopes = (&factor * entropy_slope)?;
        if self.gamma != 0.0 {
            let bend = ((rest.powf(self.gamma - 1.0)? * self.gamma)? * rest_slope)?;
            slopes = (slopes + (bend * &entropy)?)?;
        }
        let mut values = (factor * entropy)?;
        if self.apply_class_balancing {
            let weights = ((z * self.alpha)? + (other_z * (1.0 - self.alpha))?)?;
            (values, slopes) = ((values * &weights)?, (slopes * weights)?);
        }
        rowwise::mean_tensors(&values, &slopes)
    }
}

/// What the loss of a value is made of.
struct At {
    /// 1 - q, and its slope.
    rest: f32,
    rest_slope: f32,
    /// The cross-entropy, and its slope.
    entropy: f32,
    entropy_slope: f32,
    weight: f32,
}

impl BinaryFocalCrossentropy {
    fn at(&self, x: f32, z: f32, logits: bool) -> At {
        let z = smooth(z, self.label_smoothing);
        let alpha = self.alpha as f32;
        let weight = if self.apply_class_balancing { z * alpha + (1.0 - z) * (1.0 - alpha) } else { 1.0 };
        match logits {
            true => {
                let (p, other) = (sigmoid(x), sigmoid(-x));
                At {
                    rest: z * other + (1.0 - z) * p,
                    rest_slope: (1.0 - 2.0 * z) * p * other,
                    entropy: of_logit(x, z),
                    entropy_slope: p - z,
                    weight,
                }
            }
            false => At {
                rest: z * (1.0 - x) + (1.0 - z) * x,
                rest_slope: 1.0 - 2.0 * z,
                entropy: of_probability(x, z),
                entropy_slope: slope_of_probability(x, z),
                weight,
            },
        }
    }

    fn power(&self, base: f32, exponent: f64) -> f32 {
        match exponent {
            1.0 => base,
            2.0 => base * base,
            _ => libm::powf(base, exponent as f32),
        }
    }
}

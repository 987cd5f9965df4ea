//! Cross-entropy of one class among many that counts what is easy less.

use super::categorical_crossentropy::{smooth, through_sum, through_sum_tensors};
use super::criterion::Criterion;
use super::heads::{self, Checked};
use super::reduction::Reduction;
use super::rowwise::{self, LEAST, MOST, clip, clip_tensor, minus_one};
use super::sparse_categorical_crossentropy::check_head;
use crate::layers::Activation;
use crate::{Error, Result};
use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

/// -Σ α (1 - p)^γ z log p for probabilities p, brought to a sum of 1, and targets z (Lin et al. 2017). As in Keras it takes
/// probabilities, clipped, also where they come from a softmax.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CategoricalFocalCrossentropy {
    /// α: the weight of each class, or of all.
    pub alpha: Alpha,
    /// γ: how much less what is easy counts.
    pub gamma: f64,
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

/// The weights of classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Alpha {
    /// One for all.
    Each(f64),
    /// One a class.
    Classes(Vec<f64>),
}

impl Alpha {
    fn of(&self, class: usize) -> f64 {
        match self {
            Self::Each(alpha) => *alpha,
            Self::Classes(alphas) => alphas.get(class).copied().unwrap_or(f64::NAN),
        }
    }
}

impl Default for CategoricalFocalCrossentropy {
    fn default() -> Self {
        Self {
            alpha: Alpha::Each(0.25),
            gamma: 2.0,
            from_logits: false,
            label_smoothing: 0.0,
            axis: -1,
            reduction: Reduction::default(),
            name: None,
        }
    }
}

impl Criterion for CategoricalFocalCrossentropy {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self) -> Result<()> {
        if !(self.gamma >= 0.0 && self.gamma.is_finite()) {
            return Err(Error::argument("gamma", format!("{} is not a number from 0", self.gamma)));
        }
        rowwise::share("label_smoothing", self.label_smoothing)?;
        rowwise::last_axis(self.axis)
    }

    fn takes_logits(&self) -> bool {
        self.from_logits
    }

    fn check_head(&self, width: Option<usize>, last: Option<Activation>) -> Checked {
        check_head(width, last)?;
        if let (Alpha::Classes(alphas), Some(width)) = (&self.alpha, width)
            && alphas.len() != width
        {
            return Err(format!("`alpha` has {} weights, and the model tells {width} classes", alphas.len()));
        }
        heads::logits_or_probabilities(self.from_logits, last, "softmax")
    }

    fn check_target(&self, target: f32, _: usize) -> Checked {
        heads::within(target, 0.0, 1.0)
    }

    fn row(&self, x: &[f32], targets: &[f32], logits: bool, gradient: Option<&mut [f32]>) -> f64 {
        if !logits {
            return self.of_probabilities(x, targets, gradient);
        }
        let mut p = vec![0.0; x.len()];
        let (_, total) = rowwise::exponentials(x, Some(&mut p));
        rowwise::normalise(&mut p, total);
        match gradient {
            Some(gradient) => {
                let loss = self.of_probabilities(&p, targets, Some(gradient));
                rowwise::through_softmax(gradient, &p);
                loss
            }
            None => self.of_probabilities(&p, targets, None),
        }
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, logits: bool) -> Result<(Tensor, Tensor)> {
        let classes = x.dim(D::Minus1)?;
        let alphas: Vec<f64> = (0..classes).map(|class| self.alpha.of(class)).collect();
        let alphas = Tensor::new(alphas, &candle_core::Device::Cpu)?.to_dtype(x.dtype())?;
        let alphas = alphas.to_device(x.device())?;
        let z = targets.affine(1.0 - self.label_smoothing, self.label_smoothing / classes as f64)?;
        let z = z.broadcast_mul(&alphas)?;
        let given = match logits {
            true => candle_nn::ops::softmax(x, D::Minus1)?,
            false => x.clone(),
        };
        let total = given.sum_keepdim(D::Minus1)?;
        let (p, inside) = clip_tensor(&given.broadcast_div(&total)?, LEAST, MOST)?;
        let (rest, log) = (p.affine(-1.0, 1.0)?, p.log()?);
        let factor = rest.powf(self.gamma)?;
        let losses = ((&z * &factor)? * &log)?.sum(D::Minus1)?.neg()?;
        let bend = ((rest.powf(self.gamma - 1.0)? * self.gamma)? * log)?;
        let slopes = ((z * (bend - (factor / p)?)?)? * inside)?;
        let slopes = through_sum_tensors(&slopes, &given, &total)?;
        match logits {
            true => Ok((losses, rowwise::through_softmax_tensors(&slopes, &given)?)),
            false => Ok((losses, slopes)),
        }
    }
}

impl CategoricalFocalCrossentropy {
    fn of_probabilities(&self, x: &[f32], targets: &[f32], gradient: Option<&mut [f32]>) -> f64 {
        let gamma = self.gamma as f32;
        let total: f64 = x.iter().copied().map(f64::from).sum();
        let share = (1.0 / total) as f32;
        let clipped = |x: f32| clip(x * share, LEAST, MOST);
        let weighted =
            |class: usize, z: f32| self.alpha.of(class) as f32 * smooth(z, self.label_smoothing, x.len());
        if let Some(gradient) = gradient {
            for (class, ((to, &x), &z)) in gradient.iter_mut().zip(x).zip(targets).enumerate() {
                *to = match clipped(x) {
                    (p, true) => {
                        let rest = 1.0 - p;
                        let bend = gamma * libm::powf(rest, gamma - 1.0) * libm::logf(p);
                        weighted(class, z) * (bend - libm::powf(rest, gamma) / p)
                    }
                    _ => 0.0,
                };
            }
            through_sum(gradient, x, total);
        }
        let losses = x.iter().zip(targets).enumerate().map(|(class, (&x, &z))| {
            let (p, _) = clipped(x);
            f64::from(weighted(class, z) * libm::powf(1.0 - p, gamma) * libm::logf(p))
        });
        -losses.sum::<f64>()
    }
}

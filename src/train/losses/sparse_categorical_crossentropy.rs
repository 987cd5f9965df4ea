//! Cross-entropy of one class among many, targets being the classes' numbers.

use super::criterion::{Criterion, Targets};
use super::heads::{self, Checked};
use super::reduction::Reduction;
use super::rowwise::{self, LEAST, MOST, clip, clip_tensor, minus_one};
use crate::Result;
use crate::layers::Activation;
use candle_core::{D, DType, Tensor};
use serde::{Deserialize, Serialize};

/// -log p of the class that the target names. Of logits x it is log Σ eˣ - x of that class.
///
/// Probabilities are clipped and brought to a sum of 1 again, as Keras does; it does so after a softmax too where there is an
/// `ignore_class`, and so does this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparseCategoricalCrossentropy {
    /// The output itself is logits.
    pub from_logits: bool,
    /// Positions with this target do not count; the number need not be that of a class.
    pub ignore_class: Option<i64>,
    /// The axis of the classes: the last, -1.
    #[serde(default = "minus_one")]
    pub axis: i64,
    /// How the losses of a batch become one number.
    pub reduction: Reduction,
    /// What the user calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Default for SparseCategoricalCrossentropy {
    fn default() -> Self {
        Self { from_logits: false, ignore_class: None, axis: -1, reduction: Reduction::default(), name: None }
    }
}

/// See [`Criterion::check_head`].
pub fn check_head(width: Option<usize>, last: Option<Activation>) -> Checked {
    heads::several(
        width,
        "end it in Dense(CLASSES) with softmax, or use binary_crossentropy for two classes",
    )?;
    heads::not(last, Activation::Sigmoid, "end it in softmax, or use binary_crossentropy")
}

impl Criterion for SparseCategoricalCrossentropy {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self) -> Result<()> {
        rowwise::last_axis(self.axis)
    }

    fn logits_of(&self) -> Option<Activation> {
        self.ignore_class.is_none().then_some(Activation::Softmax)
    }

    fn takes_logits(&self) -> bool {
        self.from_logits
    }

    fn check_head(&self, width: Option<usize>, last: Option<Activation>) -> Checked {
        check_head(width, last)?;
        let last = last.filter(|_| last != self.logits_of());
        heads::logits_or_probabilities(self.from_logits, last, "softmax")
    }

    fn targets(&self) -> Targets {
        Targets::Class
    }

    fn check_target(&self, target: f32, width: usize) -> Checked {
        heads::class(target, width)
    }

    fn ignored(&self) -> Option<f32> {
        self.ignore_class.map(|class| class as f32)
    }

    fn row(&self, x: &[f32], targets: &[f32], logits: bool, mut gradient: Option<&mut [f32]>) -> f64 {
        let class = targets[0] as usize;
        if logits {
            let (greatest, total) = rowwise::exponentials(x, gradient.as_deref_mut());
            if let Some(gradient) = gradient {
                rowwise::normalise(gradient, total);
                gradient[class] -= 1.0;
            }
            return libm::log(total) - (f64::from(x[class]) - f64::from(greatest));
        }
        let clipped = |p: f32| clip(p, LEAST, MOST);
        let total: f64 = x.iter().map(|&p| f64::from(clipped(p).0)).sum();
        let share = (1.0 / total) as f32;
        if let Some(gradient) = gradient {
            for (at, (to, &p)) in gradient.iter_mut().zip(x).enumerate() {
                *to = match clipped(p) {
                    (p, true) if at == class => share - 1.0 / p,
                    (_, true) => share,
                    _ => 0.0,
                };
            }
        }
        libm::log(total) - libm::log(f64::from(clipped(x[class]).0))
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, logits: bool) -> Result<(Tensor, Tensor)> {
        let classes = match self.ignored() {
            Some(ignored) => targets.eq(f64::from(ignored))?.where_cond(&targets.zeros_like()?, targets)?,
            None => targets.clone(),
        };
        let numbers = Tensor::arange(0, x.dim(D::Minus1)? as u32, x.device())?.to_dtype(x.dtype())?;
        let chosen = numbers.broadcast_as(x.dims())?.broadcast_eq(&classes)?.to_dtype(x.dtype())?;
        let classes = classes.to_dtype(DType::U32)?;
        if logits {
            let log_p = candle_nn::ops::log_softmax(x, D::Minus1)?;
            let value = log_p.gather(&classes, D::Minus1)?.squeeze(D::Minus1)?.neg()?;
            return Ok((value, (log_p.exp()? - chosen)?));
        }
        let (p, inside) = clip_tensor(x, LEAST, MOST)?;
        let total = p.sum_keepdim(D::Minus1)?;
        let value = (total.log()? - p.gather(&classes, D::Minus1)?.log()?)?.squeeze(D::Minus1)?;
        let slope = total.recip()?.broadcast_sub(&(chosen / p)?)?;
        Ok((value, (slope * inside)?))
    }
}

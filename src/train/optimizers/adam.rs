use super::formula::{Formula, Pass, Slot, Step, Tokens, zeros};
use super::number::Number;
use crate::Result;
use crate::train::options::{below_one, not_negative};
use serde::{Deserialize, Serialize};

/// Keras's Adam (`keras/src/optimizers/adam.py`), after [Kingma and Ba](https://arxiv.org/abs/1412.6980); `amsgrad` after
/// [Reddi et al.](https://openreview.net/pdf?id=ryQu7f-RZ).
///
/// ```text
/// m += (g - m) (1 - beta_1)
/// v += (g² - v) (1 - beta_2)
/// h = max(h, v)                                      (amsgrad; else h = v)
/// w -= m learning_rate sqrt(1 - beta_2ᵗ) / (1 - beta_1ᵗ) / (sqrt(h) + epsilon)
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Decay of the mean of gradients; 0.9.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients; 0.999.
    pub beta_2: f64,
    /// Added to the root of the mean square, whose bias is not corrected; 1e-7.
    pub epsilon: f64,
    /// Whether to divide by the greatest mean square so far.
    pub amsgrad: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false }
    }
}

impl Formula for Adam {
    fn check(&self) -> Result<()> {
        below_one("beta_1", self.beta_1)?;
        below_one("beta_2", self.beta_2)?;
        not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> Vec<Slot> {
        let greatest: &[_] = if self.amsgrad { &["velocity_hat"] } else { &[] };
        zeros(&[&["momentum", "velocity"], greatest])
    }

    fn tokens(&self) -> Tokens {
        Tokens::Squares
    }

    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
        let number = P::Number::constant;
        let (one, epsilon) = (number(1.0), number(self.epsilon));
        let (rest_1, rest_2) = (number(1.0 - self.beta_1), number(1.0 - self.beta_2));
        let root = (one - step.power(self.beta_2, 0)).sqrt();
        let alpha = step.learning_rate * root / (one - step.power(self.beta_1, 0));
        match self.amsgrad {
            false => pass.each(move |x, [m, v]| {
                let (m, v) = (m + (x.g - m) * rest_1, v + (x.square() - v) * rest_2);
                (x.w - m * alpha / (v.sqrt() + epsilon), [m, v])
            }),
            true => pass.each(move |x, [m, v, h]| {
                let (m, v) = (m + (x.g - m) * rest_1, v + (x.square() - v) * rest_2);
                let h = h.maximum(v);
                (x.w - m * alpha / (h.sqrt() + epsilon), [m, v, h])
            }),
        }
    }
}

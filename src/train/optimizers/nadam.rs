use super::formula::{Formula, Pass, Slot, Step, Tokens, zeros};
use super::number::Number;
use crate::Result;
use crate::train::options::{below_one, not_negative};
use serde::{Deserialize, Serialize};

/// Keras's Nadam (`keras/src/optimizers/nadam.py`), Adam with Nesterov's momentum after
/// [Dozat](http://cs229.stanford.edu/proj2015/054_report.pdf).
///
/// ```text
/// uₜ = beta_1 (1 - 0.96ᵗ / 2);  U = u₁ … uₜ
/// m += (g - m) (1 - beta_1)
/// v += (g² - v) (1 - beta_2)
/// n = uₜ₊₁ m / (1 - U uₜ₊₁) + (1 - uₜ) g / (1 - U)
/// w -= n learning_rate / (sqrt(v / (1 - beta_2ᵗ)) + epsilon)
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nadam {
    /// Decay of the mean of gradients; 0.9.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients; 0.999.
    pub beta_2: f64,
    /// Added to the root of the mean square; 1e-7.
    pub epsilon: f64,
}

impl Default for Nadam {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

impl Nadam {
    /// `1 - 0.96ᵗ / 2`, `ahead` steps on.
    fn warm<V: Number>(step: &Step<V>, ahead: u64) -> V {
        V::constant(1.0) - V::constant(0.5) * step.power(0.96, ahead)
    }
}

impl Formula for Nadam {
    fn check(&self) -> Result<()> {
        below_one("beta_1", self.beta_1)?;
        below_one("beta_2", self.beta_2)?;
        not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> Vec<Slot> {
        zeros(&[&["momentum", "velocity"]])
    }

    fn tokens(&self) -> Tokens {
        Tokens::Squares
    }

    fn remembers(&self) -> Option<f64> {
        Some(1.0)
    }

    fn remember<V: Number>(&self, step: &Step<V>) -> V {
        step.memory * V::constant(self.beta_1) * Self::warm(step, 0)
    }

    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
        let number = P::Number::constant;
        let (one, epsilon) = (number(1.0), number(self.epsilon));
        let (beta_1, beta_2) = (number(self.beta_1), number(self.beta_2));
        let (rate, product) = (step.learning_rate, step.memory);
        let (now, next) = (beta_1 * Self::warm(step, 0), beta_1 * Self::warm(step, 1));
        let (rest_1, rest_2, of_g) = (one - beta_1, one - beta_2, one - now);
        let (bias_m, bias_g) = (one - product * next, one - product);
        let bias_v = one - step.power(self.beta_2, 0);
        pass.each(move |x, [m, v]| {
            let (m, v) = (m + (x.g - m) * rest_1, v + (x.square() - v) * rest_2);
            let ahead = next * m / bias_m + of_g * x.g / bias_g;
            (x.w - ahead * rate / ((v / bias_v).sqrt() + epsilon), [m, v])
        })
    }
}

use super::formula::{Formula, Pass, Slot, Step, Tokens, zeros};
use super::number::Number;
use crate::Result;
use crate::train::options::{below_one, not_negative};
use serde::{Deserialize, Serialize};

/// Keras's Adamax (`keras/src/optimizers/adamax.py`), Adam by the greatest gradient, after
/// [Kingma and Ba](https://arxiv.org/abs/1412.6980).
///
/// ```text
/// m += (g - m) (1 - beta_1)
/// u = max(beta_2 u, |g|)
/// w -= learning_rate m / ((1 - beta_1ᵗ) (u + epsilon))
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adamax {
    /// Decay of the mean of gradients; 0.9.
    pub beta_1: f64,
    /// Decay of the greatest gradient; 0.999.
    pub beta_2: f64,
    /// Added to the greatest gradient; 1e-7.
    pub epsilon: f64,
}

impl Default for Adamax {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

impl Formula for Adamax {
    fn check(&self) -> Result<()> {
        below_one("beta_1", self.beta_1)?;
        below_one("beta_2", self.beta_2)?;
        not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> Vec<Slot> {
        zeros(&[&["momentum", "norm"]])
    }

    fn tokens(&self) -> Tokens {
        Tokens::Sizes
    }

    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
        let number = P::Number::constant;
        let (rate, epsilon) = (step.learning_rate, number(self.epsilon));
        let (rest_1, beta_2) = (number(1.0 - self.beta_1), number(self.beta_2));
        let bias = number(1.0) - step.power(self.beta_1, 0);
        pass.each(move |x, [m, u]| {
            let (m, u) = (m + (x.g - m) * rest_1, (beta_2 * u).maximum(x.size()));
            (x.w - rate * m / (bias * (u + epsilon)), [m, u])
        })
    }
}

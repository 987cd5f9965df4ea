use super::formula::{Formula, Pass, Slot, Step, Tokens, zeros};
use super::number::Number;
use crate::Result;
use crate::train::options::{in_range, part};
use serde::{Deserialize, Serialize};

/// Keras's Lion (`keras/src/optimizers/lion.py`), steps of the same size everywhere, after
/// [Chen et al.](https://arxiv.org/abs/2302.06675).
///
/// ```text
/// w -= learning_rate sign(m beta_1 + g (1 - beta_1))
/// m = m beta_2 + g (1 - beta_2)
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lion {
    /// The part of the momentum in a step's direction; 0.9.
    pub beta_1: f64,
    /// Decay of the momentum; 0.99.
    pub beta_2: f64,
}

impl Default for Lion {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.99 }
    }
}

impl Formula for Lion {
    fn check(&self) -> Result<()> {
        let fits = self.beta_1 > 0.0 && self.beta_1 <= 1.0;
        in_range("beta_1", self.beta_1, fits, "a number above 0 and at most 1")?;
        part("beta_2", self.beta_2)
    }

    fn slots(&self) -> Vec<Slot> {
        zeros(&[&["momentum"]])
    }

    fn tokens(&self) -> Tokens {
        Tokens::Sum
    }

    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
        let number = P::Number::constant;
        let (rate, one) = (step.learning_rate, number(1.0));
        let (beta_1, beta_2) = (number(self.beta_1), number(self.beta_2));
        let (rest_1, rest_2) = (one - beta_1, one - beta_2);
        pass.each(move |x, [m]| {
            (x.w - rate * (m * beta_1 + x.g * rest_1).sign(), [m * beta_2 + x.g * rest_2])
        })
    }
}

use super::formula::{Formula, Pass, Slot, Step, Tokens};
use super::number::Number;
use crate::Result;
use crate::train::options::{in_range, not_negative};
use serde::{Deserialize, Serialize};

/// Keras's Ftrl (`keras/src/optimizers/ftrl.py`), "follow the regularised leader", after
/// [McMahan et al.](https://research.google.com/pubs/archive/41159.pdf).
///
/// ```text
/// n = a + g²;  p = -learning_rate_power
/// l += g + 2 l2_shrinkage w - (nᵖ - aᵖ) / learning_rate w
/// w = (clip(l, -l1, l1) - l) / (nᵖ / learning_rate + 2 (l2 + beta / (2 learning_rate)));  a = n
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ftrl {
    /// How the steps shrink with the sum of squares; -0.5.
    pub learning_rate_power: f64,
    /// What the sum of squares begins with; 0.1.
    pub initial_accumulator_value: f64,
    /// Weights whose sum of gradients stays below it are 0; 0.
    pub l1_regularization_strength: f64,
    /// A penalty on the squares of weights; 0.
    pub l2_regularization_strength: f64,
    /// A penalty on the squares of weights, by way of the gradients; 0.
    pub l2_shrinkage_regularization_strength: f64,
    /// The paper's β; 0.
    pub beta: f64,
}

impl Default for Ftrl {
    fn default() -> Self {
        Self {
            learning_rate_power: -0.5,
            initial_accumulator_value: 0.1,
            l1_regularization_strength: 0.0,
            l2_regularization_strength: 0.0,
            l2_shrinkage_regularization_strength: 0.0,
            beta: 0.0,
        }
    }
}

impl Formula for Ftrl {
    fn check(&self) -> Result<()> {
        let power = self.learning_rate_power;
        in_range("learning_rate_power", power, power <= 0.0, "a number of at most 0")?;
        for (name, value) in [
            ("initial_accumulator_value", self.initial_accumulator_value),
            ("l1_regularization_strength", self.l1_regularization_strength),
            ("l2_regularization_strength", self.l2_regularization_strength),
            ("l2_shrinkage_regularization_strength", self.l2_shrinkage_regularization_strength),
            ("beta", self.beta),
        ] {
            not_negative(name, value)?;
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![
            Slot { name: "accumulator", initial: self.initial_accumulator_value, group: 0 },
            Slot { name: "linear", initial: 0.0, group: 0 },
        ]
    }

    fn tokens(&self) -> Tokens {
        Tokens::Squares
    }

    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
        let number = P::Number::constant;
        let (rate, two, p) = (step.learning_rate, number(2.0), number(-self.learning_rate_power));
        let is_root = self.learning_rate_power == -0.5;
        let (lowest, l1) =
            (number(-self.l1_regularization_strength), number(self.l1_regularization_strength));
        let shrinkage = number(2.0 * self.l2_shrinkage_regularization_strength);
        let l2 = two * (number(self.l2_regularization_strength) + number(self.beta) / (two * rate));
        pass.each(move |x, [a, l]| {
            let n = a + x.square();
            let (old, new) = match is_root {
                true => (a.sqrt(), n.sqrt()),
                false => (a.power(p), n.power(p)),
            };
            let l = l + ((x.g + shrinkage * x.w) - (new - old) / rate * x.w);
            let clipped = l.maximum(lowest).minimum(l1);
            ((clipped - l) / (new / rate + l2), [n, l])
        })
    }
}

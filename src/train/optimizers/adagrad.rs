use super::formula::{Formula, Pass, Slot, Step, Tokens};
use super::number::Number;
use crate::Result;
use crate::train::options::not_negative;
use serde::{Deserialize, Serialize};

/// Keras's Adagrad (`keras/src/optimizers/adagrad.py`), after
/// [Duchi et al.](http://www.jmlr.org/papers/volume12/duchi11a/duchi11a.pdf).
///
/// ```text
/// a += g²
/// w -= learning_rate g / sqrt(a + epsilon)
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adagrad {
    /// What the sum of squares begins with; 0.1.
    pub initial_accumulator_value: f64,
    /// Added to the sum of squares inside the root; 1e-7.
    pub epsilon: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { initial_accumulator_value: 0.1, epsilon: 1e-7 }
    }
}

impl Formula for Adagrad {
    fn check(&self) -> Result<()> {
        not_negative("initial_accumulator_value", self.initial_accumulator_value)?;
        not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot { name: "accumulator", initial: self.initial_accumulator_value, group: 0 }]
    }

    fn tokens(&self) -> Tokens {
        Tokens::Squares
    }

    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
        let (rate, epsilon) = (step.learning_rate, P::Number::constant(self.epsilon));
        pass.each(move |x, [a]| {
            let a = a + x.square();
            (x.w - rate * x.g / (a + epsilon).sqrt(), [a])
        })
    }
}

use super::formula::{Formula, Pass, Slot, Step, Tokens, zeros};
use super::number::Number;
use crate::Result;
use crate::train::options::{not_negative, part};
use serde::{Deserialize, Serialize};

/// Keras's Adadelta (`keras/src/optimizers/adadelta.py`), after [Zeiler](https://arxiv.org/abs/1212.5701).
///
/// ```text
/// a = rho a + (1 - rho) g²
/// step = sqrt(d + epsilon) g / sqrt(a + epsilon)
/// d = rho d + (1 - rho) step²
/// w -= learning_rate step
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adadelta {
    /// Decay of both means; 0.95.
    pub rho: f64,
    /// Added to both means inside the roots; 1e-7.
    pub epsilon: f64,
}

impl Default for Adadelta {
    fn default() -> Self {
        Self { rho: 0.95, epsilon: 1e-7 }
    }
}

impl Formula for Adadelta {
    fn check(&self) -> Result<()> {
        part("rho", self.rho)?;
        not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> Vec<Slot> {
        zeros(&[&["accumulated_grad", "accumulated_delta_var"]])
    }

    fn tokens(&self) -> Tokens {
        Tokens::Squares
    }

    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
        let number = P::Number::constant;
        let (rate, epsilon) = (step.learning_rate, number(self.epsilon));
        let (rho, rest) = (number(self.rho), number(1.0 - self.rho));
        pass.each(move |x, [a, d]| {
            let a = rho * a + rest * x.square();
            let (above, below) = ((d + epsilon).sqrt(), (a + epsilon).sqrt());
            let delta = above * x.g / below;
            // Each token takes a step of its own, and the sum of their squares follows from that of their gradients'.
            let square = match x.tokens {
                Some(squares) => squares * (above / below) * (above / below),
                None => delta * delta,
            };
            (x.w - rate * delta, [a, rho * d + rest * square])
        })
    }
}

use super::formula::{Formula, Pass, Slot, Step, Tokens, zeros};
use super::number::Number;
use crate::Result;
use crate::train::options::{not_negative, part};
use serde::{Deserialize, Serialize};

/// Keras's RMSprop (`keras/src/optimizers/rmsprop.py`): epsilon inside the root, the learning rate inside the momentum.
///
/// ```text
/// v = rho v + (1 - rho) g²
/// a = rho a + (1 - rho) g                            (centered)
/// step = learning_rate g / sqrt(v [- a²] + epsilon)
/// m = momentum m + step;  w -= m                     (momentum > 0; else w -= step)
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// Decay of the mean of squared gradients; 0.9.
    pub rho: f64,
    /// Decay of the momentum buffer, which holds steps (the learning rate is inside); 0 is plain RMSprop.
    pub momentum: f64,
    /// Added to the mean square inside the root; 1e-7.
    pub epsilon: f64,
    /// Whether to divide by the variance instead of the mean square.
    pub centered: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false }
    }
}

impl Formula for RmsProp {
    fn check(&self) -> Result<()> {
        part("rho", self.rho)?;
        part("momentum", self.momentum)?;
        not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> Vec<Slot> {
        let momentum: &[_] = if self.momentum > 0.0 { &["momentum"] } else { &[] };
        let average: &[_] = if self.centered { &["average_gradient"] } else { &[] };
        zeros(&[&["velocity"], momentum, average])
    }

    /// With `centered` the squares of tokens can bring NaN about in Keras, so that the square of their sum is taken.
    fn tokens(&self) -> Tokens {
        if self.centered { Tokens::Sum } else { Tokens::Squares }
    }

    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
        let number = P::Number::constant;
        let (rate, rho, rest) = (step.learning_rate, number(self.rho), number(1.0 - self.rho));
        let (momentum, epsilon) = (number(self.momentum), number(self.epsilon));
        match (self.momentum > 0.0, self.centered) {
            (false, false) => pass.each(move |x, [v]| {
                let v = rho * v + rest * x.square();
                (x.w - rate * x.g / (v + epsilon).sqrt(), [v])
            }),
            (true, false) => pass.each(move |x, [v, m]| {
                let v = rho * v + rest * x.square();
                let m = momentum * m + rate * x.g / (v + epsilon).sqrt();
                (x.w - m, [v, m])
            }),
            (false, true) => pass.each(move |x, [v, a]| {
                let (v, a) = (rho * v + rest * x.square(), rho * a + rest * x.g);
                (x.w - rate * x.g / (v - a * a + epsilon).sqrt(), [v, a])
            }),
            (true, true) => pass.each(move |x, [v, m, a]| {
                let (v, a) = (rho * v + rest * x.square(), rho * a + rest * x.g);
                let m = momentum * m + rate * x.g / (v - a * a + epsilon).sqrt();
                (x.w - m, [v, m, a])
            }),
        }
    }
}

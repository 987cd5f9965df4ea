use super::formula::{Formula, Pass, Slot, Step, Tokens, zeros};
use super::number::Number;
use crate::Result;
use crate::train::options::part;
use serde::{Deserialize, Serialize};

/// Keras's SGD (`keras/src/optimizers/sgd.py`); its learning rate is 0.01 where none is given.
///
/// ```text
/// w -= g learning_rate                               (without momentum)
/// m = m momentum - g learning_rate;  w += m          (nesterov: w += m momentum - g learning_rate)
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// Decay of the momentum, which holds steps; 0 for none.
    pub momentum: f64,
    /// Whether momentum is Nesterov's; without momentum it changes nothing.
    pub nesterov: bool,
}

impl Formula for Sgd {
    const LEARNING_RATE: f64 = 0.01;

    fn check(&self) -> Result<()> {
        part("momentum", self.momentum)
    }

    fn slots(&self) -> Vec<Slot> {
        zeros(if self.momentum > 0.0 { &[&["momentum"]] } else { &[] })
    }

    fn tokens(&self) -> Tokens {
        Tokens::Sum
    }

    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
        let (rate, momentum) = (step.learning_rate, P::Number::constant(self.momentum));
        match (self.momentum > 0.0, self.nesterov) {
            (false, _) => pass.each(move |x, []| (x.w - x.g * rate, [])),
            (true, false) => pass.each(move |x, [m]| {
                let m = m * momentum - x.g * rate;
                (x.w + m, [m])
            }),
            (true, true) => pass.each(move |x, [m]| {
                let m = m * momentum - x.g * rate;
                (x.w + (m * momentum - x.g * rate), [m])
            }),
        }
    }
}

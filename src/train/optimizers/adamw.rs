use super::adam::Adam;
use super::formula::{Formula, Pass, Slot, Step, Tokens};
use crate::Result;
use serde::{Deserialize, Serialize};

/// Keras's AdamW (`keras/src/optimizers/adamw.py`), after [Loshchilov and Hutter](https://arxiv.org/abs/1711.05101):
/// [`Adam`] with a weight decay of 0.004 where none is given. It cannot be without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// Decay of the mean of gradients; 0.9.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients; 0.999.
    pub beta_2: f64,
    /// Added to the root of the mean square; 1e-7.
    pub epsilon: f64,
    /// Whether to divide by the greatest mean square so far.
    pub amsgrad: bool,
}

impl AdamW {
    fn adam(&self) -> Adam {
        let Self { beta_1, beta_2, epsilon, amsgrad } = *self;
        Adam { beta_1, beta_2, epsilon, amsgrad }
    }
}

impl Default for AdamW {
    fn default() -> Self {
        let Adam { beta_1, beta_2, epsilon, amsgrad } = Adam::default();
        Self { beta_1, beta_2, epsilon, amsgrad }
    }
}

impl Formula for AdamW {
    const WEIGHT_DECAY: Option<f64> = Some(0.004);

    fn check(&self) -> Result<()> {
        self.adam().check()
    }

    fn slots(&self) -> Vec<Slot> {
        self.adam().slots()
    }

    fn tokens(&self) -> Tokens {
        self.adam().tokens()
    }

    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
        self.adam().apply(step, pass)
    }
}

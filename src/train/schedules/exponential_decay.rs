use super::float::power;
use super::rule::Rule;
use crate::Result;
use crate::train::options::{finite, not_negative, positive};
use serde::{Deserialize, Serialize};

/// Keras's `ExponentialDecay`: `initial_learning_rate · decay_rate^(step / decay_steps)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExponentialDecay {
    /// The rate at step 0.
    pub initial_learning_rate: f64,
    /// Steps in which the rate is multiplied by `decay_rate` once.
    pub decay_steps: f64,
    /// The factor.
    pub decay_rate: f64,
    /// Whether the factor comes at the end of every `decay_steps`, all at once.
    #[serde(default)]
    pub staircase: bool,
}

impl Rule for ExponentialDecay {
    fn check(&self) -> Result<()> {
        not_negative("initial_learning_rate", self.initial_learning_rate)?;
        positive("decay_steps", self.decay_steps)?;
        finite("decay_rate", self.decay_rate)?;
        not_negative("decay_rate", self.decay_rate)
    }

    fn rate(&self, step: u64) -> f32 {
        let p = step as f32 / self.decay_steps as f32;
        let p = if self.staircase { p.floor() } else { p };
        self.initial_learning_rate as f32 * power(self.decay_rate as f32, p)
    }
}

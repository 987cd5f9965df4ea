use super::rule::Rule;
use crate::Result;
use crate::train::options::{not_negative, positive};
use serde::{Deserialize, Serialize};

/// Keras's `InverseTimeDecay`: `initial_learning_rate / (1 + decay_rate · step / decay_steps)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InverseTimeDecay {
    /// The rate at step 0.
    pub initial_learning_rate: f64,
    /// Steps in which the divisor grows by `decay_rate`.
    pub decay_steps: f64,
    /// How much the divisor grows.
    pub decay_rate: f64,
    /// Whether it grows at the end of every `decay_steps`, all at once.
    #[serde(default)]
    pub staircase: bool,
}

impl Rule for InverseTimeDecay {
    fn check(&self) -> Result<()> {
        not_negative("initial_learning_rate", self.initial_learning_rate)?;
        positive("decay_steps", self.decay_steps)?;
        not_negative("decay_rate", self.decay_rate)
    }

    fn rate(&self, step: u64) -> f32 {
        let p = step as f32 / self.decay_steps as f32;
        let p = if self.staircase { p.floor() } else { p };
        self.initial_learning_rate as f32 / (1.0 + self.decay_rate as f32 * p)
    }
}

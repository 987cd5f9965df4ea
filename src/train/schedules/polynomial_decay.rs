use super::float::power;
use super::rule::Rule;
use crate::Result;
use crate::train::options::{not_negative, positive};
use serde::{Deserialize, Serialize};

/// Keras's `PolynomialDecay`: from one rate to another within `decay_steps`,
/// `(initial_learning_rate - end_learning_rate) · (1 - step / decay_steps)^power + end_learning_rate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolynomialDecay {
    /// The rate at step 0.
    pub initial_learning_rate: f64,
    /// Steps until the end.
    pub decay_steps: f64,
    /// The rate at the end and after; 0.0001.
    #[serde(default = "end_learning_rate")]
    pub end_learning_rate: f64,
    /// The power; 1, a straight line.
    #[serde(default = "one")]
    pub power: f64,
    /// Whether the rate begins anew after the end, from as high and over the steps until the next multiple of
    /// `decay_steps`.
    #[serde(default)]
    pub cycle: bool,
}

fn end_learning_rate() -> f64 {
    0.0001
}

fn one() -> f64 {
    1.0
}

impl Rule for PolynomialDecay {
    fn check(&self) -> Result<()> {
        not_negative("initial_learning_rate", self.initial_learning_rate)?;
        positive("decay_steps", self.decay_steps)?;
        not_negative("end_learning_rate", self.end_learning_rate)?;
        not_negative("power", self.power)
    }

    fn rate(&self, step: u64) -> f32 {
        let (mut step, mut steps) = (step as f32, self.decay_steps as f32);
        match self.cycle {
            true if step == 0.0 => {}
            true => steps *= (step / steps).ceil(),
            false => step = step.min(steps),
        }
        let (initial, end) = (self.initial_learning_rate as f32, self.end_learning_rate as f32);
        (initial - end) * power(1.0 - step / steps, self.power as f32) + end
    }
}

use super::float::half_cosine;
use super::rule::Rule;
use crate::Result;
use crate::train::options::{not_negative, part, positive};
use serde::{Deserialize, Serialize};

/// Keras's `CosineDecay`: in a straight line from `initial_learning_rate` to `warmup_target` within `warmup_steps`, then
/// as half a cosine down to `alpha` times that within `decay_steps` ([Loshchilov and Hutter](https://arxiv.org/abs/1608.03983)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineDecay {
    /// The rate at step 0.
    pub initial_learning_rate: f64,
    /// Steps from the highest rate to the lowest.
    pub decay_steps: f64,
    /// The lowest rate as a part of the highest; 0.
    #[serde(default)]
    pub alpha: f64,
    /// The rate that it warms up to; without one it decays from step 0 on, and `warmup_steps` mean nothing, as in Keras.
    #[serde(default)]
    pub warmup_target: Option<f64>,
    /// Steps of warming up; 0.
    #[serde(default)]
    pub warmup_steps: f64,
}

impl CosineDecay {
    fn decay(&self, from: f32, step: f32) -> f32 {
        let decayed = (1.0 - self.alpha) as f32 * half_cosine(1.0, step / self.decay_steps as f32);
        from * (decayed + self.alpha as f32)
    }
}

impl Rule for CosineDecay {
    fn check(&self) -> Result<()> {
        not_negative("initial_learning_rate", self.initial_learning_rate)?;
        positive("decay_steps", self.decay_steps)?;
        part("alpha", self.alpha)?;
        self.warmup_target.map_or(Ok(()), |target| not_negative("warmup_target", target))?;
        not_negative("warmup_steps", self.warmup_steps)
    }

    fn rate(&self, step: u64) -> f32 {
        let (step, steps) = (step as f32, self.decay_steps as f32);
        let (initial, warmup) = (self.initial_learning_rate as f32, self.warmup_steps as f32);
        let Some(target) = self.warmup_target else { return self.decay(initial, step.min(steps)) };
        let (target, step) = (target as f32, step.min(steps + warmup));
        match step < warmup {
            true => (target - initial) * (step / warmup) + initial,
            false => self.decay(target, step - warmup),
        }
    }
}

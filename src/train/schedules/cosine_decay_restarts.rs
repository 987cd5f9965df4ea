use super::float::{half_cosine, log, power};
use super::rule::Rule;
use crate::Result;
use crate::train::options::{in_range, not_negative, part, positive};
use serde::{Deserialize, Serialize};

/// Keras's `CosineDecayRestarts`: half a cosine over and over, each `t_mul` times as long as the one before and from
/// `m_mul` times as high ([Loshchilov and Hutter](https://arxiv.org/abs/1608.03983)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineDecayRestarts {
    /// The rate at step 0.
    pub initial_learning_rate: f64,
    /// Steps of the first fall.
    pub first_decay_steps: f64,
    /// How many times as long the next one is; 2.
    #[serde(default = "two")]
    pub t_mul: f64,
    /// How many times as high the next one begins; 1.
    #[serde(default = "one")]
    pub m_mul: f64,
    /// The lowest rate as a part of `initial_learning_rate`; 0.
    #[serde(default)]
    pub alpha: f64,
}

fn two() -> f64 {
    2.0
}

fn one() -> f64 {
    1.0
}

impl Rule for CosineDecayRestarts {
    fn check(&self) -> Result<()> {
        not_negative("initial_learning_rate", self.initial_learning_rate)?;
        positive("first_decay_steps", self.first_decay_steps)?;
        in_range("t_mul", self.t_mul, self.t_mul >= 1.0, "a number of at least 1")?;
        not_negative("m_mul", self.m_mul)?;
        part("alpha", self.alpha)
    }

    fn rate(&self, step: u64) -> f32 {
        let (t_mul, alpha) = (self.t_mul as f32, self.alpha as f32);
        let completed = step as f32 / self.first_decay_steps as f32;
        let (restart, completed) = if t_mul == 1.0 {
            (completed.floor(), completed - completed.floor())
        } else {
            let restart = (log(1.0 - completed * (1.0 - t_mul)) / log(t_mul)).floor();
            let before = (1.0 - power(t_mul, restart)) / (1.0 - t_mul);
            (restart, (completed - before) / power(t_mul, restart))
        };
        let cosine = half_cosine(power(self.m_mul as f32, restart), completed);
        self.initial_learning_rate as f32 * ((1.0 - alpha) * cosine + alpha)
    }
}

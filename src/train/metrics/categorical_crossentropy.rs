//! `CategoricalCrossentropy` (`keras/src/metrics/probabilistic_metrics.py`).

use super::crossentropies::{check_smoothing, clipped, log_sum_exp};
use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, last_axis, one_hot};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean over positions of -Σ target · log(output). An output that ends in softmax or sigmoid is taken by its
    /// logits, as in Keras; any other is divided by its sum and kept within 1e-7 and 1 - 1e-7.
    CategoricalCrossentropy = "categorical_crossentropy" {
        /// Whether the output is logits, of no activation of the model's.
        from_logits: bool = false,
        /// How far targets are moved towards being all alike, from 0 to 1.
        label_smoothing: f32 = 0.0,
        /// The axis of the classes: the last, -1.
        axis: i64 = -1,
    }
}

impl Mean for CategoricalCrossentropy {
    const DIRECTION: Direction = Direction::Down;

    fn check(&self) -> Result<()> {
        last_axis("CategoricalCrossentropy", self.axis)?;
        check_smoothing("CategoricalCrossentropy", self.label_smoothing)
    }

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        one_hot("CategoricalCrossentropy", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        let share = self.label_smoothing / batch.width as f32;
        let smooth = |target: f32| f64::from(target * (1.0 - self.label_smoothing) + share);
        if let Some(logits) = batch.logits(self.from_logits)? {
            return Ok(Sums::of(batch, logits, |output, target| {
                let sum = log_sum_exp(output.iter().map(|&x| f64::from(x)));
                output.iter().zip(target).map(|(&x, &t)| smooth(t) * (sum - f64::from(x))).sum()
            }));
        }
        Ok(Sums::of(batch, batch.probabilities()?, |output, target| {
            let sum: f32 = output.iter().sum();
            let logarithm = |p: f32| libm::log(f64::from(clipped(p / sum)));
            output.iter().zip(target).map(|(&p, &t)| -smooth(t) * logarithm(p)).sum()
        }))
    }
}

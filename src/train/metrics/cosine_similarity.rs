//! `CosineSimilarity` (`keras/src/metrics/regression_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, EPSILON, Fits, arguments, last_axis, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The cosine of the angle between output and target along the last axis.
    CosineSimilarity = "cosine_similarity" {
        /// The axis: the last, -1.
        axis: i64 = -1,
    }
}

impl Mean for CosineSimilarity {
    const DIRECTION: Direction = Direction::Up;

    fn check(&self) -> Result<()> {
        last_axis("CosineSimilarity", self.axis)
    }

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("CosineSimilarity", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of(batch, batch.probabilities()?, |output, target| {
            let (mut product, mut outputs, mut targets) = (0.0, 0.0, 0.0);
            for (&p, &t) in output.iter().zip(target) {
                let (p, t) = (f64::from(p), f64::from(t));
                product += p * t;
                outputs += p * p;
                targets += t * t;
            }
            product / (length(outputs) * length(targets))
        }))
    }
}

/// The length by its square, which is at least Keras's epsilon squared: all zeros stay zeros.
fn length(square: f64) -> f64 {
    square.max(EPSILON * EPSILON).sqrt()
}

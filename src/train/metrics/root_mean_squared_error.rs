//! `RootMeanSquaredError` (`keras/src/metrics/regression_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The root of the mean of (output - target)² over all batches. In Keras it does not heed masks.
    RootMeanSquaredError = "root_mean_squared_error" {}
}

impl Mean for RootMeanSquaredError {
    const DIRECTION: Direction = Direction::Down;
    const HEEDS_MASK: bool = false;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("RootMeanSquaredError", width, target_width)
    }

    fn shown(mean: f64) -> f64 {
        mean.sqrt()
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of_elements(batch, batch.probabilities()?, |output, target| {
            let (output, target) = (f64::from(output), f64::from(target));
            (output - target) * (output - target)
        }))
    }
}

//! `MeanSquaredError` (`keras/src/metrics/regression_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean of (output - target)².
    MeanSquaredError = "mean_squared_error" {}
}

impl Mean for MeanSquaredError {
    const DIRECTION: Direction = Direction::Down;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("MeanSquaredError", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of_elements(batch, batch.probabilities()?, |output, target| {
            let (output, target) = (f64::from(output), f64::from(target));
            (output - target) * (output - target)
        }))
    }
}

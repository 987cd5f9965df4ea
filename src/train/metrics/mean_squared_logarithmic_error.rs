//! `MeanSquaredLogarithmicError` (`keras/src/metrics/regression_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, at_least_epsilon, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean of (log(1 + output) - log(1 + target))², both at least 1e-7.
    MeanSquaredLogarithmicError = "mean_squared_logarithmic_error" {}
}

impl Mean for MeanSquaredLogarithmicError {
    const DIRECTION: Direction = Direction::Down;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("MeanSquaredLogarithmicError", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of_elements(batch, batch.probabilities()?, |output, target| {
            let (output, target) = (f64::from(output), f64::from(target));
            let difference = libm::log1p(at_least_epsilon(output)) - libm::log1p(at_least_epsilon(target));
            difference * difference
        }))
    }
}

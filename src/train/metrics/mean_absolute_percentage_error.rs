//! `MeanAbsolutePercentageError` (`keras/src/metrics/regression_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, EPSILON, Fits, arguments, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// 100 times the mean of |(output - target) / target|, where a target nearer to 0 than 1e-7 counts as 1e-7.
    MeanAbsolutePercentageError = "mean_absolute_percentage_error" {}
}

impl Mean for MeanAbsolutePercentageError {
    const DIRECTION: Direction = Direction::Down;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("MeanAbsolutePercentageError", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of_elements(batch, batch.probabilities()?, |output, target| {
            let (output, target) = (f64::from(output), f64::from(target));
            100.0 * ((target - output) / target.abs().max(EPSILON)).abs()
        }))
    }
}

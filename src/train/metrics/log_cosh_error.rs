//! `LogCoshError` (`keras/src/metrics/regression_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean of log(cosh(output - target)).
    LogCoshError = "logcosh" {}
}

impl Mean for LogCoshError {
    const DIRECTION: Direction = Direction::Down;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("LogCoshError", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of_elements(batch, batch.probabilities()?, |output, target| {
            let (output, target) = (f64::from(output), f64::from(target));
            // log cosh x = x + log(1 + e⁻²ˣ) - log 2, even in x.
            let x = (output - target).abs();
            x + libm::log1p(libm::exp(-2.0 * x)) - std::f64::consts::LN_2
        }))
    }
}

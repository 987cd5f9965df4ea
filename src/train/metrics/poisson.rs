//! `Poisson` (`keras/src/metrics/probabilistic_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, EPSILON, Fits, arguments, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean of output - target · log(output + 1e-7).
    Poisson = "poisson" {}
}

impl Mean for Poisson {
    const DIRECTION: Direction = Direction::Down;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("Poisson", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of_elements(batch, batch.probabilities()?, |output, target| {
            let (output, target) = (f64::from(output), f64::from(target));
            output - target * libm::log(output + EPSILON)
        }))
    }
}

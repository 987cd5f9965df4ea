//! `PearsonCorrelation` (`keras/src/metrics/correlation_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, last_axis, same_shape};
use super::moments::Moments;
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean over positions of Pearson's correlation of output and target along the last axis.
    PearsonCorrelation = "pearson_correlation" {
        /// The axis: the last, -1.
        axis: i64 = -1,
    }
}

impl Mean for PearsonCorrelation {
    const DIRECTION: Direction = Direction::Up;

    fn check(&self) -> Result<()> {
        last_axis("PearsonCorrelation", self.axis)
    }

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("PearsonCorrelation", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of(batch, batch.probabilities()?, |output, target| {
            let (of_output, of_target) = (Moments::of(output), Moments::of(target));
            let products = output.iter().zip(target).map(|(&p, &t)| of_output.off(p) * of_target.off(t));
            let covariance = products.sum::<f64>() / output.len() as f64;
            covariance / (of_output.variance * of_target.variance).sqrt()
        }))
    }
}

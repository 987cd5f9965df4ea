//! `ConcordanceCorrelation` (`keras/src/metrics/correlation_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, EPSILON, Fits, arguments, last_axis, same_shape};
use super::moments::Moments;
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean over positions of the concordance correlation of output and target along the last axis, by Keras's formula:
    /// targets are taken off the output's mean.
    ConcordanceCorrelation = "concordance_correlation" {
        /// The axis: the last, -1.
        axis: i64 = -1,
    }
}

impl Mean for ConcordanceCorrelation {
    const DIRECTION: Direction = Direction::Up;

    fn check(&self) -> Result<()> {
        last_axis("ConcordanceCorrelation", self.axis)
    }

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("ConcordanceCorrelation", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of(batch, batch.probabilities()?, |output, target| {
            let (of_output, of_target) = (Moments::of(output), Moments::of(target));
            let products = output.iter().zip(target).map(|(&p, &t)| of_output.off(p) * of_output.off(t));
            let covariance = products.sum::<f64>() / output.len() as f64;
            let apart = of_target.mean - of_output.mean;
            2.0 * covariance / (of_target.variance + of_output.variance + apart * apart + EPSILON)
        }))
    }
}

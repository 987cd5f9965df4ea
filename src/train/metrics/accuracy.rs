//! `Accuracy` (`keras/src/metrics/accuracy_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// How often an output is the target, to the last bit. The bare name "accuracy" is another metric:
    /// [`AccuracyByShape`](super::AccuracyByShape).
    Accuracy = "accuracy" {}
}

impl Mean for Accuracy {
    const DIRECTION: Direction = Direction::Up;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("Accuracy", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of_elements(batch, batch.probabilities()?, |output, target| f64::from(output == target)))
    }
}

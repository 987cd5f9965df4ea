//! `CategoricalAccuracy` (`keras/src/metrics/accuracy_metrics.py`).

use super::classes::argmax;
use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, one_hot};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// How often the likeliest class is that of a one-hot target. Of classes that tie it is the first.
    CategoricalAccuracy = "categorical_accuracy" {}
}

impl Mean for CategoricalAccuracy {
    const DIRECTION: Direction = Direction::Up;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        one_hot("CategoricalAccuracy", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        let outputs = batch.ranked()?;
        Ok(Sums::of(batch, outputs, |output, target| f64::from(argmax(output) == argmax(target))))
    }
}

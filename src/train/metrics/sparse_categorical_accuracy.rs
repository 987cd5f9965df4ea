//! `SparseCategoricalAccuracy` (`keras/src/metrics/accuracy_metrics.py`).

use super::classes::argmax;
use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, class_numbers};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// How often the likeliest class is the one whose number the target is. Of classes that tie it is the first.
    SparseCategoricalAccuracy = "sparse_categorical_accuracy" {}
}

impl Mean for SparseCategoricalAccuracy {
    const DIRECTION: Direction = Direction::Up;

    fn fits(&self, _: usize, target_width: usize) -> Fits {
        class_numbers("SparseCategoricalAccuracy", target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        let outputs = batch.ranked()?;
        Ok(Sums::of(batch, outputs, |output, target| {
            f64::from(target.first().is_some_and(|&class| argmax(output) as f32 == class))
        }))
    }
}

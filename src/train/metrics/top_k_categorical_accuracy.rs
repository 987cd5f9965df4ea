//! `TopKCategoricalAccuracy` (`keras/src/metrics/accuracy_metrics.py`).

use super::classes::{TopK, argmax, check_k};
use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, one_hot};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// How often the class of a one-hot target is among the k likeliest; all that tie on the last place are.
    TopKCategoricalAccuracy = "top_k_categorical_accuracy" {
        /// How many classes; 5.
        k: usize = 5,
    }
}

impl Mean for TopKCategoricalAccuracy {
    const DIRECTION: Direction = Direction::Up;

    fn check(&self) -> Result<()> {
        check_k("TopKCategoricalAccuracy", self.k)
    }

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        one_hot("TopKCategoricalAccuracy", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        let top = TopK::new(batch, self.k)?;
        Ok(Sums::of(batch, top.outputs(), |output, target| {
            f64::from(top.holds(output, Some(argmax(target))))
        }))
    }
}

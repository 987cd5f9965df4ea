//! `SparseTopKCategoricalAccuracy` (`keras/src/metrics/accuracy_metrics.py`).

use super::classes::{TopK, check_k, class_of};
use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, class_numbers};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// How often the class whose number the target is, is among the k likeliest; all that tie on the last place are.
    SparseTopKCategoricalAccuracy = "sparse_top_k_categorical_accuracy" {
        /// How many classes; 5.
        k: usize = 5,
        /// Whether the output is class numbers itself, the likeliest first.
        from_sorted_ids: bool = false,
    }
}

impl Mean for SparseTopKCategoricalAccuracy {
    const DIRECTION: Direction = Direction::Up;

    fn check(&self) -> Result<()> {
        check_k("SparseTopKCategoricalAccuracy", self.k)
    }

    fn fits(&self, _: usize, target_width: usize) -> Fits {
        class_numbers("SparseTopKCategoricalAccuracy", target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        if self.from_sorted_ids {
            return Ok(Sums::of(batch, batch.probabilities()?, |output, target| {
                let own = target.first();
                f64::from(output.iter().take(self.k).any(|id| Some(id) == own))
            }));
        }
        let top = TopK::new(batch, self.k)?;
        Ok(Sums::of(batch, top.outputs(), |output, target| f64::from(top.holds(output, class_of(target)))))
    }
}

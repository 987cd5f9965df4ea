//! `SparseCategoricalCrossentropy` (`keras/src/metrics/probabilistic_metrics.py`).

use super::classes::class_of;
use super::crossentropies::{clipped, log_sum_exp};
use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, class_numbers, last_axis};
use super::scores::Scores;
use crate::{Error, Result};

arguments! {
    /// The mean over positions of -log(output) of the class whose number the target is. An output that ends in softmax or
    /// sigmoid is taken by its logits, as in Keras; any other is kept within 1e-7 and 1 - 1e-7 and divided by its sum, and
    /// so is every output where `ignore_class` is given.
    SparseCategoricalCrossentropy = "sparse_categorical_crossentropy" {
        /// Whether the output is logits, of no activation of the model's.
        from_logits: bool = false,
        /// A class whose positions add 0. As in Keras they count all the same where no position has a weight, and do not
        /// where a mask or sample weights are there.
        ignore_class: Option<i64> = None,
        /// The axis of the classes: the last, -1.
        axis: i64 = -1,
    }
}

impl SparseCategoricalCrossentropy {
    fn ignores(&self, target: &[f32]) -> bool {
        self.ignore_class.is_some_and(|ignored| target.first().is_some_and(|&class| class == ignored as f32))
    }
}

impl Mean for SparseCategoricalCrossentropy {
    const DIRECTION: Direction = Direction::Down;

    fn check(&self) -> Result<()> {
        last_axis("SparseCategoricalCrossentropy", self.axis)
    }

    fn fits(&self, _: usize, target_width: usize) -> Fits {
        class_numbers("SparseCategoricalCrossentropy", target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        let logits = match self.ignore_class {
            None => batch.logits(self.from_logits)?,
            Some(_) if self.from_logits => Some(batch.probabilities()?),
            Some(_) => None,
        };
        let outputs = match logits {
            Some(logits) => logits,
            None => batch.probabilities()?,
        };
        let score = |x: f32| match logits {
            Some(_) => f64::from(x),
            None => libm::log(f64::from(clipped(x))),
        };
        let mut sums = Sums::default();
        for (output, target, weight) in batch.rows(outputs) {
            if self.ignores(target) {
                sums.count += if batch.weights.is_none() { 1.0 } else { 0.0 };
                continue;
            }
            let Some(&own) = class_of(target).and_then(|class| output.get(class)) else {
                let (class, width) = (target.first().copied().unwrap_or_default(), batch.width);
                let what = format!("class {class} is not among the output's {width}, which run from 0");
                return Err(Error::argument("targets", what));
            };
            sums.total += weight * (log_sum_exp(output.iter().map(|&x| score(x))) - score(own));
            sums.count += weight;
        }
        Ok(sums)
    }
}

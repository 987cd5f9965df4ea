//! `BinaryAccuracy` (`keras/src/metrics/accuracy_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, same_shape};
use super::scores::Scores;
use crate::Result;
use crate::layers::Activation;

arguments! {
    /// How often an output is on the target's side of a threshold, which itself belongs to class 0. Targets other than 0
    /// and 1 are never met.
    BinaryAccuracy = "binary_accuracy" {
        /// What class 1 is above; 0.5.
        threshold: f32 = 0.5,
    }
}

impl Mean for BinaryAccuracy {
    const DIRECTION: Direction = Direction::Up;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("BinaryAccuracy", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        // A sigmoid is above 0.5 where its logit is above 0.
        let (outputs, threshold) = match batch.activation {
            Some(Activation::Sigmoid) if self.threshold == 0.5 => (batch.values, 0.0),
            _ => (batch.probabilities()?, self.threshold),
        };
        let is_met = |output: f32, target: f32| f32::from(output > threshold) == target;
        if batch.weights.is_none() {
            // Rows are equally long, so that a mean of their means is the mean of all.
            let met = outputs.iter().zip(batch.targets).filter(|&(&p, &t)| is_met(p, t)).count();
            return Ok(Sums { total: met as f64 / batch.width as f64, count: batch.positions() as f64 });
        }
        Ok(Sums::of_elements(batch, outputs, |output, target| f64::from(is_met(output, target))))
    }
}

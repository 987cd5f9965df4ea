//! `BinaryCrossentropy` (`keras/src/metrics/probabilistic_metrics.py`).

use super::crossentropies::{check_smoothing, clipped};
use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean of -target · log(output) - (1 - target) · log(1 - output). An output that ends in sigmoid or softmax is
    /// taken by its logits, as in Keras; any other is kept within 1e-7 and 1 - 1e-7.
    BinaryCrossentropy = "binary_crossentropy" {
        /// Whether the output is logits, of no activation of the model's.
        from_logits: bool = false,
        /// How far targets are moved towards 0.5, from 0 to 1.
        label_smoothing: f32 = 0.0,
    }
}

impl Mean for BinaryCrossentropy {
    const DIRECTION: Direction = Direction::Down;

    fn check(&self) -> Result<()> {
        check_smoothing("BinaryCrossentropy", self.label_smoothing)
    }

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("BinaryCrossentropy", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        let smooth =
            |target: f32| f64::from(target * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing);
        if let Some(logits) = batch.logits(self.from_logits)? {
            return Ok(Sums::of_elements(batch, logits, |x, target| {
                let x = f64::from(x);
                let positive = if x < 0.0 { 0.0 } else { x };
                positive - x * smooth(target) + libm::log1p(libm::exp(-x.abs()))
            }));
        }
        Ok(Sums::of_elements(batch, batch.probabilities()?, |output, target| {
            let (p, t) = (clipped(output), smooth(target));
            -t * libm::log(f64::from(p)) - (1.0 - t) * libm::log(f64::from(1.0 - p))
        }))
    }
}

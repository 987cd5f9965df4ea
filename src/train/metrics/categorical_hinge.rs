//! `CategoricalHinge` (`keras/src/metrics/hinge_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, one_hot};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean of max(1 + the greatest output of another class - the output of the target's class, 0).
    CategoricalHinge = "categorical_hinge" {}
}

impl Mean for CategoricalHinge {
    const DIRECTION: Direction = Direction::Down;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        one_hot("CategoricalHinge", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of(batch, batch.probabilities()?, |output, target| {
            let (mut own, mut other) = (0.0, f64::NEG_INFINITY);
            for (&p, &t) in output.iter().zip(target) {
                let (p, t) = (f64::from(p), f64::from(t));
                own += t * p;
                other = other.max((1.0 - t) * p);
            }
            let hinge = other - own + 1.0;
            if hinge < 0.0 { 0.0 } else { hinge }
        }))
    }
}

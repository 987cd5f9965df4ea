//! `KLDivergence` (`keras/src/metrics/probabilistic_metrics.py`).

use super::mean::{Mean, Sums};
use super::metric::{Direction, EPSILON, Fits, arguments, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean over positions of Σ target · log(target / output), both kept within 1e-7 and 1.
    KLDivergence = "kl_divergence" {}
}

impl Mean for KLDivergence {
    const DIRECTION: Direction = Direction::Down;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("KLDivergence", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        Ok(Sums::of(batch, batch.probabilities()?, |output, target| {
            let elements = output.iter().zip(target).map(|(&p, &t)| {
                let (p, t) = (f64::from(p).clamp(EPSILON, 1.0), f64::from(t).clamp(EPSILON, 1.0));
                t * libm::log(t / p)
            });
            elements.sum()
        }))
    }
}

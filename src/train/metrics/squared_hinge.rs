//! `SquaredHinge` (`keras/src/metrics/hinge_metrics.py`).

use super::hinges::hinge_sums;
use super::mean::{Mean, Sums};
use super::metric::{Direction, Fits, arguments, same_shape};
use super::scores::Scores;
use crate::Result;

arguments! {
    /// The mean of max(1 - target · output, 0)². Targets are -1 and 1; a batch whose targets are all 0 and 1
    /// is taken for such.
    SquaredHinge = "squared_hinge" {}
}

impl Mean for SquaredHinge {
    const DIRECTION: Direction = Direction::Down;

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape("SquaredHinge", width, target_width)
    }

    fn sums(&self, batch: &Scores) -> Result<Sums> {
        hinge_sums(batch, |hinge| hinge * hinge)
    }
}

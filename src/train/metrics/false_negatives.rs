//! `FalseNegatives` (`keras/src/metrics/confusion_metrics.py`).

use super::confusion::{Counts, Levels, Selection, Thresholds, check_thresholds};
use super::counted::{Counted, counted};
use super::metric::{Direction, Named, arguments};
use crate::Result;

arguments! {
    /// How many positive targets have negative outputs, by their weights.
    FalseNegatives = "false_negatives" {
        /// What positive outputs are above, from 0 to 1; 0.5.
        thresholds: Option<Thresholds> = None,
    }
}

impl Counted for FalseNegatives {
    const DIRECTION: Option<Direction> = None;

    fn check(&self) -> Result<()> {
        check_thresholds(Self::CLASS, &self.thresholds)
    }

    fn levels(&self) -> Levels {
        Levels::of(&self.thresholds, None)
    }

    fn selection(&self) -> Selection {
        Selection::default()
    }

    fn figures(&self, counts: &Counts) -> Vec<f64> {
        counts.false_negatives.clone()
    }
}

counted!(FalseNegatives);

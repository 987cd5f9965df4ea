//! `FalsePositives` (`keras/src/metrics/confusion_metrics.py`).

use super::confusion::{Counts, Levels, Selection, Thresholds, check_thresholds};
use super::counted::{Counted, counted};
use super::metric::{Direction, Named, arguments};
use crate::Result;

arguments! {
    /// How many negative targets have positive outputs, by their weights.
    FalsePositives = "false_positives" {
        /// What positive outputs are above, from 0 to 1; 0.5.
        thresholds: Option<Thresholds> = None,
    }
}

impl Counted for FalsePositives {
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
        counts.false_positives.clone()
    }
}

counted!(FalsePositives);

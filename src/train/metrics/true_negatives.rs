//! `TrueNegatives` (`keras/src/metrics/confusion_metrics.py`).

use super::confusion::{Counts, Levels, Selection, Thresholds, check_thresholds};
use super::counted::{Counted, counted};
use super::metric::{Direction, Named, arguments};
use crate::Result;

arguments! {
    /// How many negative targets have negative outputs, by their weights.
    TrueNegatives = "true_negatives" {
        /// What positive outputs are above, from 0 to 1; 0.5.
        thresholds: Option<Thresholds> = None,
    }
}

impl Counted for TrueNegatives {
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
        counts.true_negatives.clone()
    }
}

counted!(TrueNegatives);

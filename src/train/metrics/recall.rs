//! `Recall` (`keras/src/metrics/confusion_metrics.py`).

use super::classes::check_k;
use super::confusion::{Counts, Levels, Selection, Thresholds, check_thresholds};
use super::counted::{Counted, counted};
use super::metric::{Direction, Named, arguments};
use crate::Result;

arguments! {
    /// The share of positive targets whose outputs are positive; 0 where no target is positive.
    Recall = "recall" {
        /// What positive outputs are above, from 0 to 1; 0.5, or anything where `top_k` is given.
        thresholds: Option<Thresholds> = None,
        /// Only so many of the greatest outputs of a position can be positive; of those that tie, the first.
        top_k: Option<usize> = None,
        /// Only this class counts; all do where none is given.
        class_id: Option<usize> = None,
    }
}

impl Counted for Recall {
    const DIRECTION: Option<Direction> = Some(Direction::Up);

    fn check(&self) -> Result<()> {
        check_k(Self::CLASS, self.top_k.unwrap_or(1))?;
        check_thresholds(Self::CLASS, &self.thresholds)
    }

    fn levels(&self) -> Levels {
        Levels::of(&self.thresholds, self.top_k)
    }

    fn selection(&self) -> Selection {
        Selection { top_k: self.top_k, class_id: self.class_id, ..Selection::default() }
    }

    fn figures(&self, counts: &Counts) -> Vec<f64> {
        counts.recalls()
    }
}

counted!(Recall);

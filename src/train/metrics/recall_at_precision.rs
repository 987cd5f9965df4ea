//! `RecallAtPrecision` (`keras/src/metrics/confusion_metrics.py`).

use super::best_at::{best_at, best_at_metric};
use super::confusion::Counts;

best_at_metric! {
    /// The highest recall of all thresholds that give at least a certain precision; 0 where none does.
    RecallAtPrecision = "recall_at_precision" {
        /// The least precision, from 0 to 1.
        precision: f64,
    }
}

impl RecallAtPrecision {
    fn figure(&self, counts: &Counts) -> f64 {
        best_at(&counts.precisions(), self.precision, &counts.recalls())
    }
}

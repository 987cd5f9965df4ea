//! `PrecisionAtRecall` (`keras/src/metrics/confusion_metrics.py`).

use super::best_at::{best_at, best_at_metric};
use super::confusion::Counts;

best_at_metric! {
    /// The highest precision of all thresholds that give at least a certain recall; 0 where none does.
    PrecisionAtRecall = "precision_at_recall" {
        /// The least recall, from 0 to 1.
        recall: f64,
    }
}

impl PrecisionAtRecall {
    fn figure(&self, counts: &Counts) -> f64 {
        best_at(&counts.recalls(), self.recall, &counts.precisions())
    }
}

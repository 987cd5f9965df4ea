//! `SensitivityAtSpecificity` (`keras/src/metrics/confusion_metrics.py`).

use super::best_at::{best_at, best_at_metric};
use super::confusion::Counts;

best_at_metric! {
    /// The highest sensitivity (recall) of all thresholds that give at least a certain specificity; 0 where none does.
    SensitivityAtSpecificity = "sensitivity_at_specificity" {
        /// The least specificity, from 0 to 1.
        specificity: f64,
    }
}

impl SensitivityAtSpecificity {
    fn figure(&self, counts: &Counts) -> f64 {
        best_at(&counts.specificities(), self.specificity, &counts.recalls())
    }
}

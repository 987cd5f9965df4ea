//! `SpecificityAtSensitivity` (`keras/src/metrics/confusion_metrics.py`).

use super::best_at::{best_at, best_at_metric};
use super::confusion::Counts;

best_at_metric! {
    /// The highest specificity of all thresholds that give at least a certain sensitivity; 0 where none does.
    SpecificityAtSensitivity = "specificity_at_sensitivity" {
        /// The least sensitivity, from 0 to 1.
        sensitivity: f64,
    }
}

impl SpecificityAtSensitivity {
    fn figure(&self, counts: &Counts) -> f64 {
        best_at(&counts.recalls(), self.sensitivity, &counts.specificities())
    }
}

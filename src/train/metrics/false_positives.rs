//! `FalsePositives` (`keras/src/metrics/confusion_metrics.py`).

use super::counted::count;

count! {
    /// How many negative targets have positive outputs, by their weights.
    FalsePositives = "false_positives", false_positives
}

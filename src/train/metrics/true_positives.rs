//! `TruePositives` (`keras/src/metrics/confusion_metrics.py`).

use super::counted::count;

count! {
    /// How many positive targets have positive outputs, by their weights.
    TruePositives = "true_positives", true_positives
}

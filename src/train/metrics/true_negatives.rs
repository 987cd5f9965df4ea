//! `TrueNegatives` (`keras/src/metrics/confusion_metrics.py`).

use super::counted::count;

count! {
    /// How many negative targets have negative outputs, by their weights.
    TrueNegatives = "true_negatives", true_negatives
}

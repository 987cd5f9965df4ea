//! `FalseNegatives` (`keras/src/metrics/confusion_metrics.py`).

use super::counted::count;

count! {
    /// How many positive targets have negative outputs, by their weights.
    FalseNegatives = "false_negatives", false_negatives
}

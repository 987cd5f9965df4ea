//! `Recall` (`keras/src/metrics/confusion_metrics.py`).

use super::counted::share;

share! {
    /// The share of positive targets whose outputs are positive; 0 where no target is positive.
    Recall = "recall", recalls
}

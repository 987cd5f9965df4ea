//! `Precision` (`keras/src/metrics/confusion_metrics.py`).

use super::counted::share;

share! {
    /// The share of positive outputs whose targets are positive; 0 where no output is positive.
    Precision = "precision", precisions
}

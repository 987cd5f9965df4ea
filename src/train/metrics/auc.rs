//! `AUC` (`keras/src/metrics/confusion_metrics.py`).

use super::best_at::check_count;
use super::confusion::{Counts, Levels, Selection};
use super::counted::{Counted, counted};
use super::metric::{Direction, arguments, divide};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The curve under which the area lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// Recall over the rate of false positives.
    #[serde(alias = "roc")]
    ROC,
    /// Precision over recall.
    #[serde(alias = "pr")]
    PR,
    /// Precision gain over recall gain (Flach and Kull 2015).
    #[serde(alias = "prgain")]
    PRGAIN,
}

/// How the area between two thresholds is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SummationMethod {
    /// By the mean height; for precision over recall by positives, not by their share (Davis and Goadrich 2006).
    #[serde(alias = "Interpolation")]
    Interpolation,
    /// By the lower of the two heights.
    #[serde(alias = "Minoring")]
    Minoring,
    /// By the greater of the two heights.
    #[serde(alias = "Majoring")]
    Majoring,
}

arguments! {
    /// The area under a curve, approximated by thresholds.
    AUC = "auc" {
        /// How many thresholds, evenly from 0 to 1; 200.
        num_thresholds: usize = 200,
        /// The curve; ROC.
        curve: Curve = Curve::ROC,
        /// How areas are taken; by interpolation.
        summation_method: SummationMethod = SummationMethod::Interpolation,
        /// Thresholds to take instead of even ones; 0 and 1 are added.
        thresholds: Option<Vec<f64>> = None,
        /// Whether each class has an area of its own, of which the mean is shown; else all outputs count together.
        multi_label: bool = false,
        /// How many classes `multi_label` has; the output says it.
        num_labels: Option<usize> = None,
        /// A weight a class.
        label_weights: Option<Vec<f32>> = None,
        /// Whether the output goes through sigmoid first.
        from_logits: bool = false,
    }
}

impl Counted for AUC {
    const DIRECTION: Option<Direction> = Some(Direction::Up);

    fn check(&self) -> Result<()> {
        let error = |what: String| Err(Error::argument("metric AUC", what));
        if self.thresholds.is_none() && self.num_thresholds < 2 {
            return error(format!("num_thresholds {}: it must be at least 2", self.num_thresholds));
        }
        if self.thresholds.iter().flatten().any(|threshold| threshold.is_nan()) {
            return error("thresholds hold NaN: numbers from 0 to 1 are needed".to_string());
        }
        if self.num_labels.is_some_and(|count| count > 0) && !self.multi_label {
            return error("num_labels is for `multi_label: true` only: leave it out".to_string());
        }
        check_count("AUC", self.num_thresholds)
    }

    fn levels(&self) -> Levels {
        let inner = 1..self.num_thresholds.saturating_sub(1);
        let even = || inner.map(|i| i as f64 / (self.num_thresholds - 1) as f64).collect();
        Levels::between(self.thresholds.clone().unwrap_or_else(even))
    }

    fn selection(&self) -> Selection {
        Selection {
            by_class: self.multi_label,
            class_weights: self.label_weights.clone().filter(|_| !self.multi_label),
            from_logits: self.from_logits,
            ..Selection::default()
        }
    }

    fn figures(&self, counts: &Counts) -> Vec<f64> {
        let areas: Vec<f64> = (0..counts.classes).map(|class| self.area(&counts.column(class))).collect();
        vec![match &self.label_weights {
            Some(weights) if self.multi_label => {
                let weights = weights.iter().map(|&weight| f64::from(weight));
                let weighted = areas.iter().zip(weights.clone()).map(|(area, weight)| area * weight).sum();
                divide(weighted, weights.sum())
            }
            _ => divide(areas.iter().sum(), areas.len() as f64),
        }]
    }
}

counted!(AUC);

impl AUC {
    /// The area of one class.
    fn area(&self, counts: &Counts) -> f64 {
        if (self.curve, self.summation_method) == (Curve::PR, SummationMethod::Interpolation) {
            return interpolated_pr(counts);
        }
        let (x, y) = match self.curve {
            Curve::ROC => (counts.false_positive_rates(), counts.recalls()),
            Curve::PR => (counts.recalls(), counts.precisions()),
            Curve::PRGAIN => gains(counts),
        };
        let steps = x.windows(2).zip(y.windows(2)).map(|(x, y)| {
            let height = match self.summation_method {
                SummationMethod::Interpolation => (y[0] + y[1]) / 2.0,
                SummationMethod::Minoring => y[0].min(y[1]),
                SummationMethod::Majoring => y[0].max(y[1]),
            };
            (x[0] - x[1]) * height
        });
        steps.sum()
    }
}

/// The area under precision over recall, true positives taken as linear in positives between two thresholds.
fn interpolated_pr(counts: &Counts) -> f64 {
    let hits = &counts.true_positives;
    let positives: Vec<f64> = hits.iter().zip(&counts.false_positives).map(|(a, b)| a + b).collect();
    let steps = (1..hits.len()).map(|i| {
        let (more_hits, more_positives) = (hits[i - 1] - hits[i], positives[i - 1] - positives[i]);
        let slope = divide(more_hits, more_positives.max(0.0));
        let intercept = hits[i] - slope * positives[i];
        let ratio = match positives[i - 1] > 0.0 && positives[i] > 0.0 {
            true => positives[i - 1] / positives[i],
            false => 1.0,
        };
        let step = slope * (more_hits + intercept * libm::log(ratio));
        divide(step, (hits[i] + counts.false_negatives[i]).max(0.0))
    });
    steps.sum()
}

/// Recall gain and precision gain.
fn gains(counts: &Counts) -> (Vec<f64>, Vec<f64>) {
    let gain = |i: usize, errors: f64, without: f64| {
        let hits = counts.true_positives[i];
        let positives = hits + counts.false_negatives[i];
        let negatives = counts.true_negatives[i] + counts.false_positives[i];
        if hits == 0.0 { without } else { 1.0 - divide(positives, negatives) * (errors / hits) }
    };
    let all = 0..counts.true_positives.len();
    let recall = all.clone().map(|i| gain(i, counts.false_negatives[i], 0.0).max(0.0)).collect();
    (recall, all.map(|i| gain(i, counts.false_positives[i], 1.0)).collect())
}

//! Precision, recall and F1 by class, and their means.

use crate::train::metrics::{Counts, divide};
use serde::Serialize;

/// The figures of a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Its name.
    pub label: String,
    /// The share of what is taken for it that is of it; 0 where nothing is.
    pub precision: f64,
    /// The share of its rows that are found; 0 where it has none.
    pub recall: f64,
    /// 2 precision recall / (precision + recall); 0 where both are.
    pub f1: f64,
    /// Its rows.
    pub support: usize,
    /// How many are taken for it.
    pub predicted: usize,
    /// The area under its own curve, against all other classes; none where all rows are of it, or none.
    pub roc_auc: Option<f64>,
}

impl ClassFigures {
    /// Whether the class occurs at all, in the targets or the answers.
    pub fn occurs(&self) -> bool {
        self.support + self.predicted > 0
    }
}

/// A mean of the classes' figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Means {
    /// Of the precisions.
    pub precision: f64,
    /// Of the recalls.
    pub recall: f64,
    /// Of the F1s.
    pub f1: f64,
}

/// The figures of classes that are counted by themselves.
pub(super) fn figures(names: Vec<String>, counts: &Counts) -> Vec<ClassFigures> {
    let (precisions, recalls) = (counts.precisions(), counts.recalls());
    let figures = names.into_iter().enumerate().map(|(class, label)| {
        let (hits, false_positives) = (counts.true_positives[class], counts.false_positives[class]);
        let misses = counts.false_negatives[class];
        ClassFigures {
            label,
            precision: precisions[class],
            recall: recalls[class],
            f1: divide(2.0 * hits, 2.0 * hits + false_positives + misses),
            support: (hits + misses) as usize,
            predicted: (hits + false_positives) as usize,
            roc_auc: None,
        }
    });
    figures.collect()
}

/// A mean in which classes weigh so much.
pub(super) fn mean(classes: &[ClassFigures], weight: impl Fn(&ClassFigures) -> f64) -> Means {
    let all: f64 = classes.iter().map(&weight).sum();
    let of = |figure: fn(&ClassFigures) -> f64| {
        divide(classes.iter().map(|class| figure(class) * weight(class)).sum(), all)
    };
    Means { precision: of(|it| it.precision), recall: of(|it| it.recall), f1: of(|it| it.f1) }
}

/// The mean area of the classes that have one.
pub(super) fn mean_area(classes: &[ClassFigures]) -> Option<f64> {
    let areas: Vec<f64> = classes.iter().filter_map(|class| class.roc_auc).collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

//! Any number of classes a row: each class is a question of its own.

use super::by_class::{self, ClassFigures, Means};
use super::calibration::Calibration;
use super::mistakes::{Mistake, Said, worst};
use super::roc::Roc;
use super::rows::Rows;
use crate::train::metrics::{Counts, divide};
use rayon::prelude::*;
use serde::Serialize;

/// What is said of a classifier that gives sets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetReport {
    /// The share of rows whose set is right as a whole.
    pub accuracy: f64,
    /// The share of answers, one a row and class, that are wrong.
    pub hamming_loss: f64,
    /// The figures by class.
    pub classes: Vec<ClassFigures>,
    /// Of all classes' counts together.
    #[serde(rename = "micro")]
    pub micro_mean: Means,
    /// The mean of all classes.
    #[serde(rename = "macro")]
    pub macro_mean: Means,
    /// The mean weighted by rows.
    #[serde(rename = "weighted")]
    pub weighted_mean: Means,
    /// The mean area of the classes that have one.
    pub roc_auc: Option<f64>,
    /// Of all answers together.
    #[serde(flatten)]
    pub calibration: Calibration,
    /// The worst mistakes: sets that are wrong, those first of which one answer is farthest off.
    pub mistakes: Vec<Mistake>,
    /// The curve of each class.
    #[serde(skip)]
    pub curves: Vec<Option<Roc>>,
}

impl SetReport {
    pub(super) fn new(rows: &Rows, names: Vec<String>, mistakes: usize) -> Self {
        let count = names.len();
        let mut counts = Counts::sized(1, count);
        let mut whole = 0;
        for row in 0..rows.len() {
            let mut is_right = true;
            for class in 0..count {
                let (is, says) = rows.in_set(row, class);
                let counted = match (is, says) {
                    (true, true) => &mut counts.true_positives,
                    (true, false) => &mut counts.false_negatives,
                    (false, true) => &mut counts.false_positives,
                    (false, false) => &mut counts.true_negatives,
                };
                counted[class] += 1.0;
                is_right &= is == says;
            }
            whole += usize::from(is_right);
        }
        let sum = |counts: &[f64]| vec![counts.iter().sum::<f64>()];
        let together = Counts {
            true_positives: sum(&counts.true_positives),
            false_positives: sum(&counts.false_positives),
            true_negatives: sum(&counts.true_negatives),
            false_negatives: sum(&counts.false_negatives),
            classes: 1,
        };
        let micro = by_class::figures(vec![String::new()], &together);
        let mut classes = by_class::figures(names, &counts);
        let curve = |class: usize| {
            Roc::of((0..rows.len()).map(|row| (rows.values(row)[class], rows.in_set(row, class).0)).collect())
        };
        let curves: Vec<Option<Roc>> = (0..count).into_par_iter().map(curve).collect();
        for (class, curve) in classes.iter_mut().zip(&curves) {
            class.roc_auc = curve.as_ref().map(|curve| curve.area);
        }
        let wrong: f64 = counts.false_positives.iter().chain(&counts.false_negatives).sum();
        let answers = (0..rows.len()).flat_map(|row| {
            (0..count).map(move |class| (rows.probability(row, class), rows.in_set(row, class).0))
        });
        Self {
            accuracy: divide(whole as f64, rows.len() as f64),
            hamming_loss: divide(wrong, (rows.len() * count) as f64),
            micro_mean: by_class::mean(&micro, |_| 1.0),
            macro_mean: by_class::mean(&classes, |_| 1.0),
            weighted_mean: by_class::mean(&classes, |class| class.support as f64),
            roc_auc: by_class::mean_area(&classes),
            calibration: Calibration::of(answers),
            mistakes: told(rows, &classes, mistakes),
            classes,
            curves,
        }
    }
}

/// How far the farthest wrong answer of a row is off.
fn off(rows: &Rows, row: usize, count: usize) -> Option<f64> {
    let wrong = (0..count).filter(|&class| {
        let (is, says) = rows.in_set(row, class);
        is != says
    });
    wrong
        .map(|class| (rows.probability(row, class) - f64::from(u8::from(rows.in_set(row, class).0))).abs())
        .reduce(f64::max)
}

fn told(rows: &Rows, classes: &[ClassFigures], count: usize) -> Vec<Mistake> {
    let wrong = (0..rows.len()).filter_map(|row| Some((row, off(rows, row, classes.len())?)));
    let told = worst(wrong, count).into_iter().map(|row| {
        let names = |of: fn((bool, bool)) -> bool| {
            let within = classes.iter().enumerate().filter(|(class, _)| of(rows.in_set(row, *class)));
            within.map(|(_, class)| class.label.clone()).collect()
        };
        let probability = off(rows, row, classes.len()).unwrap_or(0.0);
        let said = Said::Set { labels: names(|it| it.0), predicted: names(|it| it.1), probability };
        Mistake { row, place: None, text: None, said }
    });
    told.collect()
}

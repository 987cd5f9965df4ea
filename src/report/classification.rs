//! One class a row.

use super::by_class::{self, ClassFigures, Means};
use super::calibration::Calibration;
use super::kind::Kind;
use super::mistakes::{Mistake, Said, worst};
use super::roc::Roc;
use super::rows::Rows;
use crate::train::metrics::{Counts, divide};
use rayon::prelude::*;
use serde::Serialize;

/// What is said of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassReport {
    /// The share of rows that are taken for what they are.
    pub accuracy: f64,
    /// The figures by class.
    pub classes: Vec<ClassFigures>,
    /// The mean of the classes that occur, in the targets or in the answers.
    #[serde(rename = "macro")]
    pub macro_mean: Means,
    /// The mean weighted by rows.
    #[serde(rename = "weighted")]
    pub weighted_mean: Means,
    /// The area under the curve of true over false positives: of two classes that of the second; of more the mean of each
    /// against the rest, of those that have one.
    pub roc_auc: Option<f64>,
    /// The mean squared distance of the probabilities from the truth: of two classes that of the second's; of more summed over
    /// the classes.
    pub brier: f64,
    /// Of two classes, of the second's probability; of more, of that of the likeliest.
    #[serde(flatten)]
    pub calibration: Calibration,
    /// Rows by what they are (first) and what they are taken for.
    pub confusion: Vec<Vec<usize>>,
    /// The worst mistakes: those whose own class has the least probability.
    pub mistakes: Vec<Mistake>,
    /// The curve of each class; of two, of the second alone.
    #[serde(skip)]
    pub curves: Vec<Option<Roc>>,
}

impl ClassReport {
    pub(super) fn new(rows: &Rows, names: Vec<String>, mistakes: usize) -> Self {
        let count = names.len();
        let mut confusion = vec![vec![0; count]; count];
        for row in 0..rows.len() {
            confusion[rows.class(row)][rows.predicted(row)] += 1;
        }
        let mut classes = by_class::figures(names, &counts(&confusion));
        let is_binary = rows.kind() == Kind::Binary;
        let curve = |class: usize| {
            let value = if is_binary { 0 } else { class };
            Roc::of((0..rows.len()).map(|row| (rows.values(row)[value], rows.class(row) == class)).collect())
        };
        let curves: Vec<Option<Roc>> = match is_binary {
            true => vec![curve(1)],
            false => (0..count).into_par_iter().map(curve).collect(),
        };
        for (at, class) in classes.iter_mut().enumerate() {
            // Of two classes, both have one curve, turned round.
            let own = if is_binary { curves.first() } else { curves.get(at) };
            class.roc_auc = own.and_then(Option::as_ref).map(|curve| curve.area);
        }
        let hits: usize = (0..count).map(|class| confusion[class][class]).sum();
        Self {
            accuracy: divide(hits as f64, rows.len() as f64),
            macro_mean: by_class::mean(&classes, |class| f64::from(u8::from(class.occurs()))),
            weighted_mean: by_class::mean(&classes, |class| class.support as f64),
            roc_auc: by_class::mean_area(&classes),
            brier: brier(rows),
            calibration: calibration(rows),
            mistakes: told(rows, &classes, mistakes),
            confusion,
            classes,
            curves,
        }
    }
}

/// The counts of each class by itself.
fn counts(confusion: &[Vec<usize>]) -> Counts {
    let all: usize = confusion.iter().flatten().sum();
    let mut counts = Counts::sized(1, confusion.len());
    for class in 0..confusion.len() {
        let hits = confusion[class][class];
        let own: usize = confusion[class].iter().sum();
        let taken: usize = confusion.iter().map(|row| row[class]).sum();
        counts.true_positives[class] = hits as f64;
        counts.false_positives[class] = (taken - hits) as f64;
        counts.false_negatives[class] = (own - hits) as f64;
        counts.true_negatives[class] = (all + hits - own - taken) as f64;
    }
    counts
}

fn brier(rows: &Rows) -> f64 {
    let square = |row: usize, class: usize| {
        (rows.probability(row, class) - f64::from(u8::from(rows.class(row) == class))).powi(2)
    };
    let of_row = |row: usize| match rows.kind() {
        Kind::Binary => square(row, 1),
        _ => (0..rows.classes()).map(|class| square(row, class)).sum(),
    };
    divide((0..rows.len()).map(of_row).sum(), rows.len() as f64)
}

fn calibration(rows: &Rows) -> Calibration {
    Calibration::of((0..rows.len()).map(|row| match rows.kind() {
        Kind::Binary => (rows.probability(row, 1), rows.class(row) == 1),
        _ => {
            let predicted = rows.predicted(row);
            (rows.probability(row, predicted), rows.class(row) == predicted)
        }
    }))
}

fn told(rows: &Rows, classes: &[ClassFigures], count: usize) -> Vec<Mistake> {
    let wrong = (0..rows.len()).filter(|&row| rows.class(row) != rows.predicted(row));
    let off = wrong.map(|row| (row, -rows.probability(row, rows.class(row))));
    let told = worst(off, count).into_iter().map(|row| {
        let (class, predicted) = (rows.class(row), rows.predicted(row));
        let said = Said::Class {
            label: classes[class].label.clone(),
            predicted: classes[predicted].label.clone(),
            probability: rows.probability(row, predicted),
            probability_of_label: rows.probability(row, class),
        };
        Mistake { row, place: None, text: None, said }
    });
    told.collect()
}

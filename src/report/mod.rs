//! What a model's answers to labelled rows are worth: figures by class, a confusion matrix, areas under curves, calibration,
//! and the worst mistakes. The numbers are scikit-learn's.
//!
//! [`Kind::of`] says what a model's output and the targets are; [`Rows`] gathers the answers while
//! [`evaluate_rows`](crate::train::evaluate_rows) measures them; [`Report::new`] judges them.

mod by_class;
mod calibration;
mod classification;
mod kind;
mod mistakes;
mod multi_label;
mod regression;
mod roc;
mod rows;

pub use by_class::{ClassFigures, Means};
pub use calibration::{Bin, Calibration};
pub use classification::ClassReport;
pub use kind::{Kind, MOST_CLASSES};
pub use mistakes::{Mistake, Said};
pub use multi_label::SetReport;
pub use regression::NumberReport;
pub use roc::Roc;
pub use rows::Rows;

use crate::Result;
use serde::Serialize;

/// Everything that is said of a model's answers, by what they stand for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Report {
    /// One class a row.
    Classification(ClassReport),
    /// Any number of classes a row.
    MultiLabel(SetReport),
    /// Numbers.
    Regression(NumberReport),
}

impl Report {
    /// Judges the answers. `classes` names the classes, two of them where the answer is one probability; those without a name
    /// have their number. The report tells so many of the worst mistakes.
    ///
    /// # Errors
    /// Those of the activations that answers have still to go through.
    pub fn new(rows: &Rows, classes: &[String], mistakes: usize) -> Result<Self> {
        let name = |class: usize| classes.get(class).cloned().unwrap_or_else(|| class.to_string());
        let names: Vec<String> = (0..rows.classes()).map(name).collect();
        Ok(match rows.kind() {
            Kind::Binary | Kind::Classes => Self::Classification(ClassReport::new(rows, names, mistakes)),
            Kind::Sets => Self::MultiLabel(SetReport::new(rows, names, mistakes)),
            Kind::Numbers => Self::Regression(NumberReport::new(rows, mistakes)?),
        })
    }

    /// The worst mistakes, the worst first.
    pub fn mistakes(&self) -> &[Mistake] {
        match self {
            Self::Classification(report) => &report.mistakes,
            Self::MultiLabel(report) => &report.mistakes,
            Self::Regression(report) => &report.mistakes,
        }
    }

    /// The same, to have their texts and places put in.
    pub fn mistakes_mut(&mut self) -> &mut [Mistake] {
        match self {
            Self::Classification(report) => &mut report.mistakes,
            Self::MultiLabel(report) => &mut report.mistakes,
            Self::Regression(report) => &mut report.mistakes,
        }
    }
}

#[cfg(test)]
mod tests;

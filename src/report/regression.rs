//! Numbers.

use super::mistakes::{Mistake, Said, worst};
use super::rows::Rows;
use crate::Result;
use crate::train::metrics::{MeanAbsoluteError, MetricConfig, R2Score, RootMeanSquaredError, Scores};
use serde::Serialize;

/// What is said of a model of numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NumberReport {
    /// The mean absolute error.
    pub mae: f64,
    /// The root of the mean squared error.
    pub rmse: f64,
    /// The share of the targets' variance that the answers explain; where they have none, 1 if all answers are right, else 0.
    pub r2: f64,
    /// The rows that are farthest off.
    pub mistakes: Vec<Mistake>,
}

impl NumberReport {
    pub(super) fn new(rows: &Rows, mistakes: usize) -> Result<Self> {
        let scores = Scores::new(rows.all_values(), 1, rows.all_targets(), 1);
        let figure = |metric: MetricConfig| -> Result<f64> {
            let mut metric = metric.build();
            metric.update(&scores)?;
            Ok(metric.result().first().copied().unwrap_or(f64::NAN))
        };
        let off = |row: usize| (f64::from(rows.values(row)[0]) - f64::from(rows.target(row)[0])).abs();
        let targets = rows.all_targets();
        let is_constant = targets.iter().all(|target| Some(target) == targets.first());
        let told = worst((0..rows.len()).map(|row| (row, off(row))).filter(|(_, off)| *off > 0.0), mistakes);
        let mistake = |row: usize| {
            let said =
                Said::Number { target: rows.target(row)[0].into(), predicted: rows.values(row)[0].into() };
            Mistake { row, place: None, text: None, said }
        };
        Ok(Self {
            mae: figure(MeanAbsoluteError::default().into())?,
            rmse: figure(RootMeanSquaredError::default().into())?,
            r2: match is_constant {
                true => f64::from(u8::from((0..rows.len()).all(|row| off(row) == 0.0))),
                false => figure(R2Score::default().into())?,
            },
            mistakes: told.into_iter().map(mistake).collect(),
        })
    }
}

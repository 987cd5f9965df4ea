//! The worst mistakes.

use serde::Serialize;

/// A row that the model is wrong about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mistake {
    /// Its number, from 0.
    pub row: usize,
    /// Where it stands (`line 7`), where somebody says so.
    pub place: Option<String>,
    /// Its text, likewise.
    pub text: Option<String>,
    /// The truth, and what the model says.
    #[serde(flatten)]
    pub said: Said,
}

/// What is true of a row, and what the model says of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Said {
    /// Another class.
    Class {
        /// The class that it is of.
        label: String,
        /// That which the model takes it for.
        predicted: String,
        /// The probability of that.
        probability: f64,
        /// The probability of the class that it is of.
        probability_of_label: f64,
    },
    /// Other classes.
    Set {
        /// The classes that it is of.
        labels: Vec<String>,
        /// Those that the model says.
        predicted: Vec<String>,
        /// The probability of the answer that is farthest off, be it yes or no.
        probability: f64,
    },
    /// Another number.
    Number {
        /// The number.
        target: f64,
        /// What the model says.
        predicted: f64,
    },
}

/// The rows that are farthest off, the farthest first; of those that are as far the first.
pub(super) fn worst(off: impl Iterator<Item = (usize, f64)>, count: usize) -> Vec<usize> {
    let mut off: Vec<(usize, f64)> = off.collect();
    let order = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < off.len() {
        off.select_nth_unstable_by(count, order);
        off.truncate(count);
    }
    off.sort_by(order);
    off.into_iter().map(|(row, _)| row).collect()
}

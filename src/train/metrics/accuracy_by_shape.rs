//! The bare name "accuracy" (`get_metric` in `keras/src/trainers/compile_utils.py`).

use super::binary_accuracy::BinaryAccuracy;
use super::categorical_accuracy::CategoricalAccuracy;
use super::mean::{Mean, Sums};
use super::metric::{Config, Direction, Fits, Metric, check_batch};
use super::scores::Scores;
use super::sparse_categorical_accuracy::SparseCategoricalAccuracy;
use crate::Result;

/// The accuracy that belongs to an output's and its targets' shapes, as Keras takes it for "accuracy" and "acc":
/// binary where the output is 1 wide, sparse where the targets are, else categorical.
#[derive(Clone, Debug, PartialEq)]
pub struct AccuracyByShape {
    /// The word that it was asked for by, which is its name in the logs.
    pub name: String,
}

/// One of three.
pub(super) enum Chosen {
    Binary(BinaryAccuracy),
    Sparse(SparseCategoricalAccuracy),
    Categorical(CategoricalAccuracy),
}

impl AccuracyByShape {
    /// Whether `word` asks for it.
    pub(super) fn is_asked_by(word: &str) -> bool {
        matches!(word.to_lowercase().as_str(), "accuracy" | "acc")
    }

    pub(super) fn choose(&self, width: usize, target_width: usize) -> Chosen {
        let name = Some(self.name.clone());
        match (width, target_width) {
            (1, _) => Chosen::Binary(BinaryAccuracy { name, ..BinaryAccuracy::default() }),
            (_, 1) => Chosen::Sparse(SparseCategoricalAccuracy { name }),
            _ => Chosen::Categorical(CategoricalAccuracy { name }),
        }
    }
}

impl Chosen {
    fn config(&self) -> &dyn Config {
        match self {
            Self::Binary(it) => it,
            Self::Sparse(it) => it,
            Self::Categorical(it) => it,
        }
    }
}

impl Config for AccuracyByShape {
    fn class_name(&self) -> &'static str {
        "accuracy"
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn set_name(&mut self, name: String) {
        self.name = name;
    }

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        self.choose(width, target_width).config().fits(width, target_width)
    }

    fn build(&self) -> Box<dyn Metric> {
        Box::new(Gatherer { config: self.clone(), sums: Sums::default() })
    }

    fn direction(&self) -> Option<Direction> {
        Some(Direction::Up)
    }

    fn heeds_mask(&self) -> bool {
        true
    }
}

/// Chooses anew at each batch, for they have the same state.
struct Gatherer {
    config: AccuracyByShape,
    sums: Sums,
}

impl Metric for Gatherer {
    fn update(&mut self, batch: &Scores) -> Result<()> {
        check_batch(&self.config, batch)?;
        self.sums += match self.config.choose(batch.width, batch.target_width) {
            Chosen::Binary(it) => it.sums(batch)?,
            Chosen::Sparse(it) => it.sums(batch)?,
            Chosen::Categorical(it) => it.sums(batch)?,
        };
        Ok(())
    }

    fn result(&self) -> Vec<f64> {
        vec![self.sums.mean()]
    }

    fn reset(&mut self) {
        self.sums = Sums::default();
    }

    fn state(&self) -> Vec<f64> {
        self.sums.state()
    }

    fn load_state(&mut self, state: &[f64]) -> Result<()> {
        self.sums = Sums::from_state("accuracy", state)?;
        Ok(())
    }
}

//! `F1Score` (`keras/src/metrics/f_score_metrics.py`).

use super::f_scores::{Average, Gatherer, Rule};
use super::metric::{Config, Direction, Fits, Metric, Named, arguments, names, one_hot};
use crate::Result;

arguments! {
    /// The harmonic mean of precision and recall: 2 · precision · recall / (precision + recall).
    /// Keras takes it of (batch, classes) alone; here positions of a sequence count one by one. It does not heed masks.
    F1Score = "f1_score" {
        /// How the scores of the classes become one; each class's own where none is given.
        average: Option<Average> = None,
        /// What a positive output is above; where none is given, those that are the greatest of their position are.
        threshold: Option<f32> = None,
    }
}

impl F1Score {
    fn rule(&self) -> Rule {
        Rule { average: self.average, beta: 1.0, threshold: self.threshold }
    }
}

impl Config for F1Score {
    names!();

    fn check(&self) -> Result<()> {
        self.rule().check(Self::CLASS)
    }

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        one_hot(Self::CLASS, width, target_width)
    }

    fn build(&self) -> Box<dyn Metric> {
        Box::new(Gatherer::new(self.clone(), self.rule()))
    }

    fn direction(&self) -> Option<Direction> {
        Some(Direction::Up)
    }

    fn heeds_mask(&self) -> bool {
        false
    }
}

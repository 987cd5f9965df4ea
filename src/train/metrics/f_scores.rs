//! What the F scores share (`keras/src/metrics/f_score_metrics.py`).

use super::metric::{Config, EPSILON, Metric, check_batch};
use super::scores::Scores;
use crate::layers::Activation;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the scores of the classes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// Of all classes' counts together.
    Micro,
    /// The mean of the classes' scores.
    Macro,
    /// The mean of the classes' scores, weighted by how many targets they have.
    Weighted,
}

/// What is counted, and how it is shown.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub average: Option<Average>,
    pub beta: f64,
    pub threshold: Option<f32>,
}

impl Rule {
    pub(super) fn check(self, class: &str) -> Result<()> {
        let error = |what: String| Err(Error::argument(format!("metric {class}"), what));
        if self.beta.is_nan() || self.beta <= 0.0 {
            return error(format!("beta {}: it must be above 0", self.beta));
        }
        match self.threshold {
            Some(threshold) if !(threshold > 0.0 && threshold <= 1.0) => {
                error(format!("threshold {threshold}: it must be above 0 and at most 1"))
            }
            _ => Ok(()),
        }
    }

    fn score(self, counts: &Counts) -> f64 {
        let hits = counts.true_positives;
        let precision = hits / (hits + counts.false_positives + EPSILON);
        let recall = hits / (hits + counts.false_negatives + EPSILON);
        let square = self.beta * self.beta;
        precision * recall / (square * precision + recall + EPSILON) * (1.0 + square)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    true_positives: f64,
    false_positives: f64,
    false_negatives: f64,
    targets: f64,
}

/// Counts a class at a time.
pub(super) struct Gatherer<C> {
    config: C,
    rule: Rule,
    /// One a class, once there was a batch.
    classes: Vec<Counts>,
}

impl<C: Config> Gatherer<C> {
    pub(super) fn new(config: C, rule: Rule) -> Self {
        Self { config, rule, classes: vec![] }
    }
}

impl<C: Config + Send> Metric for Gatherer<C> {
    fn update(&mut self, batch: &Scores) -> Result<()> {
        check_batch(&self.config, batch)?;
        if self.classes.is_empty() {
            self.classes = vec![Counts::default(); batch.width];
        }
        if self.classes.len() != batch.width {
            let what = format!("{} classes after batches of {}", batch.width, self.classes.len());
            return Err(Error::argument(format!("metric {}", self.config.name()), what));
        }
        let outputs = match (self.rule.threshold, batch.activation) {
            (None, Some(Activation::Softmax)) => batch.values,
            _ => batch.probabilities()?,
        };
        // A logit of 0 is no output of 0.
        let least = if batch.activation == Some(Activation::Softmax) { -1.0 } else { 1e-9 };
        for (output, target, weight) in batch.rows(outputs) {
            let greatest = output.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for ((counts, &p), &t) in self.classes.iter_mut().zip(output).zip(target) {
                let is_positive = match self.rule.threshold {
                    Some(threshold) => p > threshold,
                    None => p >= greatest && p.abs() > least,
                };
                let (p, t) = (f64::from(is_positive), f64::from(t));
                counts.true_positives += weight * (p * t);
                counts.false_positives += weight * (p * (1.0 - t));
                counts.false_negatives += weight * ((1.0 - p) * t);
                counts.targets += weight * t;
            }
        }
        Ok(())
    }

    fn result(&self) -> Vec<f64> {
        let scores = self.classes.iter().map(|counts| self.rule.score(counts));
        let count = self.classes.len().max(1) as f64;
        match self.rule.average {
            None => scores.collect(),
            Some(Average::Macro) => vec![scores.sum::<f64>() / count],
            Some(Average::Weighted) => {
                let all = self.classes.iter().map(|counts| counts.targets).sum::<f64>() + EPSILON;
                vec![scores.zip(&self.classes).map(|(score, counts)| score * (counts.targets / all)).sum()]
            }
            Some(Average::Micro) => {
                let all = self.classes.iter().fold(Counts::default(), |a, b| Counts {
                    true_positives: a.true_positives + b.true_positives,
                    false_positives: a.false_positives + b.false_positives,
                    false_negatives: a.false_negatives + b.false_negatives,
                    targets: a.targets + b.targets,
                });
                vec![self.rule.score(&all)]
            }
        }
    }

    fn reset(&mut self) {
        self.classes.clear();
    }

    fn state(&self) -> Vec<f64> {
        let counts = self.classes.iter();
        counts
            .flat_map(|it| [it.true_positives, it.false_positives, it.false_negatives, it.targets])
            .collect()
    }

    fn load_state(&mut self, state: &[f64]) -> Result<()> {
        let classes = state.chunks_exact(4);
        if !classes.remainder().is_empty() {
            let what = format!(
                "{} numbers, and {} has four a class: is it the state of another metric?",
                state.len(),
                self.config.class_name()
            );
            return Err(Error::argument("state", what));
        }
        let counts = |it: &[f64]| Counts {
            true_positives: it[0],
            false_positives: it[1],
            false_negatives: it[2],
            targets: it[3],
        };
        self.classes = classes.map(counts).collect();
        Ok(())
    }
}

//! `R2Score` (`keras/src/metrics/regression_metrics.py`).

use super::metric::{Config, Direction, Fits, Metric, Named, arguments, check_batch, names, same_shape};
use super::scores::Scores;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the scores of the outputs become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassAggregation {
    /// Their mean.
    UniformAverage,
    /// Their mean, weighted by the targets' variances.
    VarianceWeightedAverage,
}

arguments! {
    /// The share of the targets' variance that the output explains. Keras takes it of (batch, outputs) alone; here
    /// positions of a sequence count one by one. It does not heed masks.
    R2Score = "r2_score" {
        /// How the scores of the outputs become one; each one's own where this is null.
        class_aggregation: Option<ClassAggregation> = Some(ClassAggregation::UniformAverage),
        /// How many independent regressors there are, for the adjusted score; 0 for the plain one.
        num_regressors: u32 = 0,
    }
}

impl Config for R2Score {
    names!();

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        same_shape(Self::CLASS, width, target_width)
    }

    fn build(&self) -> Box<dyn Metric> {
        Box::new(Gatherer { config: self.clone(), samples: 0.0, outputs: vec![] })
    }

    fn direction(&self) -> Option<Direction> {
        Some(Direction::Up)
    }

    fn heeds_mask(&self) -> bool {
        false
    }
}

/// Weighted sums of one output.
#[derive(Clone, Copy, Default)]
struct Sums {
    squares: f64,
    targets: f64,
    residuals: f64,
    weights: f64,
}

struct Gatherer {
    config: R2Score,
    /// Targets seen, of all outputs together.
    samples: f64,
    outputs: Vec<Sums>,
}

impl Metric for Gatherer {
    fn update(&mut self, batch: &Scores) -> Result<()> {
        check_batch(&self.config, batch)?;
        if self.outputs.is_empty() {
            self.outputs = vec![Sums::default(); batch.width];
        }
        if self.outputs.len() != batch.width {
            let what = format!("{} outputs after batches of {}", batch.width, self.outputs.len());
            return Err(Error::argument(format!("metric {}", self.config.name()), what));
        }
        for (output, target, weight) in batch.rows(batch.probabilities()?) {
            for ((sums, &p), &t) in self.outputs.iter_mut().zip(output).zip(target) {
                let (p, t) = (f64::from(p), f64::from(t));
                sums.targets += weight * t;
                sums.squares += t * (weight * t);
                sums.residuals += (t - p) * (t - p) * weight;
                sums.weights += weight;
            }
        }
        self.samples += batch.targets.len() as f64;
        Ok(())
    }

    fn result(&self) -> Vec<f64> {
        let of_output = |sums: &Sums| {
            let total = sums.squares - sums.targets * (sums.targets / sums.weights);
            let score = 1.0 - sums.residuals / total;
            (total, if score.is_infinite() { 0.0 } else { score })
        };
        let scores = self.outputs.iter().map(of_output);
        let mut shown: Vec<f64> = match self.config.class_aggregation {
            None => scores.map(|(_, score)| score).collect(),
            Some(ClassAggregation::UniformAverage) => {
                vec![scores.map(|(_, score)| score).sum::<f64>() / self.outputs.len() as f64]
            }
            Some(ClassAggregation::VarianceWeightedAverage) => {
                let (weighted, all) = scores.fold((0.0, 0.0), |(weighted, all), (total, score)| {
                    (weighted + total * score, all + total)
                });
                vec![weighted / all]
            }
        };
        // Where there are too few samples for the adjusted score, Keras warns and shows the plain one.
        let regressors = f64::from(self.config.num_regressors);
        if regressors != 0.0 && regressors < self.samples - 1.0 {
            for score in &mut shown {
                *score = 1.0 - (1.0 - *score) * (self.samples - 1.0) / (self.samples - regressors - 1.0);
            }
        }
        shown
    }

    fn reset(&mut self) {
        self.samples = 0.0;
        self.outputs.clear();
    }

    fn state(&self) -> Vec<f64> {
        let sums = self.outputs.iter().flat_map(|it| [it.squares, it.targets, it.residuals, it.weights]);
        std::iter::once(self.samples).chain(sums).collect()
    }

    fn load_state(&mut self, state: &[f64]) -> Result<()> {
        match state {
            [samples, sums @ ..] if sums.len() % 4 == 0 => {
                self.samples = *samples;
                let sums = sums.chunks_exact(4);
                self.outputs = sums
                    .map(|it| Sums { squares: it[0], targets: it[1], residuals: it[2], weights: it[3] })
                    .collect();
                Ok(())
            }
            _ => {
                let what =
                    format!("{} numbers: is it the state of another metric than R2Score?", state.len());
                Err(Error::argument("state", what))
            }
        }
    }
}

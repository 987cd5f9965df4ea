//! Metrics that are a mean over positions, as Keras's `MeanMetricWrapper` takes it.

use super::metric::{Config, Direction, Fits, Metric, Named, check_batch, divide, names, state_of};
use super::scores::Scores;
use crate::Result;

/// A metric that is the weighted mean of a value a position.
pub trait Mean: Named + Clone + std::fmt::Debug + Send + 'static {
    /// Which way it gets better.
    const DIRECTION: Direction;

    /// As [`Config::check`].
    ///
    /// # Errors
    /// The argument that makes no sense.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// As [`Config::fits`].
    ///
    /// # Errors
    /// One sentence that says why not.
    fn fits(&self, width: usize, target_width: usize) -> Fits;

    /// The batch's sums; its lengths are right and its widths fit.
    ///
    /// # Errors
    /// Targets that the metric cannot do with.
    fn sums(&self, batch: &Scores) -> Result<Sums>;

    /// What is shown of the mean.
    fn shown(mean: f64) -> f64 {
        mean
    }

    /// As [`Config::heeds_mask`].
    const HEEDS_MASK: bool = true;
}

/// Sums over positions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Of weight × value.
    pub total: f64,
    /// Of the weights.
    pub count: f64,
}

impl Sums {
    /// The sums of `value(output, target)` over the positions of `batch`, whose output is `outputs`.
    pub(super) fn of(batch: &Scores, outputs: &[f32], value: impl Fn(&[f32], &[f32]) -> f64) -> Self {
        let mut sums = Self::default();
        match batch.weights {
            None => {
                sums.total = batch.rows(outputs).map(|(output, target, _)| value(output, target)).sum();
                sums.count = batch.positions() as f64;
            }
            Some(_) => {
                for (output, target, weight) in batch.rows(outputs) {
                    sums.total += weight * value(output, target);
                    sums.count += weight;
                }
            }
        }
        sums
    }

    pub(super) fn mean(self) -> f64 {
        divide(self.total, self.count)
    }

    pub(super) fn state(self) -> Vec<f64> {
        vec![self.total, self.count]
    }

    pub(super) fn from_state(class: &str, state: &[f64]) -> Result<Self> {
        let state = state_of(class, state, 2)?;
        Ok(Self { total: state[0], count: state[1] })
    }

    /// The same where the value is the mean over the last axis of `value(output, target)`.
    pub(super) fn of_elements(batch: &Scores, outputs: &[f32], value: impl Fn(f32, f32) -> f64) -> Self {
        Self::of(batch, outputs, |output, target| {
            let sum: f64 = output.iter().zip(target).map(|(&p, &t)| value(p, t)).sum();
            sum / output.len() as f64
        })
    }
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.count += other.count;
    }
}

/// Gathers a [`Mean`].
struct Gatherer<M> {
    metric: M,
    sums: Sums,
}

impl<M: Mean> Metric for Gatherer<M> {
    fn update(&mut self, batch: &Scores) -> Result<()> {
        check_batch(&self.metric, batch)?;
        self.sums += self.metric.sums(batch)?;
        Ok(())
    }

    fn result(&self) -> Vec<f64> {
        vec![M::shown(self.sums.mean())]
    }

    fn reset(&mut self) {
        self.sums = Sums::default();
    }

    fn state(&self) -> Vec<f64> {
        self.sums.state()
    }

    fn load_state(&mut self, state: &[f64]) -> Result<()> {
        self.sums = Sums::from_state(M::CLASS, state)?;
        Ok(())
    }
}

impl<M: Mean> Config for M {
    names!();

    fn check(&self) -> Result<()> {
        Mean::check(self)
    }

    fn fits(&self, width: usize, target_width: usize) -> Fits {
        Mean::fits(self, width, target_width)
    }

    fn build(&self) -> Box<dyn Metric> {
        Box::new(Gatherer { metric: self.clone(), sums: Sums::default() })
    }

    fn direction(&self) -> Option<Direction> {
        Some(M::DIRECTION)
    }

    fn heeds_mask(&self) -> bool {
        M::HEEDS_MASK
    }
}

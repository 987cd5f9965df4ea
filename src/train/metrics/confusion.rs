//! Counts of true and false, positive and negative, over thresholds (`keras/src/metrics/metrics_utils.py`).

use super::metric::{divide, state_of};
use super::scores::Scores;
use crate::layers::Activation;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// One threshold or several; outputs above it are positive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Thresholds {
    /// One: the figure is a number.
    One(f64),
    /// Several: the figures are as many.
    Several(Vec<f64>),
}

/// What stands for no threshold where only the `top_k` outputs are left.
const LOWEST: f32 = -1e10;

/// Thresholds as outputs are held against them.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    levels: Vec<f32>,
    /// Whether they stand evenly from 0 to 1, so that an output's place among them can be computed. Outputs beyond 0 and 1
    /// are then taken for those.
    even: bool,
    /// Whether the first stands below 0.
    from_below: bool,
}

impl Levels {
    /// Those that an argument `thresholds` gives.
    pub(super) fn of(thresholds: &Option<Thresholds>, top_k: Option<usize>) -> Self {
        let levels: Vec<f64> = match (thresholds, top_k) {
            (Some(Thresholds::One(level)), _) => vec![*level],
            (Some(Thresholds::Several(levels)), _) => levels.clone(),
            (None, None) => vec![0.5],
            (None, Some(_)) => vec![f64::from(LOWEST)],
        };
        let even = are_even(&levels);
        Self { levels: levels.iter().map(|&level| level as f32).collect(), even, from_below: false }
    }

    /// `count` evenly from 0 to 1; one is 0.5.
    pub(super) fn even(count: usize) -> Self {
        match count {
            0 | 1 => Self { levels: vec![0.5], even: false, from_below: false },
            _ => {
                let level = |i: usize| (i as f64 / (count - 1) as f64) as f32;
                Self { levels: (0..count).map(level).collect(), even: true, from_below: false }
            }
        }
    }

    /// Those given, in their order, between one below 0 and one above 1.
    pub(super) fn between(mut given: Vec<f64>) -> Self {
        given.sort_by(f64::total_cmp);
        let even = are_even(&[&[0.0], &given[..], &[1.0]].concat());
        let all = [&[-1e-7], &given[..], &[1.0 + 1e-7]].concat();
        Self { levels: all.iter().map(|&level| level as f32).collect(), even, from_below: true }
    }

    pub(super) fn len(&self) -> usize {
        self.levels.len()
    }
}

/// As `is_evenly_distributed_thresholds` has it.
fn are_even(levels: &[f64]) -> bool {
    let even = |i: usize| f64::from(i as f32 / (levels.len() - 1) as f32);
    levels.len() >= 3
        && levels.iter().enumerate().all(|(i, level)| (level - even(i)).abs() <= 1e-7 + 1e-5 * even(i).abs())
}

/// Checks an argument `thresholds`.
pub(super) fn check_thresholds(class: &str, thresholds: &Option<Thresholds>) -> Result<()> {
    let levels = match thresholds {
        None => return Ok(()),
        Some(Thresholds::One(level)) => std::slice::from_ref(level),
        Some(Thresholds::Several(levels)) => levels,
    };
    let wrong = levels.iter().find(|level| !(0.0..=1.0).contains(*level));
    let what = match wrong {
        Some(level) => format!("threshold {level}: thresholds must be from 0 to 1"),
        None if levels.is_empty() => "thresholds are empty: at least one is needed".to_string(),
        None => return Ok(()),
    };
    Err(Error::argument(format!("metric {class}"), what))
}

/// Which elements of an output are counted, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    /// Only this class.
    pub class_id: Option<usize>,
    /// Only so many of the greatest of each position can be positive; of those that tie, the first.
    pub top_k: Option<usize>,
    /// Each class of an output counted by itself.
    pub by_class: bool,
    /// A weight a class.
    pub class_weights: Option<Vec<f32>>,
    /// Whether sigmoid comes first.
    pub from_logits: bool,
}

/// Counts, thresholds × classes that are counted by themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub true_positives: Vec<f64>,
    pub false_positives: Vec<f64>,
    pub true_negatives: Vec<f64>,
    pub false_negatives: Vec<f64>,
    /// How many classes are counted by themselves; 0 before the first batch.
    pub classes: usize,
}

impl Counts {
    pub(crate) fn sized(levels: usize, classes: usize) -> Self {
        let zeros = vec![0.0; levels * classes];
        Self {
            true_positives: zeros.clone(),
            false_positives: zeros.clone(),
            true_negatives: zeros.clone(),
            false_negatives: zeros,
            classes,
        }
    }

    /// Counts a batch, whose lengths are right and whose widths are the same.
    pub(super) fn add(&mut self, batch: &Scores, levels: &Levels, selection: &Selection) -> Result<()> {
        let classes = if selection.by_class { batch.width } else { 1 };
        if self.classes == 0 {
            *self = Self::sized(levels.len(), classes);
        }
        if self.classes != classes {
            let what = format!("{classes} classes after batches of {}", self.classes);
            return Err(Error::argument("values", what));
        }
        // A sigmoid is above 0.5 where its logit is above 0.
        let is_plain = selection.top_k.is_none() && !selection.from_logits && !levels.even;
        if batch.activation == Some(Activation::Sigmoid) && levels.levels == [0.5] && is_plain {
            return self.count(
                batch,
                batch.values,
                &Levels { levels: vec![0.0], ..levels.clone() },
                selection,
            );
        }
        let mut outputs = std::borrow::Cow::Borrowed(batch.probabilities()?);
        if selection.from_logits {
            outputs.to_mut().iter_mut().for_each(|it| *it = super::scores::sigmoid(*it));
        }
        if let Some(k) = selection.top_k {
            outputs.to_mut().chunks_exact_mut(batch.width).for_each(|row| keep_greatest(row, k));
        }
        self.count(batch, &outputs, levels, selection)
    }

    fn count(
        &mut self,
        batch: &Scores,
        outputs: &[f32],
        levels: &Levels,
        selection: &Selection,
    ) -> Result<()> {
        // What is above so many levels: of positive and of negative targets.
        let above = levels.len() + 1;
        let mut sums = vec![(0.0, 0.0); above * self.classes];
        let counted = match selection.class_id {
            Some(class) => class..class + 1,
            None => 0..batch.width,
        };
        let weights = selection.class_weights.as_deref();
        let levels_in_order = levels.levels.is_sorted();
        for (output, target, weight) in batch.rows(outputs) {
            for class in counted.clone() {
                let own = weights.and_then(|weights| weights.get(class)).map_or(1.0, |&it| f64::from(it));
                let (p, is_positive, weight) = (output[class], target[class] != 0.0, weight * own);
                let column = if selection.by_class { class } else { 0 };
                if levels.even || levels_in_order {
                    let sum = &mut sums[levels.passed(p) * self.classes + column];
                    *(if is_positive { &mut sum.0 } else { &mut sum.1 }) += weight;
                    continue;
                }
                for (i, &level) in levels.levels.iter().enumerate() {
                    let counts = match (is_positive, p > level) {
                        (true, true) => &mut self.true_positives,
                        (true, false) => &mut self.false_negatives,
                        (false, true) => &mut self.false_positives,
                        (false, false) => &mut self.true_negatives,
                    };
                    counts[i * self.classes + column] += weight;
                }
            }
        }
        if levels.even || levels_in_order {
            self.accumulate(&sums, levels.len());
        }
        Ok(())
    }

    /// `sums` of what is above exactly so many levels become counts of what is above each.
    fn accumulate(&mut self, sums: &[(f64, f64)], levels: usize) {
        for column in 0..self.classes {
            let at = |i: usize| sums[i * self.classes + column];
            // From both ends, so that no count is a difference.
            let mut above = (0.0, 0.0);
            for i in (0..levels).rev() {
                let (positive, negative) = at(i + 1);
                above = (above.0 + positive, above.1 + negative);
                self.true_positives[i * self.classes + column] += above.0;
                self.false_positives[i * self.classes + column] += above.1;
            }
            let mut below = (0.0, 0.0);
            for i in 0..levels {
                let (positive, negative) = at(i);
                below = (below.0 + positive, below.1 + negative);
                self.false_negatives[i * self.classes + column] += below.0;
                self.true_negatives[i * self.classes + column] += below.1;
            }
        }
    }

    /// The share of positive outputs that are right.
    pub(crate) fn precisions(&self) -> Vec<f64> {
        shares(&self.true_positives, &self.false_positives)
    }

    /// The share of positive targets that are found.
    pub(crate) fn recalls(&self) -> Vec<f64> {
        shares(&self.true_positives, &self.false_negatives)
    }

    /// The share of negative targets that are found.
    pub(super) fn specificities(&self) -> Vec<f64> {
        shares(&self.true_negatives, &self.false_positives)
    }

    /// The share of negative targets that are missed.
    pub(super) fn false_positive_rates(&self) -> Vec<f64> {
        shares(&self.false_positives, &self.true_negatives)
    }

    /// The counts of one of the classes that are counted by themselves.
    pub(super) fn column(&self, class: usize) -> Self {
        let part = |all: &[f64]| all.iter().copied().skip(class).step_by(self.classes.max(1)).collect();
        Self {
            true_positives: part(&self.true_positives),
            false_positives: part(&self.false_positives),
            true_negatives: part(&self.true_negatives),
            false_negatives: part(&self.false_negatives),
            classes: 1,
        }
    }

    pub(super) fn state(&self) -> Vec<f64> {
        let all = [&self.true_positives, &self.false_positives, &self.true_negatives, &self.false_negatives];
        all.into_iter().flatten().copied().collect()
    }

    /// `classes` are those counted by themselves, where that is known.
    pub(super) fn from_state(class: &str, state: &[f64], levels: usize, by_class: bool) -> Result<Self> {
        if state.is_empty() {
            return Ok(Self::default());
        }
        let classes = if by_class { (state.len() / (4 * levels.max(1))).max(1) } else { 1 };
        let size = levels * classes;
        let state = state_of(class, state, 4 * size)?;
        let part = |i: usize| state[i * size..][..size].to_vec();
        Ok(Self {
            true_positives: part(0),
            false_positives: part(1),
            true_negatives: part(2),
            false_negatives: part(3),
            classes,
        })
    }
}

impl Levels {
    /// How many levels, from the first, an output is above. NaN is above none.
    fn passed(&self, output: f32) -> usize {
        if !self.even {
            return self.levels.partition_point(|&level| output > level);
        }
        // In float and by a product, as TensorFlow does it: level i is passed where output × (levels - 1) > i.
        let place = (output.clamp(0.0, 1.0) * (self.levels.len() - 1) as f32).ceil();
        // The cast makes 0 of NaN and of what is below.
        let place = place as usize;
        if self.from_below && !output.is_nan() { place.max(1) } else { place }
    }
}

/// a / (a + b), 0 where both are.
fn shares(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(&a, &b)| divide(a, a + b)).collect()
}

/// All but the `k` greatest become the lowest.
fn keep_greatest(row: &mut [f32], k: usize) {
    let mut order: Vec<usize> = (0..row.len()).collect();
    // Stable: of those that tie the first come first. The sum makes one zero of two.
    order.sort_by(|&a, &b| (row[b] + 0.0).total_cmp(&(row[a] + 0.0)));
    for &i in order.iter().skip(k) {
        row[i] = LOWEST;
    }
}

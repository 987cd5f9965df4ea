//! Classes by their rank in an output.

use super::scores::Scores;
use crate::layers::Activation;
use crate::{Error, Result};

/// The first of the greatest.
pub(crate) fn argmax(row: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, &value) in row.iter().enumerate() {
        if value > best.1 {
            best = (i, value);
        }
    }
    best.0
}

/// Below this distance from the greatest logit a softmax may be 0, where classes tie.
const UNDERFLOW: f32 = 80.0;

/// Whether each class asked for is among the `k` likeliest of its position, as `tf.math.in_top_k` says: fewer than `k` are
/// likelier, so that all that tie on the last place are in; a class that there is not, or an output that is no number, is
/// not.
pub(super) struct TopK<'a> {
    outputs: &'a [f32],
    /// Whether `outputs` are logits of a softmax.
    softmax: bool,
    k: usize,
}

impl<'a> TopK<'a> {
    pub(super) fn new(batch: &'a Scores, k: usize) -> Result<Self> {
        let softmax = batch.activation == Some(Activation::Softmax);
        Ok(Self { outputs: batch.ranked()?, softmax, k })
    }

    pub(super) fn outputs(&self) -> &'a [f32] {
        self.outputs
    }

    /// Whether `class` is in at the position with these `outputs`.
    pub(super) fn holds(&self, outputs: &[f32], class: Option<usize>) -> bool {
        let Some(&own) = class.and_then(|class| outputs.get(class)) else { return false };
        if !own.is_finite() || outputs.iter().any(|it| !it.is_finite()) {
            return false;
        }
        let mut likelier = 0;
        let mut greatest = own;
        for &other in outputs {
            likelier += usize::from(other > own);
            greatest = if other > greatest { other } else { greatest };
        }
        if likelier >= self.k && self.softmax && greatest - own > UNDERFLOW {
            let row = Scores::new(outputs, outputs.len(), &[], 0).with_activation(Some(Activation::Softmax));
            return match (row.probabilities(), class) {
                (Ok(probabilities), Some(class)) => {
                    probabilities.iter().filter(|&&it| it > probabilities[class]).count() < self.k
                }
                _ => false,
            };
        }
        likelier < self.k
    }
}

/// The class that a target is the number of; its fraction is cut off, as in a cast to an integer.
pub(super) fn class_of(target: &[f32]) -> Option<usize> {
    target.first().filter(|&&class| class > -1.0).map(|&class| class as usize)
}

/// That there is a place to be among.
pub(super) fn check_k(class: &str, k: usize) -> Result<()> {
    match k {
        0 => Err(Error::argument(format!("metric {class}"), "k is 0: it must be at least 1")),
        _ => Ok(()),
    }
}

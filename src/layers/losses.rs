//! What a pass adds to the loss, beside the loss of the outputs.

use super::regularizer::Regularizer;
use super::strand::Strand;
use candle_core::{Result, Tensor};
use std::sync::{Mutex, PoisonError};

/// What layers add to the loss of a pass, beside that of the outputs.
#[derive(Debug, Default)]
pub struct Losses(Mutex<Vec<Tensor>>);

impl Losses {
    /// Adds a scalar.
    pub fn add(&self, loss: Tensor) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(loss);
    }

    /// The sum of all, in the order they were added; none where there are none.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn total(&self) -> Result<Option<Tensor>> {
        let losses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut losses = losses.iter();
        let Some(first) = losses.next().cloned() else { return Ok(None) };
        losses.try_fold(first, |sum, loss| sum + loss).map(Some)
    }
}

/// What `outputs` add to the loss: each its penalty divided by the number of samples.
pub(in crate::layers) fn add_activity(
    regularizer: Regularizer,
    outputs: &[Strand],
    losses: &Losses,
) -> Result<()> {
    for output in outputs {
        let penalty = regularizer.penalty_of(output)?;
        losses.add((penalty / output.tensor().dim(0)?.max(1) as f64)?);
    }
    Ok(())
}

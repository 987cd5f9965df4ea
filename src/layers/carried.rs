//! The states that a stateful layer carries from batch to batch.

use candle_core::Tensor;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The states after the last batch, without its graph; a clone of the layer has its own from then on.
#[derive(Debug, Default)]
pub struct Carried(Mutex<Option<Vec<Tensor>>>);

impl Clone for Carried {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.get()))
    }
}

impl Carried {
    fn lock(&self) -> MutexGuard<'_, Option<Vec<Tensor>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The states, if there was a batch.
    pub fn get(&self) -> Option<Vec<Tensor>> {
        self.lock().clone()
    }

    /// Keeps the states after a batch.
    pub fn keep(&self, states: &[Tensor]) {
        *self.lock() = Some(states.iter().map(Tensor::detach).collect());
    }

    /// Goes on from states, or from none.
    pub fn set(&self, states: Option<Vec<Tensor>>) {
        *self.lock() = states;
    }

    /// Forgets them.
    pub fn forget(&self) {
        *self.lock() = None;
    }
}

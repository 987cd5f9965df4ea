//! Optimisers, one file each.

mod rmsprop;

pub use rmsprop::{RmsProp, RmsPropConfig};

use crate::Result;
use candle_core::{Var, backprop::GradStore};

/// What [`fit`](super::fit) trains with.
pub trait Optimizer {
    /// The variables that it trains, by full name.
    fn variables(&self) -> &[(String, Var)];

    /// One step: every variable that has a gradient in `grads` is changed in place.
    ///
    /// # Errors
    /// Options out of range, or gradients that do not fit the variables.
    fn step(&mut self, grads: &GradStore) -> Result<()>;
}

//! What a schedule is.

use crate::Result;

/// A class of schedules.
pub(super) trait Rule {
    /// Checks every option's range.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) with the option's name.
    fn check(&self) -> Result<()>;

    /// The rate after so many steps, computed in f32 as Keras does.
    fn rate(&self, step: u64) -> f32;
}

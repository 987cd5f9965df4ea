//! Callbacks as decisions: pure functions of the history, with Keras's rules and arguments. [`fit`](super::fit) carries
//! them out.

mod early_stopping;
mod model_checkpoint;
mod monitor;
mod reduce_lr_on_plateau;

pub use early_stopping::EarlyStopping;
pub use model_checkpoint::ModelCheckpoint;
pub use monitor::{KnownFigure, Mode as MonitorMode};
pub use reduce_lr_on_plateau::ReduceLROnPlateau;

use super::history::Epoch;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The figure in which an epoch says what its learning rate was.
pub const LEARNING_RATE: &str = "learning_rate";

/// What a callback makes of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Whether training is to end.
    pub stop: bool,
    /// The epoch, counted from 1, whose weights come back at the end of the run.
    pub restores: Option<usize>,
    /// Whether the last epoch is to be kept.
    pub saves: bool,
    /// The learning rate from here on.
    pub learning_rate: Option<f64>,
}

/// A rule of Keras's that looks at the figures of the epochs so far.
pub trait Callback {
    /// Checks the arguments' ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] with the argument's name.
    fn check(&self) -> Result<()>;

    /// Settles which way the figure watched is better, by the figures that an epoch will have.
    ///
    /// # Errors
    /// A figure that no epoch will have; a metric that does not say which way is better.
    fn settle(&mut self, known: &[KnownFigure]) -> Result<()>;

    /// Judges the run after the last epoch of `epochs`.
    fn judge(&self, epochs: &[Epoch]) -> Verdict;

    /// Whether it sets the learning rate, so that epochs are to say what theirs was.
    fn changes_learning_rate(&self) -> bool {
        false
    }
}

macro_rules! callbacks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A callback as data: `{"class_name": "EarlyStopping", "config": {"patience": 3}}`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "class_name", content = "config")]
        #[non_exhaustive]
        pub enum CallbackConfig { $($(#[$doc])* $name($name),)* }

        $(impl From<$name> for CallbackConfig {
            fn from(callback: $name) -> Self {
                Self::$name(callback)
            }
        })*

        impl CallbackConfig {
            fn callback(&self) -> &dyn Callback {
                match self { $(Self::$name(callback) => callback,)* }
            }

            /// The figure that it watches, and which way that is better.
            pub fn watched(&mut self) -> (&mut String, &mut MonitorMode) {
                match self { $(Self::$name(callback) => (&mut callback.monitor, &mut callback.mode),)* }
            }

            fn callback_mut(&mut self) -> &mut dyn Callback {
                match self { $(Self::$name(callback) => callback,)* }
            }
        }
    };
}

callbacks! {
    /// Ends a run that no longer improves.
    EarlyStopping,
    /// Keeps the epochs that are worth it.
    ModelCheckpoint,
    /// Reduces the learning rate where a figure stands still.
    ReduceLROnPlateau,
}

impl Callback for CallbackConfig {
    fn check(&self) -> Result<()> {
        self.callback().check()
    }

    fn settle(&mut self, known: &[KnownFigure]) -> Result<()> {
        self.callback_mut().settle(known)
    }

    fn judge(&self, epochs: &[Epoch]) -> Verdict {
        self.callback().judge(epochs)
    }

    fn changes_learning_rate(&self) -> bool {
        self.callback().changes_learning_rate()
    }
}

/// Refuses a patience that is surely a mistake.
fn check_patience(patience: usize) -> Result<()> {
    match u32::try_from(patience) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::argument("patience", format!("{patience}, expected at most {}", u32::MAX))),
    }
}

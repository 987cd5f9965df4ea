//! Which epochs are worth keeping (`keras/src/callbacks/model_checkpoint.py`).

use super::monitor::{KnownFigure, Mode, Monitor, settle};
use super::{Callback, Verdict};
use crate::train::history::Epoch;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Decides which epochs are worth keeping. The default, as in Keras, keeps every one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelCheckpoint {
    /// The figure watched; `val_loss`.
    pub monitor: String,
    /// Which way it is better.
    #[serde(skip_serializing_if = "Mode::is_auto")]
    pub mode: Mode,
    /// Whether to keep an epoch only if its figure is better than every one before.
    pub save_best_only: bool,
    /// An epoch is kept only if it beats this too; needs `save_best_only`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_value_threshold: Option<f64>,
}

impl Default for ModelCheckpoint {
    fn default() -> Self {
        Self {
            monitor: "val_loss".into(),
            mode: Mode::Auto,
            save_best_only: false,
            initial_value_threshold: None,
        }
    }
}

impl ModelCheckpoint {
    /// Keeps an epoch only where its validation loss is better than every one before.
    pub fn best() -> Self {
        Self { save_best_only: true, ..Self::default() }
    }
}

impl Callback for ModelCheckpoint {
    fn check(&self) -> Result<()> {
        match self.initial_value_threshold {
            Some(value) if !value.is_finite() => {
                Err(Error::argument("initial_value_threshold", "this must be a finite number"))
            }
            _ => Ok(()),
        }
    }

    fn settle(&mut self, known: &[KnownFigure]) -> Result<()> {
        if self.save_best_only {
            self.mode = settle(&self.monitor, self.mode, known)?;
        }
        Ok(())
    }

    fn judge(&self, epochs: &[Epoch]) -> Verdict {
        let monitor = Monitor::new(&self.monitor, self.mode);
        let Some(last) = epochs.last() else { return Verdict::default() };
        let best =
            monitor.best(epochs).filter(|best| match (self.initial_value_threshold, monitor.value(best)) {
                (Some(threshold), Some(value)) => monitor.improves(value, threshold, 0.0),
                _ => true,
            });
        let saves = !self.save_best_only || best.is_some_and(|best| best.epoch == last.epoch);
        Verdict { saves, ..Verdict::default() }
    }
}

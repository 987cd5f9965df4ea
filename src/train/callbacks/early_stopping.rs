//! Stopping a run that no longer improves (`keras/src/callbacks/early_stopping.py`).

use super::monitor::{KnownFigure, Mode, Monitor, settle};
use super::{Callback, Verdict, check_patience};
use crate::train::history::Epoch;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Stops a run that no longer improves. The defaults are Keras's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopping {
    /// The figure watched; `val_loss`.
    pub monitor: String,
    /// Which way it is better.
    #[serde(skip_serializing_if = "Mode::is_auto")]
    pub mode: Mode,
    /// Stop after this many epochs in a row without improvement (0 is the same as 1).
    pub patience: usize,
    /// An improvement must be greater than this.
    pub min_delta: f64,
    /// The wait begins anew only where a value also beats this one.
    pub baseline: Option<f64>,
    /// Epochs at the start that are not watched at all.
    pub start_from_epoch: usize,
    /// Whether the best epoch's weights return at the end of the run, however it ended.
    pub restore_best_weights: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self {
            monitor: "val_loss".into(),
            mode: Mode::Auto,
            patience: 0,
            min_delta: 0.0,
            baseline: None,
            start_from_epoch: 0,
            restore_best_weights: false,
        }
    }
}

impl EarlyStopping {
    /// Stops after so many epochs in a row without a better validation loss, and brings the best weights back.
    pub fn patience(patience: usize) -> Self {
        Self { patience, restore_best_weights: true, ..Self::default() }
    }
}

impl Callback for EarlyStopping {
    fn check(&self) -> Result<()> {
        check_patience(self.patience)?;
        for (name, value) in [("min_delta", Some(self.min_delta)), ("baseline", self.baseline)] {
            if value.is_some_and(|value| !value.is_finite()) {
                return Err(Error::argument(name, "this must be a finite number"));
            }
        }
        Ok(())
    }

    fn settle(&mut self, known: &[KnownFigure]) -> Result<()> {
        self.mode = settle(&self.monitor, self.mode, known)?;
        Ok(())
    }

    /// A value that is not a number never counts as improvement.
    fn judge(&self, epochs: &[Epoch]) -> Verdict {
        let monitor = Monitor::new(&self.monitor, self.mode);
        let (mut best, mut best_epoch, mut wait, mut stop) = (None, None, 0, false);
        for (index, epoch) in epochs.iter().enumerate().skip(self.start_from_epoch) {
            let Some(value) = monitor.value(epoch) else { continue };
            let improves = |reference: Option<f64>| match reference {
                Some(reference) => monitor.improves(value, reference, self.min_delta),
                None => !value.is_nan(),
            };
            wait += 1;
            if improves(best) {
                (best, best_epoch) = (Some(value), Some(epoch.epoch));
                if improves(self.baseline) {
                    wait = 0;
                }
            } else if wait >= self.patience && index > 0 {
                stop = true;
                break;
            }
        }
        let restores = best_epoch.filter(|_| self.restore_best_weights);
        Verdict { stop, restores, ..Verdict::default() }
    }
}

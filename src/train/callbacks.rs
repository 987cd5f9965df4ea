//! Callbacks as decisions: pure functions of the history, with Keras's rules
//! (`keras/src/callbacks/{monitor_callback,early_stopping,model_checkpoint}.py`). `fit` carries them out.

use super::history::Epoch;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The figure that a callback watches: a loss is better lower, an accuracy higher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// Training loss.
    Loss,
    /// Training accuracy.
    Accuracy,
    /// Validation loss, Keras's default.
    #[default]
    ValLoss,
    /// Validation accuracy.
    ValAccuracy,
}

impl Monitor {
    /// The watched figure of an epoch.
    pub fn value(self, epoch: &Epoch) -> f64 {
        match self {
            Self::Loss => epoch.loss,
            Self::Accuracy => epoch.accuracy,
            Self::ValLoss => epoch.val_loss,
            Self::ValAccuracy => epoch.val_accuracy,
        }
    }

    /// Whether `value` is better than `reference` by more than `min_delta` (whose sign does not matter).
    pub fn improves(self, value: f64, reference: f64, min_delta: f64) -> bool {
        match self {
            Self::Loss | Self::ValLoss => value + min_delta.abs() < reference,
            Self::Accuracy | Self::ValAccuracy => value - min_delta.abs() > reference,
        }
    }

    /// The epoch of the best value, the earliest of equals.
    pub fn best(self, epochs: &[Epoch]) -> Option<&Epoch> {
        let finite = epochs.iter().filter(|epoch| self.value(epoch).is_finite());
        finite.reduce(|best, epoch| match self.improves(self.value(epoch), self.value(best), 0.0) {
            true => epoch,
            false => best,
        })
    }
}

/// Stops a run that no longer improves. The defaults are Keras's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopping {
    /// The figure watched.
    pub monitor: Monitor,
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

/// What [`EarlyStopping`] makes of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The best watched epoch so far, counted from 1.
    pub best_epoch: Option<usize>,
    /// Epochs since the wait began.
    pub wait: usize,
    /// Whether training is to end.
    pub stop: bool,
}

impl EarlyStopping {
    /// Stops after so many epochs in a row without a better validation loss, and brings the best weights back.
    pub fn patience(patience: usize) -> Self {
        Self { patience, restore_best_weights: true, ..Self::default() }
    }

    /// Judges the run after the last epoch of `epochs`. A value that is not a number never counts as improvement.
    pub fn judge(&self, epochs: &[Epoch]) -> Verdict {
        let mut verdict = Verdict::default();
        let mut best = None;
        for (index, epoch) in epochs.iter().enumerate().skip(self.start_from_epoch) {
            let value = self.monitor.value(epoch);
            let improves = |reference: Option<f64>| match reference {
                Some(reference) => self.monitor.improves(value, reference, self.min_delta),
                None => !value.is_nan(),
            };
            verdict.wait += 1;
            if improves(best) {
                best = Some(value);
                verdict.best_epoch = Some(epoch.epoch);
                if improves(self.baseline) {
                    verdict.wait = 0;
                }
            } else if verdict.wait >= self.patience && index > 0 {
                verdict.stop = true;
                break;
            }
        }
        verdict
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// `min_delta` or `baseline` is not a finite number.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("min_delta", Some(self.min_delta)), ("baseline", self.baseline)] {
            if value.is_some_and(|value| !value.is_finite()) {
                return Err(Error::argument(name, "this must be a finite number"));
            }
        }
        Ok(())
    }
}

/// Decides which epochs are worth keeping. The default, as in Keras, keeps every one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelCheckpoint {
    /// The figure watched.
    pub monitor: Monitor,
    /// Whether to keep an epoch only if its figure is better than every one before.
    pub save_best_only: bool,
}

impl ModelCheckpoint {
    /// Whether the last epoch of `epochs` is to be kept.
    pub fn saves(&self, epochs: &[Epoch]) -> bool {
        let Some(last) = epochs.last() else { return false };
        !self.save_best_only || self.monitor.best(epochs).is_some_and(|best| best.epoch == last.epoch)
    }
}

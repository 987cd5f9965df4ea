//! A smaller learning rate where a figure stands still (`keras/src/callbacks/reduce_lr_on_plateau.py`).

use super::monitor::{KnownFigure, Mode, Monitor, settle};
use super::{Callback, LEARNING_RATE, Verdict, check_patience};
use crate::train::history::Epoch;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Multiplies the learning rate by `factor` where a figure has not improved for `patience` epochs. The defaults are Keras's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReduceLROnPlateau {
    /// The figure watched; `val_loss`.
    pub monitor: String,
    /// Which way it is better.
    #[serde(skip_serializing_if = "Mode::is_auto")]
    pub mode: Mode,
    /// What the rate is multiplied by, below 1; 0.1.
    pub factor: f64,
    /// Epochs without improvement before the rate is reduced; 10.
    pub patience: usize,
    /// An improvement must be greater than this; 1e-4.
    pub min_delta: f64,
    /// Epochs after a reduction that are not counted; 0.
    pub cooldown: usize,
    /// The rate goes no lower; 0.
    pub min_lr: f64,
}

impl Default for ReduceLROnPlateau {
    fn default() -> Self {
        Self {
            monitor: "val_loss".into(),
            mode: Mode::Auto,
            factor: 0.1,
            patience: 10,
            min_delta: 1e-4,
            cooldown: 0,
            min_lr: 0.0,
        }
    }
}

impl Callback for ReduceLROnPlateau {
    fn check(&self) -> Result<()> {
        check_patience(self.patience)?;
        if !(self.factor > 0.0 && self.factor < 1.0) {
            return Err(Error::argument(
                "factor",
                format!("{}, expected a number between 0 and 1", self.factor),
            ));
        }
        for (name, value) in [("min_delta", self.min_delta), ("min_lr", self.min_lr)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::argument(name, format!("{value}, expected a number of at least 0")));
            }
        }
        Ok(())
    }

    fn settle(&mut self, known: &[KnownFigure]) -> Result<()> {
        self.mode = settle(&self.monitor, self.mode, known)?;
        Ok(())
    }

    fn changes_learning_rate(&self) -> bool {
        true
    }

    /// The epochs' `learning_rate` is what it goes by.
    fn judge(&self, epochs: &[Epoch]) -> Verdict {
        let monitor = Monitor::new(&self.monitor, self.mode);
        let (mut best, mut wait, mut cooldown): (Option<f64>, usize, usize) = (None, 0, 0);
        let mut reduced = None;
        for epoch in epochs {
            reduced = None;
            let (Some(value), Some(rate)) = (monitor.value(epoch), epoch.get(LEARNING_RATE)) else {
                continue;
            };
            if cooldown > 0 {
                (cooldown, wait) = (cooldown - 1, 0);
            }
            if best.is_none_or(|best| monitor.improves(value, best, self.min_delta)) {
                (best, wait) = (Some(value), 0);
            } else if cooldown == 0 {
                wait += 1;
                // Keras compares in f32.
                if wait >= self.patience && rate > f64::from(self.min_lr as f32) {
                    reduced = Some((rate * self.factor).max(self.min_lr));
                    (cooldown, wait) = (self.cooldown, 0);
                }
            }
        }
        Verdict { learning_rate: reduced, ..Verdict::default() }
    }
}

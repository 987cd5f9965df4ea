//! Which figure a callback watches, and which way is better (`keras/src/callbacks/monitor_callback.py`).

use crate::train::history::{Epoch, best};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// What the figure's name and metric say.
    #[default]
    Auto,
    /// Lower is better.
    Min,
    /// Higher is better.
    Max,
}

impl Mode {
    /// Whether this is Keras's default, which is not written down.
    pub(super) fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// A figure of an epoch, and which way it is better.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Monitor<'a> {
    name: &'a str,
    /// Whether higher is better.
    highest: bool,
}

/// What is known of a figure that an epoch will have: its name, and whether higher is better (none where its metric does
/// not say).
pub type KnownFigure = (String, Option<bool>);

impl<'a> Monitor<'a> {
    /// A figure whose direction is settled: `Auto` is taken for that of a loss, or of what is called an accuracy.
    pub(super) fn new(name: &'a str, mode: Mode) -> Self {
        let highest = match mode {
            Mode::Min => false,
            Mode::Max => true,
            Mode::Auto => goes_up(name),
        };
        Self { name, highest }
    }

    pub(super) fn value(&self, epoch: &Epoch) -> Option<f64> {
        epoch.get(self.name)
    }

    /// Whether `value` is better than `reference` by more than `min_delta`, whose sign does not matter.
    pub(super) fn improves(&self, value: f64, reference: f64, min_delta: f64) -> bool {
        match self.highest {
            true => value - min_delta.abs() > reference,
            false => value + min_delta.abs() < reference,
        }
    }

    /// The epoch of the best value, the earliest of equals.
    pub(super) fn best<'e>(&self, epochs: &'e [Epoch]) -> Option<&'e Epoch> {
        best(epochs, self.name, self.highest)
    }
}

fn goes_up(name: &str) -> bool {
    let name = name.strip_prefix("val_").unwrap_or(name);
    name.ends_with("accuracy") || name.ends_with("acc")
}

/// Settles `mode` by what an epoch will have.
///
/// # Errors
/// A figure that no epoch will have, with the nearest one; a metric that does not say which way is better.
pub(super) fn settle(monitor: &str, mode: Mode, known: &[KnownFigure]) -> Result<Mode> {
    let Some((_, highest)) = known.iter().find(|(name, _)| name == monitor) else {
        let names = known.iter().map(|(name, _)| name.as_str());
        let hint = match crate::error::nearest(monitor, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("an epoch has {}", names.collect::<Vec<_>>().join(", ")),
        };
        let hint = match monitor.strip_prefix("val_") {
            Some(bare) if known.iter().any(|(name, _)| name == bare) => {
                format!("there is no validation data; watch `{bare}`, or give some")
            }
            _ => hint,
        };
        return Err(Error::argument("monitor", format!("no epoch has a figure `{monitor}`; {hint}")));
    };
    match (mode, highest) {
        (Mode::Auto, Some(true)) => Ok(Mode::Max),
        (Mode::Auto, Some(false)) => Ok(Mode::Min),
        (Mode::Auto, None) => {
            let what = format!("`{monitor}` does not say which way is better; give mode \"min\" or \"max\"");
            Err(Error::argument("monitor", what))
        }
        (mode, _) => Ok(mode),
    }
}

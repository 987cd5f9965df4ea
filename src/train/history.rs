//! The figures of a run, epoch by epoch, and their CSV file.

use crate::formats::read_text;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The figures of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Mean training loss, that of the moving weights with dropout on.
    pub loss: f64,
    /// Training accuracy, from 0 to 1, measured the same way.
    pub accuracy: f64,
    /// Loss on the validation data after the epoch.
    pub val_loss: f64,
    /// Accuracy on the validation data after the epoch.
    pub val_accuracy: f64,
    /// Seconds on the clock, validation included.
    pub seconds: f64,
}

/// The epochs of a run, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    /// One entry an epoch.
    pub epochs: Vec<Epoch>,
}

const COLUMNS: [&str; 6] = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"];

impl History {
    /// The epoch of the lowest `val_loss`, the earliest of equals.
    pub fn best(&self) -> Option<&Epoch> {
        super::Monitor::ValLoss.best(&self.epochs)
    }

    /// CSV with the header `epoch,loss,accuracy,val_loss,val_accuracy,seconds`; numbers are written such that they
    /// read back to the same bits.
    pub fn to_csv(&self) -> String {
        let mut text = COLUMNS.join(",");
        text.push('\n');
        for Epoch { epoch, loss, accuracy, val_loss, val_accuracy, seconds } in &self.epochs {
            text.push_str(&format!("{epoch},{loss},{accuracy},{val_loss},{val_accuracy},{seconds}\n"));
        }
        text
    }

    /// Reads what [`Self::to_csv`] wrote; `origin` is the path that errors name.
    ///
    /// # Errors
    /// [`Error::File`] with the line: a column that is missing or unknown, a value that is no finite number, an epoch
    /// that does not follow the one before.
    pub fn from_csv(text: &str, origin: &Path) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header =
            reader.headers().map_err(|error| Error::file(origin, &error).with_source(error))?.clone();
        if let Some(missing) = COLUMNS.iter().find(|column| !header.iter().any(|found| found == **column)) {
            let what = format!("no column {missing}: a history has the columns {}", COLUMNS.join(","));
            return Err(Error::file(origin, what));
        }
        let mut epochs: Vec<Epoch> = Vec::new();
        for record in reader.records() {
            let line = epochs.len() + 2;
            let record = record.map_err(|error| {
                let what = format!("line {line}: does not have as many figures as the first line has names");
                Error::file(origin, what).with_source(error)
            })?;
            let row: Epoch = record.deserialize(Some(&header)).map_err(|error| {
                let field = match error.kind() {
                    csv::ErrorKind::Deserialize { err, .. } => {
                        err.field().and_then(|at| usize::try_from(at).ok())
                    }
                    _ => None,
                };
                let what = match field.and_then(|at| Some((header.get(at)?, record.get(at)?))) {
                    Some((name, value)) => format!("line {line}: {name} is {value:?}, expected a number"),
                    None => format!("line {line}: {error}"),
                };
                Error::file(origin, what).with_source(error)
            })?;
            let figures = [row.loss, row.accuracy, row.val_loss, row.val_accuracy, row.seconds];
            if !figures.iter().all(|value| value.is_finite()) {
                return Err(Error::file(origin, format!("line {line}: a figure is not a finite number")));
            }
            let expected = epochs.last().map_or(1, |last| last.epoch + 1);
            if row.epoch != expected {
                let what = format!("line {line}: epoch {} where {expected} is due", row.epoch);
                return Err(Error::file(origin, what));
            }
            epochs.push(row);
        }
        Ok(Self { epochs })
    }

    /// Reads a history file.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, or as [`Self::from_csv`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_csv(&read_text(path)?, path)
    }
}

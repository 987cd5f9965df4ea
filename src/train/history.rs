//! The figures of a run, epoch by epoch, and their CSV file.

use crate::formats::read_text;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Figures by name, in the order in which they were given: `loss`, `accuracy`, `val_loss`, ….
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    from = "serde_json::Map<String, serde_json::Value>",
    into = "serde_json::Map<String, serde_json::Value>"
)]
pub struct Figures(Vec<(String, f64)>);

impl Figures {
    /// The figure of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    /// Sets a figure; a new one comes last.
    pub fn set(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// Every figure, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same figures under names with `prefix` before them.
    pub fn prefixed(&self, prefix: &str) -> Self {
        self.iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Figures {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(figures: I) -> Self {
        Self(figures.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl From<serde_json::Map<String, serde_json::Value>> for Figures {
    /// What is no number is left out.
    fn from(map: serde_json::Map<String, serde_json::Value>) -> Self {
        map.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect()
    }
}

impl From<Figures> for serde_json::Map<String, serde_json::Value> {
    fn from(figures: Figures) -> Self {
        // JSON has no number for NaN.
        let finite = figures.0.into_iter().filter(|(_, value)| value.is_finite());
        finite.map(|(name, value)| (name, value.into())).collect()
    }
}

/// The figures of one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// By Keras's names: `loss` and the metrics of training (those of the moving weights, with dropout on), then those of
    /// the validation after the epoch under `val_…`; `learning_rate` where a callback watches it.
    pub figures: Figures,
    /// Seconds on the clock, validation included.
    pub seconds: f64,
}

impl Epoch {
    /// An epoch with these figures.
    pub fn new(epoch: usize, figures: &[(&str, f64)], seconds: f64) -> Self {
        Self { epoch, figures: figures.iter().copied().collect(), seconds }
    }

    /// The figure of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "seconds" => Some(self.seconds),
            name => self.figures.get(name),
        }
    }

    /// The mean training loss; NaN where there is none.
    pub fn loss(&self) -> f64 {
        self.get("loss").unwrap_or(f64::NAN)
    }

    /// The validation loss, where there was a validation.
    pub fn val_loss(&self) -> Option<f64> {
        self.get("val_loss")
    }
}

/// The epochs of a run, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// One entry an epoch.
    pub epochs: Vec<Epoch>,
}

/// The epoch of the lowest figure of this name, or the highest; the earliest of equals.
pub(super) fn best<'e>(epochs: &'e [Epoch], name: &str, highest: bool) -> Option<&'e Epoch> {
    let values = epochs.iter().filter_map(|epoch| Some((epoch, epoch.get(name)?)));
    let best = values.filter(|(_, value)| value.is_finite()).reduce(|best, other| {
        let better = if highest { other.1 > best.1 } else { other.1 < best.1 };
        if better { other } else { best }
    });
    best.map(|(epoch, _)| epoch)
}

impl History {
    /// The name of the loss that is judged by: `val_loss`, or without a validation `loss`.
    pub fn judged_loss(&self) -> &'static str {
        match self.epochs.iter().any(|epoch| epoch.val_loss().is_some()) {
            true => "val_loss",
            false => "loss",
        }
    }

    /// The epoch of the lowest validation loss (without a validation: of the lowest loss), the earliest of equals.
    pub fn best(&self) -> Option<&Epoch> {
        best(&self.epochs, self.judged_loss(), false)
    }

    /// The names of all figures, in the order in which they first appear.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = vec![];
        for name in self.epochs.iter().flat_map(|epoch| epoch.figures.names()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// CSV with the header `epoch`, the figures' names, `seconds`; numbers are written such that they read back to the
    /// same bits. A figure that an epoch does not have, or that is no number, is left empty.
    pub fn to_csv(&self) -> String {
        let names = if self.epochs.is_empty() { vec!["loss", "val_loss"] } else { self.names() };
        let quoted = |name: &&str| match name.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", name.replace('"', "\"\"")),
            false => name.to_string(),
        };
        let header: Vec<String> = names.iter().map(quoted).collect();
        let mut text = format!("epoch,{},seconds\n", header.join(","));
        for epoch in &self.epochs {
            text.push_str(&epoch.epoch.to_string());
            for name in &names {
                text.push(',');
                let figure = epoch.figures.get(name).filter(|value| value.is_finite());
                text.extend(figure.map(|value| value.to_string()));
            }
            text.push_str(&format!(",{}\n", epoch.seconds));
        }
        text
    }

    /// Reads what [`Self::to_csv`] wrote; `origin` is the path that errors name.
    ///
    /// # Errors
    /// [`Error::File`] with the line: no column `epoch`, `loss` or `seconds`, a value that is no finite number, an epoch that
    /// does not follow the one before.
    pub fn from_csv(text: &str, origin: &Path) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header =
            reader.headers().map_err(|error| Error::file(origin, &error).with_source(error))?.clone();
        if let Some(missing) =
            ["epoch", "loss", "seconds"].iter().find(|column| !header.iter().any(|found| found == **column))
        {
            let what = format!("no column {missing}: a history has the columns epoch,loss,…,seconds");
            return Err(Error::file(origin, what));
        }
        let mut epochs: Vec<Epoch> = Vec::new();
        for record in reader.records() {
            let line = epochs.len() + 2;
            let record = record.map_err(|error| {
                let what = format!("line {line}: does not have as many figures as the first line has names");
                Error::file(origin, what).with_source(error)
            })?;
            let wrong = |name: &str, value: &str, expected: &str| {
                Error::file(origin, format!("line {line}: {name} is {value:?}, expected {expected}"))
            };
            let mut epoch = Epoch { epoch: 0, figures: Figures::default(), seconds: 0.0 };
            for (name, value) in header.iter().zip(&record) {
                if name == "epoch" {
                    epoch.epoch = value.parse().map_err(|_| wrong(name, value, "a whole number"))?;
                    continue;
                }
                if value.is_empty() && !matches!(name, "loss" | "seconds") {
                    continue;
                }
                let figure: f64 = value.parse().map_err(|_| wrong(name, value, "a number"))?;
                if !figure.is_finite() {
                    return Err(wrong(name, value, "a finite number"));
                }
                match name {
                    "seconds" => epoch.seconds = figure,
                    name => epoch.figures.set(name, figure),
                }
            }
            let expected = epochs.last().map_or(1, |last| last.epoch + 1);
            if epoch.epoch != expected {
                let what = format!("line {line}: epoch {} where {expected} is due", epoch.epoch);
                return Err(Error::file(origin, what));
            }
            epochs.push(epoch);
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

use super::rule::Rule;
use crate::train::options::{finite, not_negative};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Keras's `PiecewiseConstantDecay`: `values[0]` up to and with step `boundaries[0]`, `values[1]` up to and with
/// `boundaries[1]`, and so on; the last value after the last boundary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PiecewiseConstantDecay {
    /// Steps, each above the one before; fractions are cut off, as in Keras.
    pub boundaries: Vec<f64>,
    /// The rates, one more than there are boundaries.
    pub values: Vec<f64>,
}

impl Rule for PiecewiseConstantDecay {
    fn check(&self) -> Result<()> {
        for boundary in &self.boundaries {
            finite("boundaries", *boundary)?;
        }
        for value in &self.values {
            not_negative("values", *value)?;
        }
        if self.boundaries.is_empty() || self.values.len() != self.boundaries.len() + 1 {
            let (boundaries, values) = (self.boundaries.len(), self.values.len());
            let what = format!(
                "{values} for {boundaries} boundaries, give one more than boundaries, of which one or more"
            );
            return Err(Error::argument("values", what));
        }
        match self.boundaries.is_sorted_by(|a, b| a.trunc() < b.trunc()) {
            true => Ok(()),
            false => Err(Error::argument("boundaries", "give whole numbers, each above the one before")),
        }
    }

    fn rate(&self, step: u64) -> f32 {
        let passed = self.boundaries.iter().filter(|boundary| step as f64 > boundary.trunc()).count();
        self.values.get(passed).copied().unwrap_or_default() as f32
    }
}

//! Columns brought to a like size, by what the training part says of them.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How columns are scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Less the mean, by the standard deviation.
    #[default]
    Standard,
    /// From 0 to 1.
    MinMax,
    /// Less the median, by the distance between the quartiles.
    Robust,
    /// Left as they are.
    None,
}

impl FromStr for Scaling {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "standard" => Ok(Self::Standard),
            "min-max" => Ok(Self::MinMax),
            "robust" => Ok(Self::Robust),
            "none" => Ok(Self::None),
            _ => Err("give standard, min-max, robust or none".into()),
        }
    }
}

/// A column's scale: (x - center) / scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaler {
    /// The column's name.
    pub column: String,
    /// What is taken from each number.
    pub center: f64,
    /// What each is divided by.
    pub scale: f64,
}

impl Scaler {
    /// The scale of a column that holds these numbers in the training part. One that is the same everywhere has the scale 1, as
    /// in scikit-learn.
    pub fn fit(scaling: Scaling, column: &str, values: &[f64]) -> Self {
        let count = values.len().max(1) as f64;
        let (center, scale) = match scaling {
            Scaling::None => (0.0, 1.0),
            Scaling::Standard => {
                let mean = values.iter().sum::<f64>() / count;
                let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
                (mean, variance.sqrt())
            }
            Scaling::MinMax => {
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                (least, most - least)
            }
            Scaling::Robust => {
                let mut sorted = values.to_vec();
                sorted.sort_by(f64::total_cmp);
                (quantile(&sorted, 0.5), quantile(&sorted, 0.75) - quantile(&sorted, 0.25))
            }
        };
        // What is the same everywhere differs by rounding at most.
        let is_constant = !(scale.is_finite() && scale > center.abs() * 1e-12 && scale > 0.0);
        Self { column: column.into(), center, scale: if is_constant { 1.0 } else { scale } }
    }

    /// A number, scaled.
    pub fn apply(&self, value: f64) -> f64 {
        (value - self.center) / self.scale
    }

    /// A scaled number in the file's units.
    pub fn invert(&self, value: f64) -> f64 {
        value * self.scale + self.center
    }

    /// Checks the figures.
    ///
    /// # Errors
    /// [`Error::Argument`] where they are not finite, or the scale is not above 0.
    pub fn check(&self) -> Result<()> {
        if self.center.is_finite() && self.scale.is_finite() && self.scale > 0.0 {
            return Ok(());
        }
        let what =
            format!("center {} and scale {} of {:?} do not work", self.center, self.scale, self.column);
        Err(Error::argument("scalers", what))
    }
}

/// Of sorted numbers the value that this part of them keeps to, between two of them by a straight line, as in NumPy.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * sorted.len().saturating_sub(1) as f64;
    let at = |place: f64| sorted.get(place as usize).copied().unwrap_or(f64::NAN);
    let (below, above) = (at(place.floor()), at(place.ceil()));
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_scikit_learns() {
        let values = [1.0, 2.0, 4.0, 9.0];
        let fit = |scaling| {
            let scaler = Scaler::fit(scaling, "x", &values);
            (scaler.center, scaler.scale)
        };
        assert_eq!(fit(Scaling::Standard), (4.0, 9.5_f64.sqrt()));
        assert_eq!(fit(Scaling::MinMax), (1.0, 8.0));
        assert_eq!(fit(Scaling::Robust), (3.0, 3.5));
        assert_eq!(fit(Scaling::None), (0.0, 1.0));
        assert_eq!(Scaler::fit(Scaling::Standard, "x", &[0.1; 7]).scale, 1.0);
        let scaler = Scaler::fit(Scaling::Standard, "x", &values);
        assert!((scaler.invert(scaler.apply(7.0)) - 7.0).abs() < 1e-12);
    }
}

//! What a model folder says of the series that its model forecasts: the `series` of `config.json`.

use super::missing::Missing;
use super::scaler::{Scaler, Scaling};
use super::table::Columns;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A forecaster's data: columns, windows, scales, and what was found of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesConfig {
    /// The column that is forecast.
    pub target: String,
    /// The columns beside it that a window holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The column of the times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_column: Option<String>,
    /// Whether days stand before months in the times, where they can be read either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_first: Option<bool>,
    /// The column that tells series apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_column: Option<String>,
    /// How many rows a forecast is made from.
    pub window: usize,
    /// How many rows it reaches ahead.
    pub horizon: usize,
    /// The quantiles that are forecast, going up; none where it is one value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<f64>,
    /// Whether the target is given and forecast as its distance from the last value of the window.
    #[serde(default)]
    pub relative: bool,
    /// How columns are scaled.
    pub scaling: Scaling,
    /// The scales, of the target and of each feature.
    pub scalers: Vec<Scaler>,
    /// How far one row is from the next, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<String>,
    /// Steps a season; 1 where there is none.
    pub season: usize,
    /// What is done where numbers or times are missing.
    #[serde(default)]
    pub missing: Missing,
    /// The first time that was not trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_until: Option<String>,
    /// What the training part of each series was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trained: Vec<TrainedPart>,
    /// Step by step, how far the truth was from the forecast in the validation part: 10 of 100 were further below than the
    /// first, 10 further above than the second. In the file's units; none where quantiles are forecast.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<[f64; 2]>,
}

/// The part of the truths below a band of [`SeriesConfig::errors`], and the part not above it.
pub const BAND: [f64; 2] = [0.1, 0.9];

impl SeriesConfig {
    /// The columns of numbers: the target first.
    pub fn numbers(&self) -> Vec<String> {
        std::iter::once(&self.target).chain(&self.features).cloned().collect()
    }

    /// What to read of a file.
    pub fn columns(&self) -> Columns {
        Columns {
            numbers: self.numbers(),
            label: None,
            time: self.time_column.clone(),
            finds_time: false,
            day_first: self.day_first,
            group: self.group_column.clone(),
        }
    }

    /// How many values a step of a forecast has: 1, or as many as there are quantiles.
    pub fn values(&self) -> usize {
        self.quantiles.len().max(1)
    }

    /// The place of the value that stands for the whole step: the quantile nearest to a half.
    pub fn middle(&self) -> usize {
        let far = |quantile: &f64| (quantile - 0.5).abs();
        let places = self.quantiles.iter().enumerate();
        places.min_by(|a, b| far(a.1).total_cmp(&far(b.1))).map_or(0, |(place, _)| place)
    }

    /// Checks what a file might say wrong.
    ///
    /// # Errors
    /// [`Error::Argument`] with the field.
    pub fn check(&self) -> Result<()> {
        let wrong = |field: &str, what: String| Err(Error::argument(format!("series.{field}"), what));
        for (field, value) in [("window", self.window), ("horizon", self.horizon), ("season", self.season)] {
            if !(1..=1 << 20).contains(&value) {
                return wrong(field, format!("{value}, expected a whole number from 1 to {}", 1 << 20));
            }
        }
        check_quantiles(&self.quantiles)?;
        let columns = self.numbers();
        if self.scalers.len() != columns.len() {
            return wrong("scalers", format!("{} of them for {} columns", self.scalers.len(), columns.len()));
        }
        if !self.errors.is_empty() && self.errors.len() != self.horizon {
            return wrong("errors", format!("{} of them for {} steps", self.errors.len(), self.horizon));
        }
        self.scalers.iter().try_for_each(Scaler::check)
    }
}

/// Refuses quantiles that are none, or do not go up.
pub(super) fn check_quantiles(quantiles: &[f64]) -> Result<()> {
    let goes_up = quantiles.windows(2).all(|pair| pair[0] < pair[1]);
    match quantiles.iter().find(|quantile| !(**quantile > 0.0 && **quantile < 1.0)) {
        Some(quantile) => Err(Error::argument("quantiles", format!("{quantile} is not between 0 and 1"))),
        None if !goes_up => Err(Error::argument("quantiles", "are to go up, each once: 0.1,0.5,0.9")),
        None => Ok(()),
    }
}

/// The training part of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedPart {
    /// The series' name, where there are several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// How many rows it has.
    pub rows: usize,
    /// The CRC-32 of the target in its last rows, a window of them or fewer: a file that holds other numbers there was not trained
    /// on.
    pub checksum: u32,
    /// How far the seasonal naive forecast of one step is off in it, on average: what MASE is measured by. None where it has too
    /// few rows, or the same value throughout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naive_error: Option<f64>,
}

//! Forecasts of the past, held against what came and against the forecasts that cost nothing.

use super::forecaster::Forecaster;
use crate::data::series::{BAND, ForecastFigures, Scores, Table, naive, quantile, seasonal_naive};
use crate::{Error, Result};
use serde::Serialize;

/// The errors of as many forecasts, evenly spread, tell how wide a band is.
const ERRORS: usize = 4096;

/// Forecasts of the same steps by the model and by the naive ways.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Compared {
    /// The model's.
    pub model: Scores,
    /// The last value again.
    pub naive: Scores,
    /// The value of a season ago.
    pub seasonal: Scores,
}

/// What forecasts of the past came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backtest {
    /// Step by step.
    pub steps: Vec<Compared>,
    /// How many forecasts there were.
    pub origins: usize,
    /// The series that MASE leaves out, for their training part does not say what to measure by.
    pub unscaled: Vec<String>,
    /// How many forecasts have no season before them, so that the seasonal naive one is the last value.
    pub without_season: usize,
    /// How many truths were within the band, of how many that had one.
    pub within: [usize; 2],
    /// Step by step, how far the truth was above the forecast, in order; of at most some thousands of forecasts.
    errors: Vec<Vec<f64>>,
}

/// The figures of each way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ComparedFigures {
    /// The model's.
    pub model: ForecastFigures,
    /// Those of the last value again.
    pub naive: ForecastFigures,
    /// Those of the value of a season ago; none where there is no season.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seasonal_naive: Option<ForecastFigures>,
}

impl Compared {
    fn merge(&mut self, other: &Self) {
        self.model.merge(&other.model);
        self.naive.merge(&other.naive);
        self.seasonal.merge(&other.seasonal);
    }

    /// The figures.
    pub fn figures(&self) -> ComparedFigures {
        ComparedFigures {
            model: self.model.figures(),
            naive: self.naive.figures(),
            seasonal_naive: (self.seasonal.count() > 0).then(|| self.seasonal.figures()),
        }
    }
}

impl Backtest {
    /// All steps together.
    pub fn all(&self) -> Compared {
        self.steps.iter().fold(Compared::default(), |mut all, step| {
            all.merge(step);
            all
        })
    }

    /// Step by step the errors that bound the middle 80 of 100.
    pub fn bands(&self) -> Vec<[f64; 2]> {
        let band = |errors: &Vec<f64>| {
            let mut sorted = errors.clone();
            sorted.sort_by(f64::total_cmp);
            BAND.map(|part| quantile(&sorted, part))
        };
        self.errors.iter().map(band).collect()
    }

    /// The part of the truths that were within the band.
    pub fn coverage(&self) -> Option<f64> {
        let [within, of] = self.within;
        (of > 0).then(|| within as f64 / of as f64)
    }
}

impl Forecaster<'_> {
    /// Forecasts from these rows on, and scores them by what came.
    ///
    /// # Errors
    /// [`Error::Data`] where there is nothing to forecast, or a row is too near to an end of its series; as
    /// [`each`](Forecaster::each).
    pub fn backtest(&self, table: &Table, origins: &[usize]) -> Result<Backtest> {
        let (window, horizon, season) = (self.config.window, self.config.horizon, self.config.season);
        if origins.is_empty() {
            let what = format!(
                "{} has no row with a window of {window} before it and {horizon} steps ahead in the same series",
                table.name
            );
            return Err(Error::Data(what));
        }
        let truths = table.target(0..table.rows());
        let scales = self.config.naive_errors(table);
        let group = |row: usize| table.groups.partition_point(|group| group.rows.end <= row);
        let mut is_forecast = vec![false; table.groups.len()];
        for &origin in origins {
            let inside = table.groups.get(group(origin)).is_some_and(|group| {
                origin >= group.rows.start + window && origin + horizon <= group.rows.end
            });
            if !inside {
                return Err(Error::Data(format!("row {origin} is too near to an end of its series")));
            }
            is_forecast[group(origin)] = true;
        }
        let without =
            scales.iter().zip(is_forecast).map(|(scale, is_forecast)| is_forecast && scale.is_none());
        let unscaled = table
            .groups
            .iter()
            .zip(without)
            .filter(|(_, without)| *without)
            .map(|(group, _)| group.name.clone());
        let mut test = Backtest {
            steps: vec![Compared::default(); horizon],
            origins: origins.len(),
            errors: vec![vec![]; horizon],
            unscaled: unscaled.collect(),
            ..Backtest::default()
        };
        let every = origins.len().div_ceil(ERRORS);
        let mut number = 0;
        self.each(table, origins, &mut |origin, forecast| {
            let at = group(origin);
            let rows = table.groups[at].rows.clone();
            let (own, from, scale) = (&truths[rows.clone()], origin - rows.start, scales[at]);
            test.without_season += usize::from(season > 1 && from < season);
            for (step, values) in forecast.chunks(self.config.values()).enumerate() {
                let (truth, value) = (own[from + step], values[self.config.middle()]);
                let compared = &mut test.steps[step];
                compared.model.add(truth, value, scale);
                compared.naive.add(truth, naive(own, from), scale);
                if season > 1 {
                    compared.seasonal.add(truth, seasonal_naive(own, from, step, season), scale);
                }
                if let Some([low, high]) = self.band(step, values) {
                    test.within[0] += usize::from((low..=high).contains(&truth));
                    test.within[1] += 1;
                }
                if number % every == 0 {
                    test.errors[step].push(truth - value);
                }
            }
            number += 1;
        })?;
        Ok(test)
    }
}

//! The steps after a file's end.

use super::forecaster::Forecaster;
use crate::Result;
use crate::data::series::Table;
use serde::Serialize;

/// A step of a forecast.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepAhead {
    /// When it is, where the file's times are regular.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The step's number, from 1.
    pub step: usize,
    /// The forecast; of quantiles the one nearest to a half.
    pub value: f64,
    /// The band around it: of 100 truths, some 80 are within, where it comes of the errors in the validation part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub band: Option<[f64; 2]>,
    /// All quantiles, where such are forecast.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<f64>,
}

/// What follows one series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ahead {
    /// The series' name, where the file has a column of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Step by step.
    pub steps: Vec<StepAhead>,
}

impl Forecaster<'_> {
    /// Goes on from the end of each series of a table; and the names of those that are shorter than a window.
    ///
    /// # Errors
    /// As [`each`](Forecaster::each).
    pub fn ahead(&self, table: &Table) -> Result<(Vec<Ahead>, Vec<String>)> {
        let (long, short): (Vec<_>, Vec<_>) =
            table.groups.iter().partition(|group| group.rows.len() >= self.config.window);
        let origins: Vec<usize> = long.iter().map(|group| group.rows.end).collect();
        let times = table.times.as_ref().and_then(|times| Some((times, times.spacing?)));
        let (mut all, mut groups) = (vec![], long.iter());
        let quantiles = !self.config.quantiles.is_empty();
        self.each(table, &origins, &mut |origin, forecast| {
            let step = |(at, values): (usize, &[f64])| StepAhead {
                time: times.and_then(|(times, spacing)| {
                    let last = *times.stamps.get(origin - 1)?;
                    Some(times.form.show(spacing.after(last, at + 1)))
                }),
                step: at + 1,
                value: values[self.config.middle()],
                band: self.band(at, values),
                quantiles: if quantiles { values.to_vec() } else { vec![] },
            };
            let steps = forecast.chunks(self.config.values()).enumerate().map(step).collect();
            let group = groups.next().map(|group| group.name.clone()).unwrap_or_default();
            all.push(Ahead { group, steps });
        })?;
        Ok((all, short.into_iter().map(|group| group.name.clone()).collect()))
    }
}

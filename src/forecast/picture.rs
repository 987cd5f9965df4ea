//! A picture of forecasts against what came.

use super::forecaster::Forecaster;
use crate::data::series::Table;
use crate::plot::{self, ForecastPicture, ForecastPoint, Picture};
use crate::{Error, Result};

/// So many rows are drawn at most, or as many as a few forecasts reach over.
const ROWS: usize = 240;

impl Forecaster<'_> {
    /// The last forecasts from these rows on that do not overlap, of the series that the last of them is of.
    ///
    /// # Errors
    /// [`Error::Data`] where there is nothing to draw; as [`each`](Forecaster::each).
    pub fn picture(&self, table: &Table, origins: &[usize], title: &str, name: &str) -> Result<Picture> {
        let horizon = self.config.horizon;
        let longest = table
            .groups
            .iter()
            .max_by_key(|group| origins.iter().filter(|origin| group.rows.contains(*origin)).count());
        let Some(group) = longest else { return Err(Error::Data("there is no forecast to draw".into())) };
        let own: Vec<usize> = origins.iter().copied().filter(|origin| group.rows.contains(origin)).collect();
        let Some(&last) = own.last() else { return Err(Error::Data("there is no forecast to draw".into())) };
        let first = last.saturating_sub(ROWS.max(4 * horizon));
        let drawn: Vec<usize> =
            own.into_iter().filter(|&at| at >= first && (last - at).is_multiple_of(horizon)).collect();
        let times = table.times.as_ref();
        let is_calendar = times.is_some_and(|times| times.form.is_calendar());
        let place = |row: usize| match times.and_then(|times| times.stamps.get(row)) {
            Some(stamp) if is_calendar => stamp / 1e6,
            Some(stamp) => *stamp,
            None => row as f64,
        };
        let mut forecasts = vec![];
        self.each(table, &drawn, &mut |origin, forecast| {
            let steps = forecast.chunks(self.config.values()).enumerate();
            let point = |(step, values): (usize, &[f64])| ForecastPoint {
                place: place(origin + step),
                value: values[self.config.middle()],
                band: self.band(step, values),
            };
            forecasts.push(steps.map(point).collect());
        })?;
        let begin =
            drawn.first().copied().unwrap_or(last).saturating_sub(horizon.max(8)).max(group.rows.start);
        let rows = begin..(last + horizon).min(group.rows.end);
        plot::forecast(&ForecastPicture {
            title: if group.name.is_empty() { title.into() } else { format!("{title} ({})", group.name) },
            values: self.config.target.clone(),
            places: times.map_or_else(|| "row".into(), |times| times.column.clone()),
            is_calendar,
            truth: rows.map(|row| (place(row), table.value(row, 0))).collect(),
            forecaster: name.into(),
            forecasts,
        })
    }
}

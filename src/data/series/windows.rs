//! A table as a forecaster takes it: scaled, and in windows.

use super::config::SeriesConfig;
use super::table::Table;
use crate::Result;
use crate::data::Array;
use crate::data::windows::{Level, Windows};
use std::sync::Arc;

/// A table's numbers, scaled. Windows over them share them.
#[derive(Clone, Debug)]
pub struct Scaled {
    /// (rows, columns), the target first.
    values: Arc<[f32]>,
    /// The target alone.
    targets: Arc<[f32]>,
    columns: usize,
    window: usize,
    horizon: usize,
    /// The axes of a row of targets.
    shape: Vec<usize>,
    relative: bool,
}

impl Scaled {
    /// Scales a table by what a forecaster has learnt.
    pub fn new(config: &SeriesConfig, table: &Table) -> Self {
        let columns = table.width();
        let scaled = table.values.iter().zip(config.scalers.iter().cycle());
        let values: Arc<[f32]> = scaled.map(|(value, scaler)| scaler.apply(*value) as f32).collect();
        let targets = values.iter().step_by(columns.max(1)).copied().collect();
        // Where quantiles are forecast, a loss takes one target for all of a step's.
        let shape = if config.quantiles.is_empty() { vec![config.horizon] } else { vec![config.horizon, 1] };
        let SeriesConfig { window, horizon, relative, .. } = *config;
        Self { values, targets, columns, window, horizon, shape, relative }
    }

    /// The windows before these rows, (rows, window, columns).
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) where a window begins before the table.
    pub fn inputs(&self, origins: &[usize]) -> Result<Array> {
        let (columns, width) = (self.columns, self.window * self.columns);
        let level = Level { place: (width - columns) as isize, every: columns };
        let stretches = origins.iter().map(|origin| (origin * columns).wrapping_sub(width)..origin * columns);
        let windows = Windows::new(
            self.values.clone(),
            stretches.collect(),
            width,
            0.0,
            self.relative.then_some(level),
        )?;
        Array::windows(windows, &[self.window, columns])
    }

    /// What follows from these rows on, (rows, horizon) or (rows, horizon, 1).
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) where it ends behind the table.
    pub fn targets(&self, origins: &[usize]) -> Result<Array> {
        let level = Level { place: -1, every: 1 };
        let stretches = origins.iter().map(|&origin| origin..origin + self.horizon);
        let windows = Windows::new(
            self.targets.clone(),
            stretches.collect(),
            self.horizon,
            0.0,
            self.relative.then_some(level),
        )?;
        Array::windows(windows, &self.shape)
    }
}

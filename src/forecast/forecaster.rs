//! Forecasts in the file's units.

use crate::checkpoint::Checkpoint;
use crate::data::series::{Scaled, SeriesConfig, Table};
use crate::layers::Mode;
use crate::model::Model;
use crate::{Error, Result};
use candle_core::{DType, Device};

/// So many windows are computed at a time.
const BATCH: usize = 256;

/// A model with what it takes to forecast a series.
pub struct Forecaster<'a> {
    model: &'a Model,
    device: &'a Device,
    pub(super) config: &'a SeriesConfig,
}

impl<'a> Forecaster<'a> {
    /// The forecaster of a checkpoint; none where it was trained on something else than a series.
    pub fn of(checkpoint: &'a Checkpoint) -> Option<Self> {
        let config = checkpoint.config.series.as_ref()?;
        Some(Self { model: &checkpoint.model, device: &checkpoint.device, config })
    }

    /// What it knows of its series.
    pub fn config(&self) -> &SeriesConfig {
        self.config
    }

    /// Forecasts from these rows of a table on. `visit` is given each row with (horizon, values) in the file's units: quantiles go
    /// up.
    ///
    /// # Errors
    /// [`Error::Data`] where a window begins before the table, or the model gives something else than it was fitted to.
    pub fn each(&self, table: &Table, origins: &[usize], visit: &mut dyn FnMut(usize, &[f64])) -> Result<()> {
        let inputs = Scaled::new(self.config, table).inputs(origins)?;
        let (values, Some(scaler)) = (self.config.values(), self.config.scalers.first()) else {
            return Err(Error::argument("series.scalers", "there is none"));
        };
        for (batch, origins) in origins.chunks(BATCH).enumerate() {
            let inputs = inputs.slice(batch * BATCH, origins.len(), self.device)?;
            let outputs = self.model.forward(&inputs, Mode::Inference)?;
            let outputs = outputs.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2::<f32>()?;
            for (&origin, output) in origins.iter().zip(outputs) {
                if output.len() != self.config.horizon * values {
                    let what = format!(
                        "the model gives {} numbers a window, and {} steps of {values} are expected",
                        output.len(),
                        self.config.horizon
                    );
                    return Err(Error::Data(what));
                }
                let level = match self.config.relative {
                    true => table.value(origin - 1, 0),
                    false => scaler.center,
                };
                let mut forecast: Vec<f64> =
                    output.iter().map(|&value| f64::from(value) * scaler.scale + level).collect();
                // Quantiles that were learnt apart may cross; in order they are no worse (Chernozhukov et al. 2010).
                forecast.chunks_mut(values).for_each(|step| step.sort_by(f64::total_cmp));
                visit(origin, &forecast);
            }
        }
        Ok(())
    }

    /// The band around a step of a forecast: its outermost quantiles, or what the errors of the validation part say.
    pub(super) fn band(&self, step: usize, values: &[f64]) -> Option<[f64; 2]> {
        match (values, self.config.errors.get(step)) {
            // Where all errors were on one side, the forecast itself is the other.
            ([only], Some([below, above])) => Some([only + below.min(0.0), only + above.max(0.0)]),
            ([first, .., last], _) => Some([*first, *last]),
            _ => None,
        }
    }
}

//! Noise in training: `SpatialDropout1D`, `GaussianNoise` (`keras/src/layers/regularization/`).

use super::{DropoutConfig, Mode, random::Stream};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// Drops whole features of a sequence, the same at every step, in training.
#[derive(Clone, Debug)]
pub struct SpatialDropout1D {
    config: DropoutConfig,
    name: String,
}

impl SpatialDropout1D {
    /// `name` is the layer's path in the model: its masks are drawn from a stream of that name.
    pub fn new(config: DropoutConfig, name: String) -> Self {
        Self { config, name }
    }

    /// (batch, time, features), the same out.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        if self.config.rate == 0.0 {
            return Ok(xs.clone());
        }
        let (batch, _, features) = xs.dims3()?;
        let mut stream = Stream::named(seed, &self.name);
        let mask = super::dropout::mask(&mut stream, self.config.rate, batch * features);
        xs.broadcast_mul(&Tensor::from_vec(mask, (batch, 1, features), xs.device())?.to_dtype(xs.dtype())?)
    }
}

/// Keras's `GaussianNoise`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianNoiseConfig {
    /// The noise's standard deviation, from 0 to 1.
    pub stddev: f64,
}

impl GaussianNoiseConfig {
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        if !(0.0..=1.0).contains(&self.stddev) {
            return Err(format!("stddev must be between 0 and 1, not {}", self.stddev));
        }
        Ok(())
    }
}

/// Adds normal noise in training.
#[derive(Clone, Debug)]
pub struct GaussianNoise {
    config: GaussianNoiseConfig,
    name: String,
}

impl GaussianNoise {
    /// `name` is the layer's path in the model: its noise is drawn from a stream of that name.
    pub fn new(config: GaussianNoiseConfig, name: String) -> Self {
        Self { config, name }
    }

    /// Any shape, the same out.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        if self.config.stddev == 0.0 {
            return Ok(xs.clone());
        }
        let mut stream = Stream::named(seed, &self.name);
        let noise: Vec<f32> =
            (0..xs.elem_count()).map(|_| (stream.normal() * self.config.stddev) as f32).collect();
        xs + Tensor::from_vec(noise, xs.shape(), xs.device())?.to_dtype(xs.dtype())?
    }
}

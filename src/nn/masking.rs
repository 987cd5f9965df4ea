//! Keras's `Masking` (`keras/src/layers/core/masking.py`).

use candle_core::{D, Result, Tensor};
use serde::{Deserialize, Serialize};

/// Keras's argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskingConfig {
    /// A step whose features are all this value is skipped by the layers after this one.
    pub mask_value: f64,
}

impl MaskingConfig {
    /// 1 where any feature is not the value: one axis less, u8.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn compute_mask(&self, xs: &Tensor) -> Result<Tensor> {
        xs.ne(self.mask_value as f32)?.max(D::Minus1)
    }

    /// The input, with 0 where the mask is 0.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mask = self.compute_mask(xs)?.unsqueeze(D::Minus1)?.broadcast_as(xs.shape())?.contiguous()?;
        mask.where_cond(xs, &xs.zeros_like()?)
    }
}

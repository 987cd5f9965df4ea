//! Keras's `Masking` (`keras/src/layers/core/masking.py`).

use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::{MaskRule, not_equal};
use crate::layers::shape::{Checked, Shape, single};
use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`Masking`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskingConfig {
    /// A step whose features are all this value is skipped by the layers after this one. Nothing equals NaN, so that it
    /// skips none.
    #[serde(with = "crate::layers::number")]
    pub mask_value: f64,
}

impl MaskingConfig {
    /// The input, with 0 at the steps to be skipped.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mask = not_equal(xs, self.mask_value, true)?;
        let mask = mask.unsqueeze(D::Minus1)?.broadcast_as(xs.shape())?.contiguous()?;
        mask.where_cond(xs, &xs.zeros_like()?)
    }
}

impl Config for MaskingConfig {
    fn check(&self) -> Checked<()> {
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(single(inputs)?.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Begins { value: self.mask_value, features: true }
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Masking::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// Masks the steps whose features all equal one value: they become 0, and the layers after it in a model skip
    /// them.
    Masking, MaskingConfig, floats
}

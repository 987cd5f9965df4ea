//! Keras's `Rescaling` (`keras/src/layers/preprocessing/rescaling.py`).

use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::pair::rescaled;
use crate::layers::shape::{Checked, Shape, single};
use crate::layers::strand::Strand;
use candle_core::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`Rescaling`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RescalingConfig {
    /// The factor.
    pub scale: f64,
    /// What is added.
    #[serde(default)]
    pub offset: f64,
}

impl RescalingConfig {
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        match xs.fuses() {
            true => rescaled(xs, self.scale as f32, self.offset as f32),
            false => xs.tensor().affine(self.scale, self.offset).map(Strand::from),
        }
    }
}

impl Config for RescalingConfig {
    fn check(&self) -> Checked<()> {
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(single(inputs)?.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Rescaling::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// x · scale + offset. Any shape in, the same shape out.
    Rescaling, RescalingConfig, strand
}

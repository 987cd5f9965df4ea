//! Keras's `ELU` (`keras/src/layers/activations/elu.py`).

use crate::layers::activation::{activate, elu};
use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, single};
use crate::layers::strand::Strand;
use candle_core::Result;
use candle_nn::VarBuilder;
use candle_recurrent_kernel as kernel;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`Elu`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EluConfig {
    /// The scale below 0.
    pub alpha: f64,
}

impl Default for EluConfig {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

impl EluConfig {
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        match xs.fuses() {
            true => activate(kernel::Activation::Elu { alpha: self.alpha as f32, scale: 1.0 }, xs),
            false => elu(xs.tensor(), self.alpha).map(Strand::from),
        }
    }
}

impl Config for EluConfig {
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
        Ok(Arc::new(Elu::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// x for x ≥ 0, else `alpha` (eˣ - 1) (Clevert et al. 2016). Any shape in, the same shape out.
    Elu, EluConfig, strand
}

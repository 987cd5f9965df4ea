//! Keras's `LeakyReLU` (`keras/src/layers/activations/leaky_relu.py`).

use crate::layers::activation::activate;
use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, single};
use crate::layers::strand::Strand;
use candle_core::Result;
use candle_nn::VarBuilder;
use candle_recurrent_kernel as kernel;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`LeakyRelu`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeakyReluConfig {
    /// The slope below 0.
    pub negative_slope: f64,
}

impl Default for LeakyReluConfig {
    fn default() -> Self {
        Self { negative_slope: 0.3 }
    }
}

impl LeakyReluConfig {
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        if xs.fuses() {
            return activate(kernel::Activation::LeakyRelu { slope: self.negative_slope as f32 }, xs);
        }
        let xs = xs.tensor();
        xs.gt(0.0)?.where_cond(xs, &(xs * self.negative_slope)?).map(Strand::from)
    }
}

impl Config for LeakyReluConfig {
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
        Ok(Arc::new(LeakyRelu::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// x for x > 0, else `negative_slope` x. Any shape in, the same shape out.
    LeakyRelu, LeakyReluConfig, strand
}

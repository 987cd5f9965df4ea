//! Keras's `RepeatVector` (`keras/src/layers/reshaping/repeat_vector.py`).

use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, axes_needed, check_numbers, single};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`RepeatVector`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatVectorConfig {
    /// How many steps.
    pub n: usize,
}

impl RepeatVectorConfig {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (batch, features) = xs.dims2()?;
        check_numbers(&[batch, self.n, features])?;
        xs.unsqueeze(1)?.broadcast_as((batch, self.n, features))?.contiguous()
    }
}

impl Config for RepeatVectorConfig {
    fn check(&self) -> Checked<()> {
        match self.n {
            1..=0xff_ffff => Ok(()),
            n => Err(format!("n must be between 1 and 16777215, not {n}")),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        match **input {
            [batch, features] => Ok(Placed::one(vec![batch, Some(self.n), features])),
            _ => Err(axes_needed(2, input)),
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(RepeatVector::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// Repeats a vector as a sequence: (batch, features) to (batch, n, features).
    RepeatVector, RepeatVectorConfig, tensor
}

//! Keras's `Flatten` (`keras/src/layers/reshaping/flatten.py`).

use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, axes_needed, product, single};
use crate::layers::strand::Strand;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// [`Flatten`] takes no arguments: data is always channels last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlattenConfig {}

impl FlattenConfig {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into())?.tensor().clone())
    }

    fn over(&self, xs: &Strand) -> Result<Strand> {
        let dims = xs.tensor().dims();
        xs.reshape(vec![xs.tensor().dim(0)?, dims.iter().skip(1).product()])
    }
}

impl Config for FlattenConfig {
    fn check(&self) -> Checked<()> {
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        let [batch, rest @ ..] = input.as_slice() else { return Err(axes_needed(2, input)) };
        Ok(Placed::one(vec![*batch, product(rest)]))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Flatten::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// All axes after the batch become one: (batch, …) to (batch, product).
    Flatten, FlattenConfig, any
}

//! Keras's `UnitNormalization` (`keras/src/layers/normalization/unit_normalization.py`).

use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Axes, Checked, Shape, single};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`UnitNormalization`], with Keras's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnitNormalizationConfig {
    /// The axes that are normalised together.
    pub axis: Axes,
}

impl Default for UnitNormalizationConfig {
    fn default() -> Self {
        Self { axis: Axes::One(-1) }
    }
}

impl UnitNormalizationConfig {
    fn axes(&self, rank: usize) -> Checked<Vec<usize>> {
        let mut axes = self.axis.indices(rank)?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }

    /// x · min(1 / ‖x‖, 1e12) (`keras/src/ops/nn.py`, `_normalize`).
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let axes = self.axes(xs.rank()).map_err(candle_core::Error::msg)?;
        let squares = xs.sqr()?.sum_keepdim(axes.as_slice())?;
        // The square of 1e-12: the side not chosen must not divide by 0.
        let least = (squares.ones_like()? * 1e-24)?;
        let squares = squares.gt(&least)?.where_cond(&squares, &least)?;
        xs.broadcast_mul(&squares.sqrt()?.recip()?)
    }
}

impl Config for UnitNormalizationConfig {
    fn check(&self) -> Checked<()> {
        match &self.axis {
            Axes::Many(axes) if axes.is_empty() => Err("axis needs at least one axis".into()),
            Axes::Many(_) | Axes::One(_) => Ok(()),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        self.axes(input.len())?;
        Ok(Placed::one(input.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(UnitNormalization::new(first_shape(inputs), self.clone(), vb)?))
    }
}

plain_layer! {
    /// Scales to length 1 over axes: any shape in, the same shape out.
    UnitNormalization, UnitNormalizationConfig, floats
}

//! Keras's `UnitNormalization` (`keras/src/layers/normalization/unit_normalization.py`).

use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Axes, Checked, Shape, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::sample as kernel;
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
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        let dims = xs.tensor().dims();
        let axes = self.axes(dims.len()).map_err(candle_core::Error::msg)?;
        let [.., width] = *dims else { return self.by_tensors(xs.tensor(), &axes).map(Strand::from) };
        if !xs.fuses() || axes != [dims.len() - 1] {
            return self.by_tensors(xs.tensor(), &axes).map(Strand::from);
        }
        fused(
            "unit-rows",
            [xs],
            dims.to_vec(),
            |[x], out| kernel::unit_rows(width, x, out),
            move |Back { x: [x], mut d, .. }: Back<'_, 1>| {
                kernel::unit_rows_back(width, x, &mut d);
                [d]
            },
        )
    }

    fn by_tensors(&self, xs: &Tensor, axes: &[usize]) -> Result<Tensor> {
        let squares = xs.sqr()?.sum_keepdim(axes)?;
        // The square of 1e-12: the side not chosen must not divide by 0.
        let least = (squares.ones_like()? * 1e-24)?;
        // Asked so that NaN stays NaN, as in Keras.
        let squares = squares.le(&least)?.where_cond(&least, &squares)?;
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
    UnitNormalization, UnitNormalizationConfig, strand
}

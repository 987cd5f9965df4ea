//! Keras's `Permute` (`keras/src/layers/reshaping/permute.py`).

use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, axes_needed, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::{transpose, unwritten};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`Permute`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermuteConfig {
    /// Which axis comes where, counted from 1 after the batch.
    pub dims: Vec<usize>,
}

impl PermuteConfig {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into())?.tensor().clone())
    }

    fn over(&self, xs: &Strand) -> Result<Strand> {
        match (xs.tensor().dims(), self.dims.as_slice()) {
            (&[_, rows, columns], [2, 1]) if xs.fuses() => fused(
                "transpose",
                [xs],
                (xs.tensor().dim(0)?, columns, rows),
                |[x], out| transpose(rows, columns, x, out),
                move |Back { d, .. }: Back<'_, 1>| {
                    let mut d_x = unwritten(d.len());
                    transpose(columns, rows, &d, &mut d_x);
                    [d_x]
                },
            ),
            _ => self.by_tensors(xs.tensor()).map(Strand::from),
        }
    }

    fn by_tensors(&self, xs: &Tensor) -> Result<Tensor> {
        let order: Vec<usize> = std::iter::once(0).chain(self.dims.iter().copied()).collect();
        xs.permute(order)?.contiguous()
    }
}

impl Config for PermuteConfig {
    fn check(&self) -> Checked<()> {
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if sorted.is_empty() || !sorted.iter().copied().eq(1..=sorted.len()) {
            return Err(format!("dims {:?} must hold each of 1 to {} once", self.dims, self.dims.len()));
        }
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        if input.len() != self.dims.len() + 1 {
            return Err(axes_needed(self.dims.len() + 1, input));
        }
        let axes = self.dims.iter().filter_map(|&axis| input.get(axis));
        Ok(Placed::one(input.first().into_iter().chain(axes).copied().collect()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Permute::new(first_shape(inputs), self.clone(), vb)?))
    }
}

plain_layer! {
    /// Reorders axes: the batch stays first, the others come in the order of `dims`.
    Permute, PermuteConfig, any
}

//! Keras's `ZeroPadding1D` to `ZeroPadding3D` (`keras/src/layers/reshaping/`), channels last.

use super::ends::{Ends, check_ends, check_rank, margins, read_ends, reshaped, write_ends};
use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_numbers, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::unwritten;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`ZeroPadding`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroPaddingConfig<const N: usize> {
    /// Zeros before and after, `[before, after]` along each axis.
    #[serde(deserialize_with = "read_ends::<N, _>", serialize_with = "write_ends")]
    pub padding: Ends,
}

impl<const N: usize> ZeroPaddingConfig<N> {
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        let values = xs.tensor();
        check_rank::<N>(values)?;
        let ends = self.padding.iter().map(|[before, after]| before + after).chain([0]);
        let padded = values.dims().iter().zip(std::iter::once(0).chain(ends)).map(|(axis, ends)| axis + ends);
        let shape: Vec<usize> = padded.collect();
        check_numbers(&shape)?;
        let of = margins::<N>(values.dims(), &shape, &self.padding).filter(|_| xs.fuses());
        let Some(of) = of else { return self.by_tensors(values).map(Strand::from) };
        let back = move |Back { x: [x], d, .. }: Back<'_, 1>| {
            let mut d_x = unwritten(x.len());
            of.take(&d, &mut d_x);
            [d_x]
        };
        fused("padding", [xs], shape, |[x], out| of.put(x, out), back)
    }

    fn by_tensors(&self, xs: &Tensor) -> Result<Tensor> {
        let mut ys = xs.clone();
        for (axis, &[before, after]) in self.padding.iter().enumerate() {
            ys = ys.pad_with_zeros(axis + 1, before, after)?;
        }
        Ok(ys)
    }
}

impl<const N: usize> Config for ZeroPaddingConfig<N> {
    fn check(&self) -> Checked<()> {
        check_ends::<N>("padding", &self.padding)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        let output = reshaped::<N>(input, |axis, length| {
            self.padding.get(axis)?.iter().try_fold(length, |sum, &end| sum.checked_add(end))
        })?;
        Ok(Placed::one(output))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(ZeroPadding::new(first_shape(inputs), self.clone(), vb)?))
    }
}

plain_layer! {
    /// Adds zeros at the ends of axes: (batch, …, channels) with the axes between made longer.
    ZeroPadding<const N: usize>, ZeroPaddingConfig<N>, strand
}

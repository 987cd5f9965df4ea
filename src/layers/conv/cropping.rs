//! Keras's `Cropping1D` to `Cropping3D` (`keras/src/layers/reshaping/`), channels last.

use super::ends::{Ends, check_ends, check_rank, margins, read_ends, reshaped, write_ends};
use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::unwritten;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`Cropping`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CroppingConfig<const N: usize> {
    /// What to cut off before and after, `[before, after]` along each axis.
    #[serde(deserialize_with = "read_ends::<N, _>", serialize_with = "write_ends")]
    pub cropping: Ends,
}

impl<const N: usize> CroppingConfig<N> {
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        let values = xs.tensor();
        check_rank::<N>(values)?;
        let mut shape = values.dims().to_vec();
        for (length, [before, after]) in shape.iter_mut().skip(1).zip(&self.cropping) {
            let Some(left) = length.checked_sub(before + after).filter(|&left| left > 0) else {
                bail!("cropping {before} and {after} leaves nothing of {length} steps")
            };
            *length = left;
        }
        let of = margins::<N>(&shape, values.dims(), &self.cropping).filter(|_| xs.fuses());
        let Some(of) = of else { return self.by_tensors(values, &shape).map(Strand::from) };
        let back = move |Back { x: [x], d, .. }: Back<'_, 1>| {
            let mut d_x = unwritten(x.len());
            of.put(&d, &mut d_x);
            [d_x]
        };
        fused("cropping", [xs], shape, |[x], out| of.take(x, out), back)
    }

    fn by_tensors(&self, xs: &Tensor, shape: &[usize]) -> Result<Tensor> {
        let mut ys = xs.clone();
        for (axis, (&[before, _], &left)) in self.cropping.iter().zip(&shape[1..]).enumerate() {
            ys = ys.narrow(axis + 1, before, left)?;
        }
        ys.contiguous()
    }
}

impl<const N: usize> Config for CroppingConfig<N> {
    fn check(&self) -> Checked<()> {
        check_ends::<N>("cropping", &self.cropping)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        let output = reshaped::<N>(input, |axis, length| {
            self.cropping.get(axis)?.iter().try_fold(length, |left, &end| left.checked_sub(end))
        })?;
        Ok(Placed::one(output))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Cropping::new(first_shape(inputs), self.clone(), vb)?))
    }
}

plain_layer! {
    /// Cuts off the ends of axes: (batch, …, channels) with the axes between made shorter.
    Cropping<const N: usize>, CroppingConfig<N>, strand
}

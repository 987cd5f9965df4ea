//! Keras's `Cropping1D` to `Cropping3D` (`keras/src/layers/reshaping/`), channels last.

use super::ends::{Ends, check_ends, check_rank, read_ends, reshaped, write_ends};
use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, single};
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
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
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        check_rank::<N>(xs)?;
        let mut ys = xs.clone();
        for (axis, &[before, after]) in self.cropping.iter().enumerate() {
            let length = ys.dim(axis + 1)?;
            let Some(left) = length.checked_sub(before + after).filter(|&left| left > 0) else {
                bail!("cropping {before} and {after} leaves nothing of {length} steps")
            };
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
    Cropping<const N: usize>, CroppingConfig<N>, floats
}

//! Keras's `UpSampling1D` to `UpSampling3D` (`keras/src/layers/reshaping/`), channels last, each step repeated
//! (`interpolation` nearest).

use super::ends::{check_rank, reshaped};
use super::window::Sizes;
use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_numbers, single};
use candle_core::{Result as CandleResult, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;

/// The argument of [`UpSampling`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpSamplingConfig<const N: usize> {
    /// How often to repeat, along each axis.
    #[serde(serialize_with = "write_size")]
    pub size: Sizes<N>,
}

/// Of a single axis Keras takes a number, and no list.
fn write_size<const N: usize, S: Serializer>(size: &Sizes<N>, serializer: S) -> Result<S::Ok, S::Error> {
    match size.0.as_slice() {
        [one] => one.serialize(serializer),
        several => several.serialize(serializer),
    }
}

impl<const N: usize> UpSamplingConfig<N> {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        check_rank::<N>(xs)?;
        check_numbers(&[xs.dims(), &self.size.0].concat())?;
        let mut ys = xs.contiguous()?;
        for (axis, &times) in self.size.0.iter().enumerate() {
            let steps: Vec<u32> =
                (0..ys.dim(axis + 1)? as u32).flat_map(|step| std::iter::repeat_n(step, times)).collect();
            let count = steps.len();
            ys = ys.index_select(&Tensor::from_vec(steps, count, ys.device())?, axis + 1)?;
        }
        Ok(ys)
    }
}

impl<const N: usize> Config for UpSamplingConfig<N> {
    fn check(&self) -> Checked<()> {
        self.size.check("size")
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        let output = reshaped::<N>(input, |axis, length| length.checked_mul(*self.size.0.get(axis)?))?;
        Ok(Placed::one(output))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> CandleResult<Arc<dyn Layer>> {
        Ok(Arc::new(UpSampling::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// Repeats each step: (batch, …, channels) with the axes between made longer.
    UpSampling<const N: usize>, UpSamplingConfig<N>, floats
}

//! Keras's `UpSampling1D` to `UpSampling3D` (`keras/src/layers/reshaping/`), channels last.

use super::ends::{check_rank, reshaped};
use super::window::Sizes;
use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_numbers, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Result as CandleResult, Tensor};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::{Repeats, unwritten};
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;

/// What stands between the steps of an input that is made longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Each step repeated.
    #[default]
    Nearest,
    /// Means of the two nearest steps, weighted by how near they are; steps have their place in their middle, as in
    /// TensorFlow 2's `tf.image.resize`. For `UpSampling2D`.
    Bilinear,
}

impl Interpolation {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The arguments of [`UpSampling`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpSamplingConfig<const N: usize> {
    /// How often to repeat, along each axis.
    #[serde(serialize_with = "write_size")]
    pub size: Sizes<N>,
    /// What stands between the steps.
    #[serde(default, skip_serializing_if = "Interpolation::is_default")]
    pub interpolation: Interpolation,
}

/// Of a single axis Keras takes a number, and no list.
fn write_size<const N: usize, S: Serializer>(size: &Sizes<N>, serializer: S) -> Result<S::Ok, S::Error> {
    match size.0.as_slice() {
        [one] => one.serialize(serializer),
        several => several.serialize(serializer),
    }
}

impl<const N: usize> UpSamplingConfig<N> {
    fn forward(&self, xs: &Strand) -> CandleResult<Strand> {
        let values = xs.tensor();
        check_rank::<N>(values)?;
        check_numbers(&[values.dims(), &self.size.0].concat())?;
        if self.interpolation != Interpolation::Nearest || !xs.fuses() || N > 3 {
            return self.by_tensors(values).map(Strand::from);
        }
        let mut shape = values.dims().to_vec();
        let mut of = Repeats { lengths: [1; 3], times: [1; 3], channels: values.dim(N + 1)? };
        for (axis, &times) in self.size.0.iter().enumerate() {
            (of.lengths[3 - N + axis], of.times[3 - N + axis]) = (shape[axis + 1], times);
            shape[axis + 1] *= times;
        }
        let back = move |Back { x: [x], d, .. }: Back<'_, 1>| {
            let mut d_x = unwritten(x.len());
            of.sum(&d, &mut d_x);
            [d_x]
        };
        fused("up-sampling", [xs], shape, |[x], out| of.repeat(x, out), back)
    }

    fn by_tensors(&self, xs: &Tensor) -> CandleResult<Tensor> {
        let mut ys = xs.contiguous()?;
        for (axis, &times) in self.size.0.iter().enumerate() {
            ys = match self.interpolation {
                Interpolation::Nearest => repeat(&ys, axis + 1, times)?,
                Interpolation::Bilinear => interpolate(&ys, axis + 1, times)?,
            };
        }
        Ok(ys)
    }
}

/// Each step of an axis so many times.
fn repeat(xs: &Tensor, axis: usize, times: usize) -> CandleResult<Tensor> {
    let steps: Vec<u32> =
        (0..xs.dim(axis)? as u32).flat_map(|step| std::iter::repeat_n(step, times)).collect();
    let count = steps.len();
    xs.index_select(&Tensor::from_vec(steps, count, xs.device())?, axis)
}

/// An axis made so many times longer, with the means of neighbouring steps in between.
fn interpolate(xs: &Tensor, axis: usize, times: usize) -> CandleResult<Tensor> {
    let length = xs.dim(axis)?;
    if times == 1 || length == 0 {
        return Ok(xs.clone());
    }
    let (mut before, mut after, mut shares) = (vec![], vec![], vec![]);
    for step in 0..length * times {
        // The middle of the new step among the middles of the old ones.
        let place = (step as f64 + 0.5) / times as f64 - 0.5;
        let floor = place.floor();
        before.push(floor.max(0.0) as u32);
        after.push(((floor + 1.0).max(0.0) as u32).min(length as u32 - 1));
        shares.push((place - floor) as f32);
    }
    let count = shares.len();
    let mut shape = vec![1; xs.rank()];
    shape[axis] = count;
    let shares = Tensor::from_vec(shares, shape, xs.device())?.to_dtype(xs.dtype())?;
    let select = |steps: Vec<u32>| xs.index_select(&Tensor::from_vec(steps, count, xs.device())?, axis);
    let before = select(before)?;
    let step = (select(after)? - &before)?;
    before + step.broadcast_mul(&shares)?
}

impl<const N: usize> Config for UpSamplingConfig<N> {
    fn check(&self) -> Checked<()> {
        self.size.check("size")?;
        match self.interpolation {
            Interpolation::Bilinear if N != 2 => {
                Err("interpolation `bilinear` is for UpSampling2D only".into())
            }
            Interpolation::Bilinear | Interpolation::Nearest => Ok(()),
        }
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
    /// Repeats each step, or goes evenly from one to the next: (batch, …, channels) with the axes between made longer.
    UpSampling<const N: usize>, UpSamplingConfig<N>, strand
}

//! Keras's `GlobalMaxPooling1D` to `3D` and `GlobalAveragePooling1D` to `3D` (`keras/src/layers/pooling/`), channels last.

use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape, plain_layer};
use crate::layers::masks::{MaskRule, place_bytes};
use crate::layers::padding::PaddingRule;
use crate::layers::shape::{Checked, Shape, axes_needed, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::pooling::{self, Places};
use candle_recurrent_kernel::unwritten;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`GlobalMaxPooling`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalMaxPoolingConfig<const N: usize> {
    /// Keep the pooled axes, with length 1.
    #[serde(default)]
    pub keepdims: bool,
}

/// The argument of [`GlobalAveragePooling`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalAveragePoolingConfig<const N: usize> {
    /// Keep the pooled axes, with length 1.
    #[serde(default)]
    pub keepdims: bool,
}

fn output_shape<const N: usize>(inputs: &[Shape], keepdims: bool) -> Checked<Placed> {
    let input = single(inputs)?;
    match input.as_slice() {
        [batch, spatial @ .., channels] if spatial.len() == N => {
            let kept = std::iter::repeat_n(Some(1), if keepdims { N } else { 0 });
            Ok(Placed::one(std::iter::once(*batch).chain(kept).chain([*channels]).collect()))
        }
        _ => Err(axes_needed(N + 2, input)),
    }
}

/// The axes between the first and the last.
fn spatial_axes<const N: usize>(xs: &Tensor) -> Result<Vec<usize>> {
    if xs.rank() != N + 2 {
        bail!("global pooling over {N} axes needs {} axes, given {:?}", N + 2, xs.dims())
    }
    Ok((1..=N).collect())
}

/// The places of a sample of (batch, …, channels), and the output's shape.
fn places<const N: usize>(xs: &Tensor, keepdims: bool) -> (Places, Vec<usize>) {
    let dims = xs.dims();
    let mut shape = dims.to_vec();
    shape[1..=N].fill(1);
    if !keepdims {
        shape.drain(1..=N);
    }
    (Places { places: dims[1..=N].iter().product(), channels: dims[N + 1] }, shape)
}

/// Without the axes of 1, unless they are to be kept.
fn finish<const N: usize>(ys: Tensor, keepdims: bool) -> Result<Tensor> {
    if keepdims {
        return Ok(ys);
    }
    let (batch, channels) = (ys.dim(0)?, ys.dim(N + 1)?);
    ys.reshape((batch, channels))
}

impl<const N: usize> GlobalMaxPoolingConfig<N> {
    /// NaN where there is one; where several places hold the largest, they share its gradient.
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        let axes = spatial_axes::<N>(xs.tensor())?;
        if !xs.fuses() {
            return self.by_tensors(xs.tensor(), &axes).map(Strand::from);
        }
        let (of, shape) = places::<N>(xs.tensor(), self.keepdims);
        let back = move |Back { x: [x], y, d, .. }: Back<'_, 1>| {
            let mut d_x = unwritten(x.len());
            pooling::global_max_back(of, x, y, &d, &mut d_x);
            [d_x]
        };
        fused("global-max", [xs], shape, |[x], out| pooling::global_max(of, x, out), back)
    }

    fn by_tensors(&self, xs: &Tensor, axes: &[usize]) -> Result<Tensor> {
        let mut largest = xs.detach();
        for &axis in axes {
            largest = largest.max_keepdim(axis)?;
        }
        // Not "equal": NaN is less than nothing and so comes through.
        let places = xs.detach().broadcast_lt(&largest)?.eq(0u8)?.to_dtype(xs.dtype())?;
        let count = places.sum_keepdim(axes)?;
        // The mean of the places that hold it: the value, with the gradient shared.
        let zeros = xs.zeros_like()?;
        let held = places.ne(0.0)?.where_cond(xs, &zeros)?;
        finish::<N>((held.sum_keepdim(axes)? / count)?, self.keepdims)
    }
}

impl<const N: usize> Config for GlobalMaxPoolingConfig<N> {
    fn check(&self) -> Checked<()> {
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        output_shape::<N>(inputs, self.keepdims)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn padding_rule(&self) -> PaddingRule {
        PaddingRule::Largest
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(GlobalMaxPooling::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// The largest value of each channel: (batch, …, channels) to (batch, channels).
    GlobalMaxPooling<const N: usize>, GlobalMaxPoolingConfig<N>, strand
}

impl<const N: usize> Config for GlobalAveragePoolingConfig<N> {
    fn check(&self) -> Checked<()> {
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        output_shape::<N>(inputs, self.keepdims)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn padding_rule(&self) -> PaddingRule {
        PaddingRule::Skipped
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(GlobalAveragePooling::new(first_shape(inputs), *self, vb)?))
    }
}

/// The mean of each channel: (batch, …, channels) to (batch, channels).
#[derive(Clone, Debug)]
pub struct GlobalAveragePooling<const N: usize> {
    config: GlobalAveragePoolingConfig<N>,
}

impl<const N: usize> GlobalAveragePooling<N> {
    /// The layer over an input of this shape, the batch first. It has no variables; messages name it by the prefix of
    /// `vb`.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn new(
        input: &[Option<usize>],
        config: GlobalAveragePoolingConfig<N>,
        vb: VarBuilder,
    ) -> Result<Self> {
        match output_shape::<N>(&[input.to_vec()], config.keepdims) {
            Ok(_) => Ok(Self { config }),
            Err(what) => bail!("layer {}: {what}", vb.prefix()),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &GlobalAveragePoolingConfig<N> {
        &self.config
    }

    /// The mean; with a mask (batch, time), u8, the mean of the steps that it leaves.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn forward_masked(&self, xs: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into(), mask)?.tensor().clone())
    }

    fn over(&self, xs: &Strand, mask: Option<&Tensor>) -> Result<Strand> {
        let axes = spatial_axes::<N>(xs.tensor())?;
        if !xs.fuses() {
            return self.by_tensors(xs.tensor(), mask, &axes).map(Strand::from);
        }
        let (of, shape) = places::<N>(xs.tensor(), self.config.keepdims);
        let mask =
            mask.map(|mask| place_bytes("global pooling", xs.tensor(), mask)).transpose()?.map(Arc::new);
        let of_forward = mask.clone();
        fused(
            "global-mean",
            [xs],
            shape,
            |[x], out| pooling::global_mean(of, x, of_forward.as_deref().map(Vec::as_slice), out),
            move |Back { x: [x], d, .. }: Back<'_, 1>| {
                let mut d_x = unwritten(x.len());
                pooling::global_mean_back(of, mask.as_deref().map(Vec::as_slice), &d, &mut d_x);
                [d_x]
            },
        )
    }

    fn by_tensors(&self, xs: &Tensor, mask: Option<&Tensor>, axes: &[usize]) -> Result<Tensor> {
        let Some(mask) = mask else {
            return finish::<N>(xs.mean_keepdim(axes)?, self.config.keepdims);
        };
        let mask = mask.ne(0u8)?.unsqueeze(2)?;
        let count = mask.to_dtype(xs.dtype())?.sum_keepdim(1)?;
        let kept = mask.broadcast_as(xs.shape())?.contiguous()?.where_cond(xs, &xs.zeros_like()?)?;
        finish::<N>(kept.sum_keepdim(1)?.broadcast_div(&count)?, self.config.keepdims)
    }
}

impl<const N: usize> Module for GlobalAveragePooling<N> {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.forward_masked(xs, None)
    }
}

impl<const N: usize> Layer for GlobalAveragePooling<N> {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        let input = first(inputs)?;
        // Of several spatial axes Keras heeds no mask.
        let mask = input.mask.as_ref().filter(|_| N == 1);
        Ok(vec![self.over(&input.strand()?, mask)?.into()])
    }
}

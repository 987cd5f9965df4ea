//! Keras's `DepthwiseConv1D` and `DepthwiseConv2D` (`keras/src/layers/convolutional/base_depthwise_conv.py`), channels last.

use super::conv::{one, yes};
use super::op;
use super::window::{Padding, Sizes, Window, taps, window_shape, windows};
use crate::layers::activation::Activation;
use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_units, features, single};
use crate::layers::strand::Strand;
use candle_core::{D, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`DepthwiseConv`], with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseConvConfig<const N: usize> {
    /// The window's size along each axis.
    pub kernel_size: Sizes<N>,
    /// How far the window moves at a time.
    #[serde(default = "one")]
    pub strides: Sizes<N>,
    /// What happens at the ends.
    #[serde(default)]
    pub padding: Padding,
    /// Output channels of each input channel.
    #[serde(default = "one_channel")]
    pub depth_multiplier: usize,
    /// How far apart the places of a window are.
    #[serde(default = "one")]
    pub dilation_rate: Sizes<N>,
    /// The activation.
    #[serde(default)]
    pub activation: Activation,
    /// Whether there is a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
}

pub(super) fn one_channel() -> usize {
    1
}

/// The channels that a depthwise convolution gives.
pub(super) fn depth(channels: usize, multiplier: usize) -> Checked<usize> {
    let depth = channels.saturating_mul(multiplier);
    check_units("depth_multiplier times the input's channels", depth).map(|()| depth)
}

impl<const N: usize> DepthwiseConvConfig<N> {
    fn windows(&self) -> Vec<Window> {
        windows(self.kernel_size, self.strides, self.dilation_rate, self.padding)
    }

    /// kernel (sizes, input channels, depth multiplier), bias (input channels · depth multiplier).
    ///
    /// # Errors
    /// If there would be too many output channels.
    pub fn variables(&self, channels: usize) -> Checked<Vec<Variable>> {
        let depth = depth(channels, self.depth_multiplier)?;
        let mut shape = self.kernel_size.0.to_vec();
        shape.extend([channels, self.depth_multiplier]);
        let mut variables = vec![Variable::new("kernel", shape, Initializer::GlorotUniform)];
        if self.use_bias {
            variables.push(Variable::new("bias", [depth], Initializer::Zeros));
        }
        Ok(variables)
    }
}

impl<const N: usize> Config for DepthwiseConvConfig<N> {
    fn check(&self) -> Checked<()> {
        self.kernel_size.check("kernel_size")?;
        self.strides.check("strides")?;
        self.dilation_rate.check("dilation_rate")?;
        check_units("depth_multiplier", self.depth_multiplier)?;
        match self.padding {
            Padding::Causal => Err("padding must be `valid` or `same`".into()),
            Padding::Valid | Padding::Same => Ok(()),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        let channels = features(input)?;
        let depth = depth(channels, self.depth_multiplier)?;
        let output = window_shape(input, &self.windows(), Some(depth))?;
        Ok(Placed::one(output).with(self.variables(channels)?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let channels = features(first_shape(inputs)).map_err(candle_core::Error::msg)?;
        Ok(Arc::new(DepthwiseConv::new(channels, self.clone(), vb)?))
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }
}

/// A convolution of each channel by itself: (batch, …, channels) to (batch, …, channels · depth multiplier).
#[derive(Clone, Debug)]
pub struct DepthwiseConv<const N: usize> {
    config: DepthwiseConvConfig<N>,
    name: String,
    kernel: Tensor,
    bias: Option<Tensor>,
}

impl<const N: usize> DepthwiseConv<N> {
    /// A layer over so many input channels, its variables taken from `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(channels: usize, config: DepthwiseConvConfig<N>, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        let variables = match config.check().and_then(|()| config.variables(channels)) {
            Ok(variables) => variables,
            Err(what) => bail!("layer {name}: {what}"),
        };
        let mut tensors = variables.iter().map(|variable| variable.get(&vb));
        let Some(kernel) = tensors.next() else { bail!("layer {name}: no kernel") };
        Ok(Self { config, name, kernel: kernel?, bias: tensors.next().transpose()? })
    }

    /// The configuration.
    pub fn config(&self) -> &DepthwiseConvConfig<N> {
        &self.config
    }

    /// The convolution and the bias, without the activation.
    fn linear(&self, xs: &Strand) -> Result<Strand> {
        op::check_channels::<N>(&self.name, xs.tensor(), self.kernel.dim(N)?)?;
        convolve_each(xs, &self.kernel, self.bias.as_ref(), &self.config.windows())
    }
}

impl<const N: usize> Module for DepthwiseConv<N> {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.config.activation.over(&self.linear(&xs.clone().into())?)?.tensor().clone())
    }
}

impl<const N: usize> Layer for DepthwiseConv<N> {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let ys = self.linear(&first(inputs)?.strand()?)?;
        Ok(vec![if pass.logits { ys } else { self.config.activation.over(&ys)? }.into()])
    }
}

/// xs (batch, …, channels), each channel convolved by itself with `kernel` (sizes, channels, multiplier), plus `bias`
/// (channels · multiplier), to (batch, …, channels · multiplier).
pub(super) fn convolve_each(
    xs: &Strand,
    kernel: &Tensor,
    bias: Option<&Tensor>,
    windows: &[Window],
) -> Result<Strand> {
    if op::suits(xs, kernel) {
        return op::each(xs, kernel, bias, windows);
    }
    let ys = convolve_each_tensors(xs.tensor(), kernel, windows)?;
    match bias {
        Some(bias) => ys.broadcast_add(bias).map(Strand::from),
        None => Ok(ys.into()),
    }
}

/// The same in Candle's operations, without the bias: a product of matrices for each channel.
fn convolve_each_tensors(xs: &Tensor, kernel: &Tensor, windows: &[Window]) -> Result<Tensor> {
    let (channels, multiplier) = (xs.dim(D::Minus1)?, kernel.dim(D::Minus1)?);
    let taps = taps(xs, windows, 0.0)?;
    let Some(first) = taps.first() else { bail!("a window needs at least one place") };
    let mut shape = first.dims().to_vec();
    let rows: usize = shape.iter().rev().skip(1).product();
    // (places, rows, channels) and (places, channels, multiplier), with the channels first.
    let columns = Tensor::stack(&taps, 0)?.reshape((taps.len(), rows, channels))?;
    let columns = columns.permute((2, 1, 0))?.contiguous()?;
    let kernel = kernel.reshape((taps.len(), channels, multiplier))?.transpose(0, 1)?.contiguous()?;
    let ys = columns.matmul(&kernel)?.transpose(0, 1)?.contiguous()?;
    if let Some(last) = shape.last_mut() {
        *last = channels * multiplier;
    }
    ys.reshape(shape)
}

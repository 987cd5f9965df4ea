//! Keras's `SeparableConv1D` and `SeparableConv2D` (`keras/src/layers/convolutional/base_separable_conv.py`), channels last.

use super::conv::{one, yes};
use super::depthwise_conv::{convolve_each, depth, one_channel};
use super::op;
use super::window::{Padding, Sizes, Window, window_shape, windows};
use crate::layers::activation::Activation;
use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::product::product;
use crate::layers::shape::{Checked, Shape, check_units, features, single};
use crate::layers::strand::Strand;
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`SeparableConv`], with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeparableConvConfig<const N: usize> {
    /// Output channels.
    pub filters: usize,
    /// The window's size along each axis.
    pub kernel_size: Sizes<N>,
    /// How far the window moves at a time.
    #[serde(default = "one")]
    pub strides: Sizes<N>,
    /// What happens at the ends. `causal` is for one axis, and Keras 2's alone.
    #[serde(default)]
    pub padding: Padding,
    /// How far apart the places of a window are.
    #[serde(default = "one")]
    pub dilation_rate: Sizes<N>,
    /// Channels between the two convolutions, for each input channel.
    #[serde(default = "one_channel")]
    pub depth_multiplier: usize,
    /// The activation.
    #[serde(default)]
    pub activation: Activation,
    /// Whether there is a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
}

impl<const N: usize> SeparableConvConfig<N> {
    fn windows(&self) -> Vec<Window> {
        windows(self.kernel_size, self.strides, self.dilation_rate, self.padding)
    }

    /// `depthwise_kernel` (sizes, input channels, depth multiplier), `pointwise_kernel` (ones, input channels · depth
    /// multiplier, filters), bias (filters).
    ///
    /// # Errors
    /// If there would be too many channels between.
    pub fn variables(&self, channels: usize) -> Checked<Vec<Variable>> {
        let depth = depth(channels, self.depth_multiplier)?;
        let mut depthwise = self.kernel_size.0.to_vec();
        depthwise.extend([channels, self.depth_multiplier]);
        let mut pointwise = vec![1; N];
        pointwise.extend([depth, self.filters]);
        let mut variables = vec![
            Variable::new("depthwise_kernel", depthwise, Initializer::GlorotUniform),
            Variable::new("pointwise_kernel", pointwise, Initializer::GlorotUniform),
        ];
        if self.use_bias {
            variables.push(Variable::new("bias", [self.filters], Initializer::Zeros));
        }
        Ok(variables)
    }
}

impl<const N: usize> Config for SeparableConvConfig<N> {
    fn check(&self) -> Checked<()> {
        check_units("filters", self.filters)?;
        self.kernel_size.check("kernel_size")?;
        self.strides.check("strides")?;
        self.dilation_rate.check("dilation_rate")?;
        check_units("depth_multiplier", self.depth_multiplier)?;
        if self.padding == Padding::Causal && N != 1 {
            return Err("padding `causal` is for SeparableConv1D only".into());
        }
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        let variables = self.variables(features(input)?)?;
        let output = window_shape(input, &self.windows(), Some(self.filters))?;
        Ok(Placed::one(output).with(variables))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let channels = features(first_shape(inputs)).map_err(candle_core::Error::msg)?;
        Ok(Arc::new(SeparableConv::new(channels, self.clone(), vb)?))
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }
}

/// A convolution of each channel by itself, then one of all channels at each place: (batch, …, channels) to
/// (batch, …, filters).
#[derive(Clone, Debug)]
pub struct SeparableConv<const N: usize> {
    config: SeparableConvConfig<N>,
    name: String,
    depthwise_kernel: Tensor,
    /// (channels between, filters)
    pointwise_kernel: Tensor,
    bias: Option<Tensor>,
}

impl<const N: usize> SeparableConv<N> {
    /// A layer over so many input channels, its variables taken from `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(channels: usize, config: SeparableConvConfig<N>, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        let variables = match config.check().and_then(|()| config.variables(channels)) {
            Ok(variables) => variables,
            Err(what) => bail!("layer {name}: {what}"),
        };
        let mut tensors = variables.iter().map(|variable| variable.get(&vb));
        let (Some(depthwise), Some(pointwise)) = (tensors.next(), tensors.next()) else {
            bail!("layer {name}: no kernels")
        };
        let pointwise = pointwise?;
        let (between, filters) = (pointwise.dim(N)?, pointwise.dim(N + 1)?);
        Ok(Self {
            config,
            name,
            depthwise_kernel: depthwise?,
            pointwise_kernel: pointwise.reshape((between, filters))?,
            bias: tensors.next().transpose()?,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &SeparableConvConfig<N> {
        &self.config
    }

    /// The convolutions and the bias, without the activation.
    fn linear(&self, xs: &Strand) -> Result<Strand> {
        op::check_channels::<N>(&self.name, xs.tensor(), self.depthwise_kernel.dim(N)?)?;
        let each = convolve_each(xs, &self.depthwise_kernel, None, &self.config.windows())?;
        product(&each, &self.pointwise_kernel, self.bias.as_ref())
    }
}

impl<const N: usize> Module for SeparableConv<N> {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.config.activation.over(&self.linear(&xs.clone().into())?)?.tensor().clone())
    }
}

impl<const N: usize> Layer for SeparableConv<N> {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let ys = self.linear(&first(inputs)?.strand()?)?;
        Ok(vec![if pass.logits { ys } else { self.config.activation.over(&ys)? }.into()])
    }
}

//! Convolutions, channels last: `Conv1D` to `Conv3D` (`keras/src/layers/convolutional/`).
//!
//! In f32 on the CPU it is one op (`op.rs`). Elsewhere the windows of the input stand side by side in a matrix, which is
//! multiplied by the kernel, and Candle's own operations give the gradient for any stride, dilation and padding.

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

/// The arguments of [`Conv`], with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvConfig<const N: usize> {
    /// Output channels.
    pub filters: usize,
    /// The window's size along each axis.
    pub kernel_size: Sizes<N>,
    /// How far the window moves at a time.
    #[serde(default = "one")]
    pub strides: Sizes<N>,
    /// What happens at the ends.
    #[serde(default)]
    pub padding: Padding,
    /// How far apart the places of a window are.
    #[serde(default = "one")]
    pub dilation_rate: Sizes<N>,
    /// Groups of channels that are convolved separately.
    #[serde(default = "one_group")]
    pub groups: usize,
    /// The activation.
    #[serde(default)]
    pub activation: Activation,
    /// Whether there is a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
}

pub(crate) fn one<const N: usize>() -> Sizes<N> {
    Sizes::all(1)
}

fn one_group() -> usize {
    1
}

pub(crate) fn yes() -> bool {
    true
}

impl<const N: usize> ConvConfig<N> {
    fn windows(&self) -> Vec<Window> {
        windows(self.kernel_size, self.strides, self.dilation_rate, self.padding)
    }

    /// kernel (sizes, input channels / groups, filters), bias (filters).
    ///
    /// # Errors
    /// If the groups do not divide the channels.
    pub fn variables(&self, channels: usize) -> Checked<Vec<Variable>> {
        if channels == 0 || !channels.is_multiple_of(self.groups) {
            return Err(format!("groups {} must divide the input's {channels} channels", self.groups));
        }
        let mut shape = self.kernel_size.0.to_vec();
        shape.extend([channels / self.groups, self.filters]);
        let mut variables = vec![Variable::new("kernel", shape, Initializer::GlorotUniform)];
        if self.use_bias {
            variables.push(Variable::new("bias", [self.filters], Initializer::Zeros));
        }
        Ok(variables)
    }
}

impl<const N: usize> Config for ConvConfig<N> {
    fn check(&self) -> Checked<()> {
        check_units("filters", self.filters)?;
        self.kernel_size.check("kernel_size")?;
        self.strides.check("strides")?;
        self.dilation_rate.check("dilation_rate")?;
        if self.groups == 0 || !self.filters.is_multiple_of(self.groups) {
            return Err(format!("groups {} must divide filters {}", self.groups, self.filters));
        }
        if self.padding == Padding::Causal && N != 1 {
            return Err("padding `causal` is for Conv1D only".into());
        }
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        let output = window_shape(input, &self.windows(), Some(self.filters))?;
        Ok(Placed::one(output).with(self.variables(features(input)?)?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let channels = features(first_shape(inputs)).map_err(candle_core::Error::msg)?;
        Ok(Arc::new(Conv::new(channels, self.clone(), vb)?))
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }
}

/// A convolution over the axes between the first and the last: (batch, …, channels) to (batch, …, filters).
#[derive(Clone, Debug)]
pub struct Conv<const N: usize> {
    config: ConvConfig<N>,
    name: String,
    kernel: Tensor,
    bias: Option<Tensor>,
}

impl<const N: usize> Conv<N> {
    /// A layer over so many input channels, its variables taken from `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(channels: usize, config: ConvConfig<N>, vb: VarBuilder) -> Result<Self> {
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
    pub fn config(&self) -> &ConvConfig<N> {
        &self.config
    }

    /// The convolution and the bias, without the activation.
    fn linear(&self, xs: &Strand) -> Result<Strand> {
        op::check_channels::<N>(&self.name, xs.tensor(), self.kernel.dim(N)? * self.config.groups)?;
        convolve(xs, &self.kernel, self.bias.as_ref(), &self.config.windows(), self.config.groups)
    }
}

impl<const N: usize> Module for Conv<N> {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.config.activation.over(&self.linear(&xs.clone().into())?)?.tensor().clone())
    }
}

impl<const N: usize> Layer for Conv<N> {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let ys = self.linear(&first(inputs)?.strand()?)?;
        Ok(vec![if pass.logits { ys } else { self.config.activation.over(&ys)? }.into()])
    }
}

/// xs (batch, …, channels) convolved with `kernel` (sizes, channels / groups, filters), plus `bias` (filters).
pub(crate) fn convolve(
    xs: &Strand,
    kernel: &Tensor,
    bias: Option<&Tensor>,
    windows: &[Window],
    groups: usize,
) -> Result<Strand> {
    if op::suits(xs, kernel) {
        return op::whole(xs, kernel, bias, windows, groups);
    }
    let ys = convolve_tensors(xs.tensor(), kernel, windows, groups)?;
    match bias {
        Some(bias) => ys.broadcast_add(bias).map(Strand::from),
        None => Ok(ys.into()),
    }
}

/// The same in Candle's operations, without the bias.
fn convolve_tensors(xs: &Tensor, kernel: &Tensor, windows: &[Window], groups: usize) -> Result<Tensor> {
    let filters = kernel.dim(D::Minus1)?;
    let channels = xs.dim(D::Minus1)?;
    if groups > 1 {
        let (inputs, outputs) = (channels / groups, filters / groups);
        let axis = xs.rank() - 1;
        let parts = (0..groups).map(|group| {
            let xs = xs.narrow(axis, group * inputs, inputs)?;
            convolve_tensors(&xs, &kernel.narrow(axis, group * outputs, outputs)?, windows, 1)
        });
        return Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, axis);
    }
    let taps = taps(xs, windows, 0.0)?;
    let Some(first) = taps.first() else { bail!("a window needs at least one place") };
    let mut shape = first.dims().to_vec();
    let rows: usize = shape.iter().rev().skip(1).product();
    let columns = Tensor::cat(&taps, xs.rank() - 1)?.reshape((rows, taps.len() * channels))?;
    let ys = columns.matmul(&kernel.reshape((taps.len() * channels, filters))?)?;
    if let Some(last) = shape.last_mut() {
        *last = filters;
    }
    ys.reshape(shape)
}

//! Keras's `Conv1DTranspose` to `Conv3DTranspose` (`keras/src/layers/convolutional/base_conv_transpose.py`), channels last,
//! with the lengths of `keras/src/backend/common/backend_utils.py` and the places of TensorFlow's `conv_transpose`.
//!
//! In f32 on the CPU it is the way back of a convolution's op (`op.rs`). Elsewhere the input's steps stand `strides` apart,
//! with zeros between and around, and are convolved with the kernel turned round.

use super::conv::{convolve, one, yes};
use super::op::{self, Kind};
use super::window::{Padding, Sizes, Window, pad, windows};
use crate::layers::activation::Activation;
use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, axes_needed, check_numbers, check_units, features, single};
use crate::layers::strand::Strand;
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::{Axis, Convolution};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`ConvTranspose`], with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTransposeConfig<const N: usize> {
    /// Output channels.
    pub filters: usize,
    /// The window's size along each axis.
    pub kernel_size: Sizes<N>,
    /// How far apart the input's steps stand in the output.
    #[serde(default = "one")]
    pub strides: Sizes<N>,
    /// `valid` gives the whole of every window, `same` strides · length steps.
    #[serde(default)]
    pub padding: Padding,
    /// Steps added to the shortest output, fewer than `strides` along each axis; if left out, as many as give the
    /// lengths that `padding` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_padding: Option<Sizes<N>>,
    /// How far apart the places of a window are; more than 1 only with strides of 1.
    #[serde(default = "one")]
    pub dilation_rate: Sizes<N>,
    /// The activation.
    #[serde(default)]
    pub activation: Activation,
    /// Whether there is a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
}

/// Where the output lies along one axis.
struct Along {
    length: usize,
    /// Steps cut off before it.
    cut: usize,
}

impl<const N: usize> ConvTransposeConfig<N> {
    /// The windows of the turned kernel over the input as it stands apart.
    fn windows(&self) -> Vec<Window> {
        windows(self.kernel_size, Sizes::all(1), self.dilation_rate, Padding::Valid)
    }

    /// The steps that a window spans along an axis.
    fn span(&self, axis: usize) -> usize {
        (self.kernel_size.0[axis] - 1) * self.dilation_rate.0[axis] + 1
    }

    /// Where the output lies; none where it is too long to count.
    fn along(&self, axis: usize, length: usize) -> Option<Along> {
        let (stride, span) = (self.strides.0[axis], self.span(axis));
        let surplus = self.output_padding.map(|padding| padding.0[axis]);
        // The first place of the last step's window.
        let last = length.checked_sub(1)?.checked_mul(stride)?;
        let whole = last.checked_add(span)?;
        Some(match self.padding {
            Padding::Same => {
                let length = last.checked_add(surplus.map_or(stride, |surplus| span % 2 + surplus))?;
                Along { length, cut: whole.saturating_sub(length) / 2 }
            }
            Padding::Valid | Padding::Causal => {
                let surplus = surplus.unwrap_or(stride.saturating_sub(span));
                Along { length: whole.checked_add(surplus)?, cut: 0 }
            }
        })
    }

    /// kernel (sizes, filters, input channels), bias (filters).
    pub fn variables(&self, channels: usize) -> Vec<Variable> {
        let mut shape = self.kernel_size.0.to_vec();
        shape.extend([self.filters, channels]);
        let mut variables = vec![Variable::new("kernel", shape, Initializer::GlorotUniform)];
        if self.use_bias {
            variables.push(Variable::new("bias", [self.filters], Initializer::Zeros));
        }
        variables
    }
}

impl<const N: usize> Config for ConvTransposeConfig<N> {
    fn check(&self) -> Checked<()> {
        check_units("filters", self.filters)?;
        self.kernel_size.check("kernel_size")?;
        self.strides.check("strides")?;
        self.dilation_rate.check("dilation_rate")?;
        if self.padding == Padding::Causal {
            return Err("padding must be `valid` or `same`".into());
        }
        if self.strides != Sizes::all(1) && self.dilation_rate != Sizes::all(1) {
            return Err("strides above 1 and dilation_rate above 1 exclude each other".into());
        }
        let Some(surplus) = self.output_padding else { return Ok(()) };
        for axis in 0..N {
            let (surplus, stride) = (surplus.0[axis], self.strides.0[axis]);
            if surplus >= stride {
                return Err(format!("output_padding {surplus} must be below strides {stride}"));
            }
            if self.padding == Padding::Same && surplus == 0 && self.span(axis).is_multiple_of(2) {
                return Err(
                    "output_padding must be at least 1 where padding is `same` and a window spans an even number of \
                     steps"
                        .into(),
                );
            }
        }
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        if input.len() != N + 2 {
            return Err(axes_needed(N + 2, input));
        }
        let channels = features(input)?;
        let mut output = input.clone();
        for (axis, length) in output.iter_mut().skip(1).take(N).enumerate() {
            if let Some(known) = *length {
                let along = self.along(axis, known).filter(|along| along.length > 0);
                *length = Some(along.ok_or("its input has no steps, or its output too many")?.length);
            }
        }
        if let Some(last) = output.last_mut() {
            *last = Some(self.filters);
        }
        Ok(Placed::one(output).with(self.variables(channels)))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let channels = features(first_shape(inputs)).map_err(candle_core::Error::msg)?;
        Ok(Arc::new(ConvTranspose::new(channels, self.clone(), vb)?))
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }
}

/// What takes the gradient of a convolution's output to that of its input, as a layer: (batch, …, channels) to (batch, …,
/// filters) with the axes between made longer.
#[derive(Clone, Debug)]
pub struct ConvTranspose<const N: usize> {
    config: ConvTransposeConfig<N>,
    name: String,
    kernel: Tensor,
    bias: Option<Tensor>,
}

impl<const N: usize> ConvTranspose<N> {
    /// A layer over so many input channels, its variables taken from `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(channels: usize, config: ConvTransposeConfig<N>, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = config.check() {
            bail!("layer {name}: {what}")
        }
        let mut tensors = config.variables(channels).into_iter().map(|variable| variable.get(&vb));
        let Some(kernel) = tensors.next() else { bail!("layer {name}: no kernel") };
        Ok(Self { config, name, kernel: kernel?, bias: tensors.next().transpose()? })
    }

    /// The configuration.
    pub fn config(&self) -> &ConvTransposeConfig<N> {
        &self.config
    }

    /// The kernel turned round, as a convolution has it: (sizes, input channels, filters).
    fn turned(&self) -> Result<Tensor> {
        let (filters, channels) = (self.kernel.dim(N)?, self.kernel.dim(N + 1)?);
        let places: usize = self.kernel.dims()[..N].iter().product();
        // All axes of the window turned round are its places from the last to the first.
        let order: Vec<u32> = (0..places as u32).rev().collect();
        let order = Tensor::from_vec(order, places, self.kernel.device())?;
        let kernel =
            self.kernel.reshape((places, filters, channels))?.contiguous()?.index_select(&order, 0)?;
        let mut shape = self.kernel.dims().to_vec();
        shape.swap(N, N + 1);
        kernel.transpose(1, 2)?.contiguous()?.reshape(shape)
    }

    /// The way back of a convolution from the output to the input.
    fn back(&self, xs: &Strand) -> Result<Strand> {
        let mut axes = Vec::with_capacity(N);
        let dims = xs.tensor().dims();
        for axis in 0..N {
            let count = dims[axis + 1];
            let Some(Along { length, cut }) = self.config.along(axis, count) else {
                bail!("layer {}: has no output for an input of {dims:?}", self.name)
            };
            let (size, stride) = (self.config.kernel_size.0[axis], self.config.strides.0[axis]);
            let dilation = self.config.dilation_rate.0[axis];
            axes.push(Axis { length, size, stride, dilation, before: cut, count });
        }
        let (channels, filters) = (self.kernel.dim(N)?, self.kernel.dim(N + 1)?);
        let convolution = Convolution { batch: dims[0], axes, channels, filters, groups: 1 };
        op::run(xs, &self.kernel, self.bias.as_ref(), Kind::Transposed(convolution))
    }

    /// The convolution and the bias, without the activation.
    fn linear(&self, xs: &Strand) -> Result<Strand> {
        op::check_channels::<N>(&self.name, xs.tensor(), self.kernel.dim(N + 1)?)?;
        if op::suits(xs, &self.kernel) {
            return self.back(xs);
        }
        let xs = xs.tensor();
        let mut lengths = xs.dims().to_vec();
        let mut ends = [(0, 0); N];
        for (axis, ends) in ends.iter_mut().enumerate() {
            let (stride, span) = (self.config.strides.0[axis], self.config.span(axis));
            let Some(along) = self.config.along(axis, lengths[axis + 1]) else {
                bail!("layer {}: has no output for an input of {:?}", self.name, xs.dims())
            };
            // Of the whole windows `cut` steps go before, and what is missing comes after.
            let before = (span - 1).saturating_sub(along.cut);
            let given = (lengths[axis + 1] - 1) * stride + 1;
            let needed = along.length.saturating_add(span - 1);
            *ends = (before, needed.saturating_sub(before.saturating_add(given)));
            lengths[axis + 1] = needed;
        }
        check_numbers(&lengths)?;
        let mut apart = xs.contiguous()?;
        for (axis, &ends) in ends.iter().enumerate() {
            apart = pad(&stand_apart(&apart, axis + 1, self.config.strides.0[axis])?, axis + 1, ends, 0.0)?;
        }
        convolve(&apart.into(), &self.turned()?, self.bias.as_ref(), &self.config.windows(), 1)
    }
}

/// The steps of an axis `stride` apart, with zeros between.
fn stand_apart(xs: &Tensor, axis: usize, stride: usize) -> Result<Tensor> {
    let length = xs.dim(axis)?;
    if stride == 1 || length <= 1 {
        return Ok(xs.clone());
    }
    let apart = pad(&xs.unsqueeze(axis + 1)?, axis + 1, (0, stride - 1), 0.0)?;
    let mut shape = xs.dims().to_vec();
    shape[axis] = length * stride;
    apart.reshape(shape)?.narrow(axis, 0, (length - 1) * stride + 1)
}

impl<const N: usize> Module for ConvTranspose<N> {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.config.activation.over(&self.linear(&xs.clone().into())?)?.tensor().clone())
    }
}

impl<const N: usize> Layer for ConvTranspose<N> {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let ys = self.linear(&first(inputs)?.strand()?)?;
        Ok(vec![if pass.logits { ys } else { self.config.activation.over(&ys)? }.into()])
    }
}

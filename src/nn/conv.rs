//! Convolutions, channels last: `Conv1D` and `Conv2D` (`keras/src/layers/convolutional/`).
//!
//! The windows of the input stand side by side in a matrix, which is multiplied with the kernel. So any stride,
//! dilation and padding has a gradient by Candle's own operations.

use super::sizes::{Dims, Padding, Sizes, Window, window_shape, windows};
use super::{Activation, Initializer, Variable};
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// Keras's arguments and defaults.
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

pub(super) fn one<const N: usize>() -> Sizes<N> {
    Sizes::all(1)
}

fn one_group() -> usize {
    1
}

pub(super) fn yes() -> bool {
    true
}

impl<const N: usize> ConvConfig<N> {
    fn windows(&self) -> Vec<Window> {
        windows(self.kernel_size, self.strides, self.dilation_rate, self.padding)
    }

    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        super::check_units(self.filters).map_err(|what| what.replace("units", "filters"))?;
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

    pub(crate) fn output_shape(&self, input: &[Option<usize>]) -> std::result::Result<Dims, String> {
        window_shape(input, &self.windows(), Some(self.filters))
    }

    /// kernel (sizes, input channels / groups, filters), bias (filters).
    pub(crate) fn variables(&self, input: &[Option<usize>]) -> std::result::Result<Vec<Variable>, String> {
        let channels = input.last().copied().flatten().ok_or("the channels of its input must be known")?;
        if channels == 0 || channels % self.groups != 0 {
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

/// A convolution over the last axes but one, of (batch, …, channels).
#[derive(Clone, Debug)]
pub(crate) struct Conv<const N: usize> {
    config: ConvConfig<N>,
    kernel: Tensor,
    bias: Option<Tensor>,
}

impl<const N: usize> Conv<N> {
    pub fn new(config: ConvConfig<N>, variables: &[Variable], vb: &VarBuilder) -> Result<Self> {
        let mut tensors = variables.iter().map(|variable| variable.get(vb));
        let Some(kernel) = tensors.next() else { bail!("layer {}: no kernel", vb.prefix()) };
        Ok(Self { config, kernel: kernel?, bias: tensors.next().transpose()? })
    }

    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let ys = convolve(xs, &self.kernel, &self.config.windows(), self.config.groups)?;
        let ys = match &self.bias {
            Some(bias) => ys.broadcast_add(bias)?,
            None => ys,
        };
        self.config.activation.forward(&ys)
    }
}

/// xs (batch, …, channels) convolved with `kernel` (sizes, channels / groups, filters).
pub(super) fn convolve(xs: &Tensor, kernel: &Tensor, windows: &[Window], groups: usize) -> Result<Tensor> {
    let filters = kernel.dim(candle_core::D::Minus1)?;
    let channels = xs.dim(candle_core::D::Minus1)?;
    if groups > 1 {
        let (inputs, outputs) = (channels / groups, filters / groups);
        let axis = xs.rank() - 1;
        let parts = (0..groups).map(|group| {
            let xs = xs.narrow(axis, group * inputs, inputs)?;
            convolve(&xs, &kernel.narrow(axis, group * outputs, outputs)?, windows, 1)
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

/// For each place in the window, in row-major order, what stands there at each position of the window: each
/// (batch, positions…, channels). The input is padded with `fill`.
pub(super) fn taps(xs: &Tensor, windows: &[Window], fill: f64) -> Result<Vec<Tensor>> {
    if xs.rank() != windows.len() + 2 {
        bail!("a window over {} axes needs {} axes, given {:?}", windows.len(), windows.len() + 2, xs.dims())
    }
    let mut taps = vec![xs.clone()];
    for (axis, window) in windows.iter().enumerate() {
        let axis = axis + 1;
        let length = xs.dim(axis)?;
        let count = window.count(length);
        if count == 0 {
            bail!("a window of {} places does not fit {length} steps", window.size)
        }
        let mut next = Vec::with_capacity(taps.len() * window.size);
        for tap in &taps {
            let padded = pad(tap, axis, window.padding(length), fill)?;
            for place in 0..window.size {
                next.push(strided(&padded, axis, place * window.dilation, count, window.stride)?);
            }
        }
        taps = next;
    }
    Ok(taps)
}

fn pad(xs: &Tensor, axis: usize, (before, after): (usize, usize), fill: f64) -> Result<Tensor> {
    let block = |steps: usize| -> Result<Option<Tensor>> {
        if steps == 0 {
            return Ok(None);
        }
        let mut shape = xs.dims().to_vec();
        shape[axis] = steps;
        let values = Tensor::full(fill as f32, shape, xs.device())?;
        values.to_dtype(xs.dtype()).map(Some)
    };
    match (block(before)?, block(after)?) {
        (None, None) => Ok(xs.clone()),
        (before, after) => {
            let parts: Vec<&Tensor> = before.iter().chain([xs]).chain(&after).collect();
            Tensor::cat(&parts, axis)
        }
    }
}

/// `count` steps from `start` on, `stride` apart.
fn strided(xs: &Tensor, axis: usize, start: usize, count: usize, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return xs.narrow(axis, start, count);
    }
    let steps: Vec<u32> = (0..count).map(|step| (start + step * stride) as u32).collect();
    xs.contiguous()?.index_select(&Tensor::from_vec(steps, count, xs.device())?, axis)
}

//! Convolutions as one op with hand-written gradients, in f32 on the CPU.

use super::window::Window;
use crate::layers::cpu::{floats, suits_kernels, with_floats};
use crate::layers::shape::check_numbers;
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use candle_recurrent_kernel::{Axis, Convolution, Depthwise, column_sums};

/// Which convolution it is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Of all channels of a group.
    Whole(Convolution),
    /// What takes the gradient of the output of one to that of its input.
    Transposed(Convolution),
    /// Of each channel by itself.
    Each(Depthwise),
}

/// Whether the op can work on them.
pub(super) fn suits(xs: &Tensor, kernel: &Tensor) -> bool {
    suits_kernels(xs) && suits_kernels(kernel)
}

/// `xs` (batch, …, channels) convolved with `kernel` (sizes, channels / groups, filters), plus `bias` (filters).
pub(super) fn whole(
    xs: &Tensor,
    kernel: &Tensor,
    bias: Option<&Tensor>,
    windows: &[Window],
    groups: usize,
) -> Result<Tensor> {
    let (batch, axes) = (xs.dim(0)?, axes(xs, windows)?);
    let (channels, filters) = (xs.dim(D::Minus1)?, kernel.dim(D::Minus1)?);
    run(xs, kernel, bias, Kind::Whole(Convolution { batch, axes, channels, filters, groups }))
}

/// `xs` (batch, …, channels), each channel convolved with its own part of `kernel` (sizes, channels, multiplier), plus
/// `bias` (channels · multiplier).
pub(super) fn each(
    xs: &Tensor,
    kernel: &Tensor,
    bias: Option<&Tensor>,
    windows: &[Window],
) -> Result<Tensor> {
    let (batch, axes) = (xs.dim(0)?, axes(xs, windows)?);
    let (channels, multiplier) = (xs.dim(D::Minus1)?, kernel.dim(D::Minus1)?);
    run(xs, kernel, bias, Kind::Each(Depthwise { batch, axes, channels, multiplier }))
}

fn axes(xs: &Tensor, windows: &[Window]) -> Result<Vec<Axis>> {
    let dims = xs.dims();
    if dims.len() != windows.len() + 2 {
        bail!("a window over {} axes needs {} axes, given {dims:?}", windows.len(), windows.len() + 2)
    }
    let mut axes = Vec::with_capacity(windows.len());
    for (window, &length) in windows.iter().zip(&dims[1..]) {
        let (count, before) = (window.count(length), window.padding(length).0);
        if count == 0 {
            bail!("a window of {} places does not fit {length} steps", window.size)
        }
        let Window { size, stride, dilation, .. } = *window;
        axes.push(Axis { length, size, stride, dilation, before, count });
    }
    Ok(axes)
}

/// The convolution of an input of its sizes.
pub(super) fn run(xs: &Tensor, kernel: &Tensor, bias: Option<&Tensor>, kind: Kind) -> Result<Tensor> {
    let (batch, axes, width) = match &kind {
        Kind::Whole(of) | Kind::Transposed(of) => (of.batch, &of.axes, of.channels.max(of.filters)),
        Kind::Each(of) => (of.batch, &of.axes, of.channels * of.multiplier),
    };
    let mut numbers = vec![batch, width];
    // What is padded is as long as the steps that the last window reaches.
    numbers.extend(axes.iter().map(|axis| {
        let span = (axis.size - 1).saturating_mul(axis.dilation).saturating_add(1);
        let last = axis.count.saturating_sub(1).saturating_mul(axis.stride);
        last.saturating_add(span).max(axis.length.saturating_add(axis.before))
    }));
    check_numbers(&numbers)?;
    let (xs, kernel) = (xs.contiguous()?, kernel.contiguous()?);
    let op = ConvolutionOp { kind, with_bias: bias.is_some(), want_x: xs.track_op() };
    match bias {
        Some(bias) => xs.apply_op3(&kernel, &bias.contiguous()?, op),
        // Ops of three tensors take three.
        None => xs.apply_op3(&kernel, &kernel.detach(), op),
    }
}

struct ConvolutionOp {
    kind: Kind,
    with_bias: bool,
    want_x: bool,
}

impl ConvolutionOp {
    fn shape(&self) -> Shape {
        let counts = |axes: &[Axis]| axes.iter().map(|axis| axis.count).collect::<Vec<_>>();
        match &self.kind {
            Kind::Whole(of) => [vec![of.batch], counts(&of.axes), vec![of.filters]].concat(),
            Kind::Each(of) => [vec![of.batch], counts(&of.axes), vec![of.channels * of.multiplier]].concat(),
            Kind::Transposed(of) => {
                let lengths = of.axes.iter().map(|axis| axis.length).collect();
                [vec![of.batch], lengths, vec![of.channels]].concat()
            }
        }
        .into()
    }
}

impl CustomOp3 for ConvolutionOp {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        kernel: &CpuStorage,
        kernel_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, kernel) = (floats(x, x_layout)?, floats(kernel, kernel_layout)?);
        let bias = if self.with_bias { Some(floats(bias, bias_layout)?) } else { None };
        let out = match &self.kind {
            Kind::Whole(of) => of.forward(x, kernel, bias),
            Kind::Transposed(of) => of.transposed(x, kernel, bias),
            Kind::Each(of) => of.forward(x, kernel, bias),
        };
        Ok((CpuStorage::F32(out), self.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        d: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d_bias_of = |d: &[f32], width| if self.with_bias { column_sums(d, width) } else { vec![] };
        let (d_x, d_kernel, d_bias) = with_floats([x, kernel, d], |[x, kernel, d]| match &self.kind {
            Kind::Whole(of) => {
                let d_x = self.want_x.then(|| of.transposed(d, kernel, None));
                let gradients = of.gradients(x, d, self.with_bias);
                (d_x, gradients.kernel, gradients.bias)
            }
            Kind::Transposed(of) => {
                let d_x = self.want_x.then(|| of.forward(d, kernel, None));
                (d_x, of.gradients(d, x, false).kernel, d_bias_of(d, of.channels))
            }
            Kind::Each(of) => {
                let d_x = self.want_x.then(|| of.input_gradient(d, kernel));
                (d_x, of.kernel_gradient(x, d), d_bias_of(d, of.channels * of.multiplier))
            }
        })?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((
            d_x.map(|d_x| tensor(d_x, x)).transpose()?,
            Some(tensor(d_kernel, kernel)?),
            self.with_bias.then(|| tensor(d_bias, bias)).transpose()?,
        ))
    }
}

//! Convolutions as one op with hand-written gradients, in f32 on the CPU.

use super::window::Window;
use crate::layers::cpu::{suits_kernels, with_floats};
use crate::layers::shape::check_numbers;
use crate::layers::strand::{self, Back, Strand};
use candle_core::{D, Result, Tensor, bail};
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
pub(super) fn suits(xs: &Strand, kernel: &Tensor) -> bool {
    suits_kernels(xs.tensor()) && suits_kernels(kernel)
}

/// Refuses an input that is not (batch, …, channels) with `N` axes between.
pub(super) fn check_channels<const N: usize>(name: &str, xs: &Tensor, channels: usize) -> Result<()> {
    if xs.rank() != N + 2 || xs.dim(D::Minus1)? != channels {
        bail!(
            "layer {name}: needs an input of {} axes, the last of {channels} channels, given {:?}",
            N + 2,
            xs.dims()
        )
    }
    Ok(())
}

/// `xs` (batch, …, channels) convolved with `kernel` (sizes, channels / groups, filters), plus `bias` (filters).
pub(super) fn whole(
    xs: &Strand,
    kernel: &Tensor,
    bias: Option<&Tensor>,
    windows: &[Window],
    groups: usize,
) -> Result<Strand> {
    let (batch, axes) = (xs.tensor().dim(0)?, axes(xs.tensor().dims(), windows)?);
    let (channels, filters) = (xs.tensor().dim(D::Minus1)?, kernel.dim(D::Minus1)?);
    run(xs, kernel, bias, Kind::Whole(Convolution { batch, axes, channels, filters, groups }))
}

/// `xs` (batch, …, channels), each channel convolved with its own part of `kernel` (sizes, channels, multiplier), plus
/// `bias` (channels · multiplier).
pub(super) fn each(
    xs: &Strand,
    kernel: &Tensor,
    bias: Option<&Tensor>,
    windows: &[Window],
) -> Result<Strand> {
    let (batch, axes) = (xs.tensor().dim(0)?, axes(xs.tensor().dims(), windows)?);
    let (channels, multiplier) = (xs.tensor().dim(D::Minus1)?, kernel.dim(D::Minus1)?);
    run(xs, kernel, bias, Kind::Each(Depthwise { batch, axes, channels, multiplier }))
}

fn axes(dims: &[usize], windows: &[Window]) -> Result<Vec<Axis>> {
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

/// The sizes of a convolution of all channels of such an input.
pub(crate) fn convolution(xs: &[usize], kernel: &Tensor, windows: &[Window]) -> Result<Convolution> {
    let [batch, .., channels] = *xs else { bail!("a window needs axes to move along, given {xs:?}") };
    let (axes, filters) = (axes(xs, windows)?, kernel.dim(D::Minus1)?);
    let kind = Kind::Whole(Convolution { batch, axes, channels, filters, groups: 1 });
    kind.check(kernel)?;
    match kind {
        Kind::Whole(of) => Ok(of),
        Kind::Transposed(_) | Kind::Each(_) => bail!("not a convolution of all channels"),
    }
}

/// The convolution of an input of its sizes.
pub(super) fn run(xs: &Strand, kernel: &Tensor, bias: Option<&Tensor>, kind: Kind) -> Result<Strand> {
    kind.check(kernel)?;
    let (shape, kernel) = (kind.shape(), &kernel.clone().into());
    let Some(bias) = bias else {
        let out = with_floats([xs, kernel].map(Strand::tensor), |[x, kernel]| kind.forward(x, kernel, None))?;
        return strand::op("convolution", [xs, kernel], out, shape, move |back: Back<'_, 2>| {
            let [want_x, want_kernel] = back.wanted;
            let wanted = [want_x, want_kernel, false];
            let [d_x, d_kernel, _] = kind.backward(back.x[0], back.x[1], &back.d, wanted);
            [d_x, d_kernel]
        });
    };
    let inputs = [xs, kernel, &bias.clone().into()];
    let out =
        with_floats(inputs.map(Strand::tensor), |[x, kernel, bias]| kind.forward(x, kernel, Some(bias)))?;
    strand::op("convolution", inputs, out, shape, move |back: Back<'_, 3>| {
        kind.backward(back.x[0], back.x[1], &back.d, back.wanted)
    })
}

impl Kind {
    fn shape(&self) -> Vec<usize> {
        let counts = |axes: &[Axis]| axes.iter().map(|axis| axis.count).collect::<Vec<_>>();
        match self {
            Self::Whole(of) => [vec![of.batch], counts(&of.axes), vec![of.filters]].concat(),
            Self::Each(of) => [vec![of.batch], counts(&of.axes), vec![of.channels * of.multiplier]].concat(),
            Self::Transposed(of) => {
                let lengths = of.axes.iter().map(|axis| axis.length).collect();
                [vec![of.batch], lengths, vec![of.channels]].concat()
            }
        }
    }

    /// Refuses what would be too many numbers at once, and a kernel of other sizes.
    fn check(&self, kernel: &Tensor) -> Result<()> {
        self.check_numbers()?;
        let (axes, rest) = match self {
            Self::Whole(of) => (&of.axes, [of.channels / of.groups.max(1), of.filters]),
            Self::Transposed(of) => (&of.axes, [of.channels, of.filters]),
            Self::Each(of) => (&of.axes, [of.channels, of.multiplier]),
        };
        let sizes: Vec<usize> = axes.iter().map(|axis| axis.size).chain(rest).collect();
        if kernel.dims() != sizes {
            bail!("a kernel of {:?} does not fit the input, which needs {sizes:?}", kernel.dims())
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        let (batch, axes, inputs, outputs) = match self {
            Self::Whole(of) | Self::Transposed(of) => (of.batch, &of.axes, of.channels, of.filters),
            Self::Each(of) => (of.batch, &of.axes, of.channels, of.channels.saturating_mul(of.multiplier)),
        };
        let numbers = |width: usize, of_axis: &dyn Fn(&Axis) -> usize| {
            check_numbers(&[&[batch, width], &*axes.iter().map(of_axis).collect::<Vec<_>>()].concat())
        };
        // What is padded is as long as the steps that the last window reaches; the gradient of the output has a margin of a
        // window.
        let span = |axis: &Axis| (axis.size - 1).saturating_mul(axis.dilation).saturating_add(1);
        numbers(inputs, &|axis| {
            let last = axis.count.saturating_sub(1).saturating_mul(axis.stride);
            last.saturating_add(span(axis)).max(axis.length.saturating_add(axis.before))
        })?;
        numbers(outputs, &|axis| {
            axis.count.saturating_add(span(axis).div_ceil(axis.stride).saturating_mul(2))
        })
    }

    fn forward(&self, x: &[f32], kernel: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        match self {
            Self::Whole(of) => of.forward(x, kernel, bias),
            Self::Transposed(of) => of.transposed(x, kernel, bias),
            Self::Each(of) => of.forward(x, kernel, bias),
        }
    }

    /// The gradients of the input, the kernel and the bias; empty where they are not wanted.
    fn backward(
        &self,
        x: &[f32],
        kernel: &[f32],
        d: &[f32],
        [want_x, want_kernel, want_bias]: [bool; 3],
    ) -> [Vec<f32>; 3] {
        let d_bias = |width| if want_bias { column_sums(d, width) } else { vec![] };
        match self {
            Self::Whole(of) => {
                let d_x = if want_x { of.transposed(d, kernel, None) } else { vec![] };
                if !want_kernel {
                    return [d_x, vec![], d_bias(of.filters)];
                }
                let gradients = of.gradients(x, d, want_bias);
                [d_x, gradients.kernel, gradients.bias]
            }
            Self::Transposed(of) => {
                let d_x = if want_x { of.forward(d, kernel, None) } else { vec![] };
                let d_kernel = if want_kernel { of.gradients(d, x, false).kernel } else { vec![] };
                [d_x, d_kernel, d_bias(of.channels)]
            }
            Self::Each(of) => {
                let d_x = if want_x { of.input_gradient(d, kernel) } else { vec![] };
                let d_kernel = if want_kernel { of.kernel_gradient(x, d) } else { vec![] };
                [d_x, d_kernel, d_bias(of.channels * of.multiplier)]
            }
        }
    }
}

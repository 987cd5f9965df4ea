//! Convolutions of each channel by itself, channels last, and their gradients.

use crate::matmul::{Each, Places};
use crate::memory::unwritten;
use crate::windows::{Axis, Transposed, Windows};
use std::borrow::Cow;

/// The sizes of a convolution of each channel by itself.
#[derive(Clone, Debug)]
pub struct Depthwise {
    /// Samples.
    pub batch: usize,
    /// The axes, as they stand in the tensors.
    pub axes: Vec<Axis>,
    /// Channels of the input.
    pub channels: usize,
    /// Channels of the output for each of them.
    pub multiplier: usize,
}

impl Depthwise {
    /// Channels of the output.
    fn width(&self) -> usize {
        self.channels * self.multiplier
    }

    fn taps(&self) -> usize {
        self.axes.iter().map(|axis| axis.size).product()
    }

    fn outputs(&self) -> usize {
        self.batch * self.axes.iter().map(|axis| axis.count).product::<usize>() * self.width()
    }

    /// The input with each channel as often as the output has it.
    fn spread<'a>(&self, x: &'a [f32]) -> Cow<'a, [f32]> {
        match self.multiplier {
            1 => Cow::Borrowed(x),
            times => x.iter().flat_map(|&x| std::iter::repeat_n(x, times)).collect(),
        }
    }

    /// `x` (batch, lengths, channels), each channel convolved by itself with `kernel` (sizes, channels, multiplier), plus
    /// `bias` (channels · multiplier) if there is one: (batch, counts, channels · multiplier).
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn forward(&self, x: &[f32], kernel: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let mut out = unwritten(self.outputs());
        if !out.is_empty() {
            let x = self.spread(x);
            let windows = Windows::new(self.batch, &self.axes, self.width(), &x);
            let taps: Vec<usize> = (0..self.taps()).collect();
            self.each(&windows).product(kernel, &taps, bias, Places::every(self.width()), &mut out);
        }
        out
    }

    /// The gradient of the kernel from that of the output, `d` (batch, counts, channels · multiplier).
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn kernel_gradient(&self, x: &[f32], d: &[f32]) -> Vec<f32> {
        let mut kernel = vec![0.0; self.taps() * self.width()];
        if self.outputs() > 0 {
            let x = self.spread(x);
            let windows = Windows::new(self.batch, &self.axes, self.width(), &x);
            self.each(&windows).gradient(d, &mut kernel);
        }
        kernel
    }

    /// The gradient of the input.
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn input_gradient(&self, d: &[f32], kernel: &[f32]) -> Vec<f32> {
        let steps: usize = self.axes.iter().map(|axis| axis.length).product();
        let mut out = vec![0.0; self.batch * steps * self.width()];
        if self.outputs() > 0 && !out.is_empty() {
            let steps = Transposed::new(self.batch, &self.axes, self.width(), self.width(), d);
            for phase in &steps.phases {
                let (taps, offsets): (Vec<usize>, Vec<usize>) = phase.taps.iter().copied().unzip();
                let each = Each {
                    floats: steps.floats(),
                    rows: self.batch * phase.rows.len(),
                    places: Places { of_sample: &phase.rows, stride: steps.d_stride },
                    offsets: &offsets,
                    channels: self.width(),
                };
                let places = Places { of_sample: &phase.of_sample, stride: steps.x_stride };
                each.product(kernel, &taps, None, places, &mut out);
            }
        }
        match self.multiplier {
            1 => out,
            times => out.chunks_exact(times).map(|channel| channel.iter().sum()).collect(),
        }
    }

    fn each<'a>(&self, windows: &'a Windows<'_>) -> Each<'a> {
        Each {
            floats: windows.floats(),
            rows: windows.rows,
            places: Places { of_sample: &windows.of_sample, stride: windows.stride },
            offsets: &windows.offsets,
            channels: self.width(),
        }
    }
}

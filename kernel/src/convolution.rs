//! Convolutions over any number of axes, channels last, and their gradients: products whose rows are windows of the input,
//! read in place.

use crate::matmul::{Gradient, Matrix, Operand, Places, Prepared, Product, Run, Start};
use crate::memory::{unwritten, zeros};
use crate::windows::{Axis, StepPlaces, Steps, Transposed, WindowPlaces, Windows};

/// The sizes of a convolution.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Samples.
    pub batch: usize,
    /// The axes, as they stand in the tensors.
    pub axes: Vec<Axis>,
    /// Channels of the input.
    pub channels: usize,
    /// Channels of the output.
    pub filters: usize,
    /// Groups of channels that are convolved separately; they divide both numbers of channels.
    pub groups: usize,
}

/// The gradients of a convolution's operands.
#[derive(Debug, Default)]
pub struct ConvolutionGradients {
    /// Of the kernel.
    pub kernel: Vec<f32>,
    /// Of the bias, (filters); empty if it was not asked for.
    pub bias: Vec<f32>,
}

impl Convolution {
    /// Numbers of the input.
    pub fn inputs(&self) -> usize {
        self.batch * self.axes.iter().map(|axis| axis.length).product::<usize>() * self.channels
    }

    /// Numbers of the output.
    pub fn outputs(&self) -> usize {
        self.batch * self.axes.iter().map(|axis| axis.count).product::<usize>() * self.filters
    }

    /// Channels of a group, of the input and of the output.
    fn of_group(&self) -> (usize, usize) {
        (self.channels / self.groups, self.filters / self.groups)
    }

    fn taps(&self) -> usize {
        self.axes.iter().map(|axis| axis.size).product()
    }

    /// `x` (batch, lengths, channels) convolved with `kernel` (sizes, channels / groups, filters), plus `bias` (filters) if
    /// there is one: (batch, counts, filters).
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn forward(&self, x: &[f32], kernel: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let mut out = unwritten(self.outputs());
        if out.is_empty() {
            return out;
        }
        let start = bias.map_or(Start::Zeros, Start::Row);
        let places = Places::every(self.filters);
        let windows = Windows::new(self.batch, &self.axes, self.channels, x);
        let filters = self.of_group().1;
        for group in 0..self.groups {
            let runs = self.runs(&windows.offsets, group);
            let (first, bases) = (group * filters, [group * filters]);
            let b = self.matrix(kernel, &bases);
            let product =
                Product { a: operand(&windows, &runs), b, start: start.from(first), places, few: false };
            product.run(&mut out[first..]);
        }
        out
    }

    /// A group's kernel, which begins at `bases`.
    fn matrix<'a>(&self, kernel: &'a [f32], bases: &'a [usize]) -> Matrix<'a> {
        let (channels, columns) = self.of_group();
        let len = self.taps() * channels;
        Matrix { floats: kernel, bases, len, feature_step: self.filters, column_step: 1, columns }
    }

    /// Where the windows of a sample lie, and the kernel packed for products of theirs; for a convolution in one group.
    pub(crate) fn prepare(&self, kernel: &[f32]) -> (WindowPlaces, Prepared) {
        let windows = WindowPlaces::new(&self.axes, self.channels);
        let prepared = Prepared::new(&self.matrix(kernel, &[0]), self.runs(&windows.offsets, 0));
        (windows, prepared)
    }

    /// What each step of a sample meets, and for each phase the kernel packed for products of that; for a convolution in one
    /// group.
    pub(crate) fn prepare_transposed(&self, kernel: &[f32]) -> (StepPlaces, Vec<Prepared>) {
        let steps = StepPlaces::new(&self.axes, self.channels, self.filters);
        let of_phase = |phase: &Steps| {
            let (runs, bases) = self.runs_back(phase, 0);
            Prepared::new(&self.matrix_back(kernel, &bases), runs)
        };
        let prepared = steps.phases.iter().map(of_phase).collect();
        (steps, prepared)
    }

    /// The gradients of kernel and bias from that of the output, `d` (batch, counts, filters).
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn gradients(&self, x: &[f32], d: &[f32], want_bias: bool) -> ConvolutionGradients {
        let (channels, filters) = self.of_group();
        let mut kernel = vec![0.0; self.taps() * channels * self.filters];
        let mut bias = vec![0.0; if want_bias { self.filters } else { 0 }];
        if self.outputs() == 0 {
            return ConvolutionGradients { kernel, bias };
        }
        let windows = Windows::new(self.batch, &self.axes, self.channels, x);
        for group in 0..self.groups {
            let runs = self.runs(&windows.offsets, group);
            let first = group * filters;
            let bias = if want_bias { &mut bias[first..first + filters] } else { &mut [] };
            let (a, places) = (operand(&windows, &runs), Places::every(self.filters));
            let gradient = Gradient { a, d: &d[first..], places, columns: filters };
            gradient.run(&mut kernel[first..], self.filters, bias);
        }
        ConvolutionGradients { kernel, bias }
    }

    /// The gradient of the input from that of the output, `d` (batch, counts, filters), plus `bias` (channels) if there is
    /// one, as a transposed convolution has it: (batch, lengths, channels).
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn transposed(&self, d: &[f32], kernel: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        // No window may meet a step: it has the bias all the same.
        let mut out = match bias {
            Some(bias) => bias[..self.channels].repeat(self.inputs() / self.channels.max(1)),
            None => zeros(self.inputs()),
        };
        if self.outputs() == 0 || out.is_empty() {
            return out;
        }
        let steps = Transposed::new(self.batch, &self.axes, self.channels, self.filters, d);
        let channels = self.of_group().0;
        for phase in &steps.phases {
            for group in 0..self.groups {
                let (runs, bases) = self.runs_back(phase, group);
                let b = self.matrix_back(kernel, &bases);
                let a = Operand {
                    floats: steps.floats(),
                    rows: self.batch * phase.rows.len(),
                    places: Places { of_sample: &phase.rows, stride: steps.d_stride },
                    runs: &runs,
                };
                let start = bias.map_or(Start::Zeros, |bias| Start::Row(&bias[group * channels..]));
                let places = Places { of_sample: &phase.of_sample, stride: steps.x_stride };
                Product { a, b, start, places, few: false }.run(&mut out[group * channels..]);
            }
        }
        out
    }

    /// What a step of a phase meets of a group's filters, and where the kernel of each place begins.
    fn runs_back(&self, phase: &Steps, group: usize) -> (Vec<Run>, Vec<usize>) {
        let (channels, filters) = self.of_group();
        let mut runs = vec![];
        let mut bases = Vec::with_capacity(phase.taps.len());
        for &(tap, place) in &phase.taps {
            Run::push(&mut runs, Run { offset: place + group * filters, len: filters });
            bases.push(tap * channels * self.filters + group * filters);
        }
        (runs, bases)
    }

    /// A group's kernel from filters to channels, of the places that begin at `bases`.
    fn matrix_back<'a>(&self, kernel: &'a [f32], bases: &'a [usize]) -> Matrix<'a> {
        let (columns, len) = self.of_group();
        Matrix { floats: kernel, bases, len, feature_step: 1, column_step: self.filters, columns }
    }

    /// The runs of a window: what its places hold of a group's channels.
    fn runs(&self, offsets: &[usize], group: usize) -> Vec<Run> {
        let channels = self.of_group().0;
        let mut runs = vec![];
        for offset in offsets {
            Run::push(&mut runs, Run { offset: offset + group * channels, len: channels });
        }
        runs
    }
}

fn operand<'a>(windows: &'a Windows<'_>, runs: &'a [Run]) -> Operand<'a> {
    let places = Places { of_sample: &windows.of_sample, stride: windows.stride };
    Operand { floats: windows.floats(), rows: windows.rows, places, runs }
}

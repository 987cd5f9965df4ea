//! A ConvLSTM (Shi et al. 2015): an [`Lstm`](crate::lstm::Lstm) cell at each place of a picture, with convolutions of the
//! input and of the state for its products.
//!
//! A few samples at a time go through all their steps, so that what belongs to them stays in the nearer caches; of a step
//! some places at a time, so that their gates stay in the nearest. Samples do not meet but in the gradients of the weights:
//! those are sums of parts that follow from the shapes alone. How the rest is cut shows in no number.

mod backward;
mod cells;
mod forward;

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::convolution::Convolution;
use crate::matmul::Prepared;
use crate::windows::WindowPlaces;
use rayon::prelude::*;

/// Gates: i, f, c, o.
const GATES: usize = 4;
/// Places of the samples that go through all steps together, unless one sample has more.
const PLACES: usize = 256;
/// Places of a step that a thread works through at a time, at most.
const ROWS: usize = 128;
/// Multiplications of a step from which several threads share it.
const PARALLEL: usize = 1 << 19;

/// A ConvLSTM layer.
#[derive(Clone, Debug)]
pub struct ConvLstm {
    /// Samples.
    pub batch: usize,
    /// Steps.
    pub time: usize,
    /// The convolution of the input of one step, from its channels to four times the filters, in one group; its batch does
    /// not matter. None if the input is given as its part of the gates.
    pub input: Option<Convolution>,
    /// The convolution of the state of one step: from its filters to four times as many, in one group, with as many
    /// positions as steps along each axis.
    pub recurrent: Convolution,
    /// Whether there is a bias.
    pub use_bias: bool,
    /// The activation of the candidate and of c.
    pub activation: Activation,
    /// The activation of the gates.
    pub recurrent_activation: Activation,
    /// Walk from the last step to the first.
    pub go_backwards: bool,
    /// Give h after every step rather than the last.
    pub return_sequences: bool,
    /// Give the last c after that.
    pub return_state: bool,
}

/// What a ConvLSTM is given.
#[derive(Clone, Copy, Debug)]
pub struct ConvLstmInput<'a> {
    /// (batch, time, lengths, channels), or the gates' part, (batch, time, lengths, 4 · filters).
    pub x: &'a [f32],
    /// In a row: the kernel (sizes, channels, 4 · filters), unless the gates' part is given; the recurrent kernel (sizes,
    /// filters, 4 · filters); the bias (4 · filters) if there is one.
    pub weights: &'a [f32],
    /// The initial states, (2, batch, lengths, filters): h, then c. Zeros if there are none.
    pub states: Option<&'a [f32]>,
}

/// What the forward pass leaves for the backward pass.
pub struct ConvLstmSaved {
    /// Of each block of samples: the gates of each step walked; c after it; and h, where the output lacks it.
    blocks: Vec<Buffer>,
}

/// The gradients of what went in.
#[derive(Debug, Default)]
pub struct ConvLstmGradients {
    /// Of the input; empty if it was not asked for.
    pub x: Vec<f32>,
    /// Of the weights.
    pub weights: Vec<f32>,
    /// Of the initial states; empty if they were not asked for.
    pub states: Vec<f32>,
}

impl ConvLstm {
    /// Features of a state at each place.
    fn units(&self) -> usize {
        self.recurrent.channels
    }

    /// Columns of the gates.
    fn width(&self) -> usize {
        GATES * self.units()
    }

    /// Places of a picture.
    fn places(&self) -> usize {
        self.recurrent.axes.iter().map(|axis| axis.length).product()
    }

    /// Numbers of a state of a sample.
    fn picture(&self) -> usize {
        self.places() * self.units()
    }

    /// Numbers of a sample's input of a step.
    fn frame(&self) -> usize {
        match &self.input {
            Some(of) => of.axes.iter().map(|axis| axis.length).product::<usize>() * of.channels,
            None => self.places() * self.width(),
        }
    }

    /// Pictures that a sample's output has.
    fn pictures_out(&self) -> usize {
        (if self.return_sequences { self.time } else { 1 }) + usize::from(self.return_state)
    }

    /// The picture of a sample's output that h after a step is, if it is one.
    fn picture_of(&self, step: usize) -> Option<usize> {
        match self.return_sequences {
            true => Some(step),
            false => (step + 1 == self.time).then_some(0),
        }
    }

    /// The step of the input that is walked at `step`.
    fn at(&self, step: usize) -> usize {
        if self.go_backwards { self.time - 1 - step } else { step }
    }

    /// Samples of a block, but for the last one.
    fn block(&self) -> usize {
        PLACES.div_ceil(self.places().max(1)).clamp(1, self.batch.max(1))
    }

    /// Multiplications of a step of so many samples.
    fn work(&self, samples: usize) -> usize {
        let of_place = |of: &Convolution| {
            of.axes.iter().map(|axis| axis.size).product::<usize>().saturating_mul(of.channels)
        };
        let features = self.input.as_ref().map_or(0, of_place).saturating_add(of_place(&self.recurrent));
        features.saturating_mul(self.width()).saturating_mul(samples * self.places())
    }

    /// Numbers of the kernel and of the recurrent kernel.
    fn kernels(&self) -> [usize; 2] {
        let numbers = |of: &Convolution| {
            of.axes.iter().map(|axis| axis.size).product::<usize>() * of.channels * of.filters
        };
        [self.input.as_ref().map_or(0, numbers), numbers(&self.recurrent)]
    }

    /// The kernel, the recurrent kernel, the bias.
    fn cut<'a>(&self, weights: &'a [f32]) -> [&'a [f32]; 3] {
        let [kernel, recurrent] = self.kernels();
        let (kernel, rest) = weights.split_at(kernel);
        let (recurrent, bias) = rest.split_at(recurrent);
        [kernel, recurrent, &bias[..if self.use_bias { self.width() } else { 0 }]]
    }

    /// How the memory of a block of so many numbers of a state is cut: the gates of each step, c after it, and h.
    fn cut_saved<'a>(&self, saved: &'a mut [f32], numbers: usize) -> [&'a mut [f32]; 3] {
        let (gates, rest) = saved.split_at_mut(self.time * GATES * numbers);
        let (c, h) = rest.split_at_mut(self.time * numbers);
        [gates, c, h]
    }

    /// The numbers of that memory.
    fn saved(&self, numbers: usize) -> usize {
        (GATES + 1 + usize::from(!self.return_sequences)) * self.time * numbers
    }

    /// Runs something for each part of the samples: most side by side, each on one thread, and those that would keep other
    /// threads waiting one after another, each on all of them. `work` is that of a step of a part.
    fn in_turn<T: Send, R: Send>(
        work: usize,
        mut parts: Vec<T>,
        run: impl Fn(T, usize) -> R + Sync,
    ) -> Vec<R> {
        let threads = rayon::current_num_threads();
        let left = parts.len() % threads;
        let shared = if work >= PARALLEL && left <= threads / 2 { left } else { 0 };
        let rest = parts.split_off(parts.len() - shared);
        let mut results: Vec<R> = match parts.len() {
            1 => parts.into_iter().map(|part| run(part, 1)).collect(),
            _ => parts.into_par_iter().with_max_len(1).map(|part| run(part, 1)).collect(),
        };
        results.extend(rest.into_iter().map(|part| run(part, threads)));
        results
    }
}

/// The windows of a convolution of one step, and its kernel packed.
struct Side {
    windows: WindowPlaces,
    prepared: Prepared,
}

impl Side {
    fn new(of: &Convolution, kernel: &[f32]) -> Self {
        let (windows, prepared) = of.prepare(kernel);
        Self { windows, prepared }
    }

    /// Where the windows of so many samples begin.
    fn rows(&self, samples: usize) -> Vec<usize> {
        let of_sample = &self.windows.of_sample;
        let stride = self.windows.margins.stride;
        (0..samples).flat_map(|sample| of_sample.iter().map(move |place| sample * stride + place)).collect()
    }
}

/// The initial states of a block, (samples, lengths, filters).
#[derive(Clone, Copy)]
struct States<'a> {
    h: &'a [f32],
    c: &'a [f32],
}

impl<'a> States<'a> {
    /// Those of some samples, `picture` numbers each.
    fn of(layer: &ConvLstm, input: &ConvLstmInput<'a>, first: usize, samples: usize) -> Option<Self> {
        let picture = layer.picture();
        let (h, c) = input.states?.split_at(layer.batch * picture);
        let part = first * picture..(first + samples) * picture;
        Some(Self { h: &h[part.clone()], c: &c[part] })
    }
}

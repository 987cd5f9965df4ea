//! What goes into a layer's forward and backward pass and what comes out.

use crate::activation::Activation;
use crate::cell::Kind;
use std::ops::Range;

/// What a layer computes, apart from its weights. Below, F is `features`, u is `units`, G and S are the kind's gates
/// and states, B the batch and T the time steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The cell.
    pub kind: Kind,
    /// Input features a step, F.
    pub features: usize,
    /// Units, u.
    pub units: usize,
    /// The activation of the candidate (and of c in an LSTM).
    pub activation: Activation,
    /// The activation of the gates.
    pub recurrent_activation: Activation,
    /// Whether the weights end with a bias.
    pub use_bias: bool,
    /// Give the output of every step rather than the last.
    pub return_sequences: bool,
    /// Give the final states too, after the outputs.
    pub return_state: bool,
    /// Walk from the last step to the first; outputs come in the order walked.
    pub go_backwards: bool,
    /// At a masked step give 0 rather than the previous output.
    pub zero_output_for_mask: bool,
}

impl Layer {
    /// Output steps: T or 1.
    pub fn steps_out(&self, time: usize) -> usize {
        if self.return_sequences { time } else { 1 }
    }

    /// Rows of u floats that a sequence has in the output: the output steps, then the final states if they are given.
    pub fn rows_out(&self, time: usize) -> usize {
        self.steps_out(time) + if self.return_state { self.kind.states() } else { 0 }
    }

    /// Floats a sequence in the output.
    pub(crate) fn row_out(&self, time: usize) -> usize {
        self.rows_out(time) * self.units
    }

    /// The step of the input that is read at step `step` of the walk.
    pub(crate) fn at(&self, step: usize, time: usize) -> usize {
        if self.go_backwards { time - 1 - step } else { step }
    }

    /// Where the output of step `step` of the walk stands in a sequence's row, if it is given.
    pub(crate) fn output_at(&self, step: usize, time: usize) -> Option<usize> {
        match self.return_sequences {
            true => Some(step * self.units),
            false => (step + 1 == time).then_some(0),
        }
    }

    /// Whether something is given at one of some steps of the walk: an output, or the final states.
    pub(crate) fn gives_output(&self, steps: Range<usize>, time: usize) -> bool {
        self.return_sequences || steps.end == time
    }

    /// Whether the activations are Keras's defaults.
    pub(crate) fn usual(&self) -> bool {
        (self.activation, self.recurrent_activation) == (Activation::Tanh, Activation::Sigmoid)
    }

    /// G·u, the width of the kernels.
    pub(crate) fn width(&self) -> usize {
        self.kind.gates() * self.units
    }

    /// kernel, recurrent kernel, bias.
    pub(crate) fn split<'a>(&self, weights: &'a [f32]) -> (&'a [f32], &'a [f32], &'a [f32]) {
        let (kernel, rest) = weights.split_at(self.features * self.width());
        let (recurrent, bias) = rest.split_at(self.units * self.width());
        (kernel, recurrent, bias)
    }

    /// What a cell's first slots hold before the products are added, u values a slot: the bias, and for a GRU that
    /// resets after the product, in a slot of its own, the recurrent bias of the candidate.
    pub(crate) fn start(&self, bias: &[f32]) -> Vec<f32> {
        let (u, width) = (self.units, self.width());
        let mut start = vec![0.0; width + if self.kind.bias_rows() == 2 { u } else { 0 }];
        if let Some(input_side) = bias.get(..width) {
            start[..width].copy_from_slice(input_side);
        }
        if let Some(recurrent_side) = bias.get(width..2 * width) {
            for (sum, &b) in start.iter_mut().zip(&recurrent_side[..2 * u]) {
                *sum += b;
            }
            start[width..].copy_from_slice(&recurrent_side[2 * u..]);
        }
        start
    }
}

/// Dropout masks, already scaled: 0 or 1 / (1 - rate). They stay the same over time.
#[derive(Clone, Copy, Debug)]
pub struct Dropout<'a> {
    /// (1, B, F) or (G, B, F); for the state (1, B, u) or (G, B, u).
    pub masks: &'a [f32],
    /// One mask a gate, rather than one for all.
    pub per_gate: bool,
}

/// Input that is looked up in a table.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// (B, T): which row stands at each step. Each must be below V.
    pub ids: &'a [u32],
    /// The rows of the table, V.
    pub vocabulary: usize,
    /// Whether the sums of the squares of what was added up are wanted beside the gradient of the table.
    pub squares: bool,
    /// Whether it is their sizes instead of their squares.
    pub sizes: bool,
}

/// What a layer is given.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Sequences, B.
    pub batch: usize,
    /// Steps, T.
    pub time: usize,
    /// (B, T, F), or a table that begins with (V, F) where `rows` are given.
    pub x: &'a [f32],
    /// Which row of the table stands where.
    pub rows: Option<Rows<'a>>,
    /// (B, T): 0 where a step is to be skipped.
    pub mask: Option<&'a [u8]>,
    /// (B, S, u): the initial states.
    pub states: &'a [f32],
    /// Dropout on the input.
    pub input_dropout: Option<Dropout<'a>>,
    /// Dropout on the state where it enters the recurrent product.
    pub recurrent_dropout: Option<Dropout<'a>>,
}

/// Gradients of a loss.
pub struct Gradients {
    /// (B, T, F); with `rows`, that of the table, (V, F). Empty if it was not asked for.
    pub x: Vec<f32>,
    /// (V, F): the sums that [`Rows::squares`] asks for; empty without.
    pub squares: Vec<f32>,
    /// As the weights.
    pub weights: Vec<f32>,
    /// (B, S, u)
    pub states: Vec<f32>,
}

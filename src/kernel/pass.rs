//! The time loop, forward and backward, over the blocks of a batch.

use super::activation::Activation;
use super::block::{self, Series};
use super::buffer::Buffer;
use super::cell::{Cell, Factor, Kind, Net};
use super::gru::Gru;
use super::lanes::{self, Rows};
use super::lstm::Lstm;
use super::masks::{BlockMasks, StepMasks};
use super::simple_rnn::SimpleRnn;
use super::{isa, isa::dispatch, math};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

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

    /// Floats a sequence in the output: the output steps, then the final states, u each.
    fn row_out(&self, time: usize) -> usize {
        (self.steps_out(time) + self.kind.states()) * self.units
    }

    /// kernel, recurrent kernel, bias.
    pub(super) fn split<'a>(&self, weights: &'a [f32]) -> (&'a [f32], &'a [f32], &'a [f32]) {
        let width = self.kind.gates() * self.units;
        let (kernel, rest) = weights.split_at(self.features * width);
        let (recurrent, bias) = rest.split_at(self.units * width);
        (kernel, recurrent, bias)
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

/// What a layer is given.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Sequences, B.
    pub batch: usize,
    /// Steps, T.
    pub time: usize,
    /// (B, T, F), or the table (V, F) where `ids` are given.
    pub x: &'a [f32],
    /// (B, T): which row of the table stands at each step. Each must be below V.
    pub ids: Option<&'a [u32]>,
    /// (B, T): 0 where a step is to be skipped.
    pub mask: Option<&'a [u8]>,
    /// (B, S, u): the initial states.
    pub states: &'a [f32],
    /// Dropout on the input.
    pub input_dropout: Option<Dropout<'a>>,
    /// Dropout on the state where it enters the recurrent product.
    pub recurrent_dropout: Option<Dropout<'a>>,
}

/// What the backward pass needs of a forward pass.
pub struct Saved(Vec<Buffer>);

/// Gradients of a loss.
pub struct Gradients {
    /// (B, T, F), with `ids` too: one row a step, yet to be added up by id. Empty if it was not asked for.
    pub x: Vec<f32>,
    /// As the weights.
    pub weights: Vec<f32>,
    /// (B, S, u)
    pub states: Vec<f32>,
}

/// Runs the layer: `out` is (B, outputs + S, u), each sequence's outputs followed by its final states. With `save`,
/// what [`backward`] needs is returned.
pub fn forward(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    save: bool,
    out: &mut [f32],
) -> Option<Saved> {
    let lanes = isa::lanes();
    let run = |(index, out): (usize, &mut [f32])| {
        let rows = Rows { first: index * lanes, count: lanes.min(input.batch - index * lanes) };
        dispatch(Forward { layer, input, weights, rows, save, out })
    };
    let chunk = lanes * layer.row_out(input.time);
    let saved: Vec<Option<Buffer>> = if input.batch > lanes {
        out.par_chunks_mut(chunk).enumerate().map(run).collect()
    } else {
        out.chunks_mut(chunk).enumerate().map(run).collect()
    };
    saved.into_iter().collect::<Option<Vec<_>>>().map(Saved)
}

/// The gradients, given those of [`forward`]'s output in `d_out`; that of the input only if `want_x`. Consumes what the
/// forward pass saved.
pub fn backward(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    saved: Saved,
    d_out: &[f32],
    want_x: bool,
) -> Gradients {
    let lanes = isa::lanes();
    let (time, features, units) = (input.time, layer.features, layer.units);
    let (kernel, recurrent, _) = layer.split(weights);
    let width = layer.kind.gates() * units;
    let transposes = (transpose(kernel, features, width), transpose(recurrent, units, width));
    let mut d_x = if want_x { vec![0.0; input.batch * time * features] } else { vec![] };
    let mut d_states = vec![0.0; input.batch * layer.kind.states() * units];
    let state_chunks = d_states.chunks_mut(lanes * layer.kind.states() * units);
    let mut x_chunks = d_x.chunks_mut((lanes * time * features).max(1));
    let jobs: Vec<_> = saved
        .0
        .into_iter()
        .zip(state_chunks)
        .enumerate()
        .map(|(index, (saved, d_states))| (index, saved, d_states, x_chunks.next()))
        .collect();
    let run = |(index, saved, d_states, d_x): (usize, Buffer, &mut [f32], Option<&mut [f32]>)| {
        let rows = Rows { first: index * lanes, count: lanes.min(input.batch - index * lanes) };
        let mut d_weights = Buffer::new(weights.len());
        let transposes = (&*transposes.0, &*transposes.1);
        let d_weights_out = &mut *d_weights;
        dispatch(Backward {
            layer,
            input,
            weights,
            transposes,
            rows,
            saved,
            d_out,
            d_x,
            d_states,
            d_weights: d_weights_out,
        });
        d_weights
    };
    let partial: Vec<Buffer> = if jobs.len() > 1 {
        jobs.into_par_iter().map(run).collect()
    } else {
        jobs.into_iter().map(run).collect()
    };
    // In the order of the blocks, whichever thread finished first.
    let mut d_weights = vec![0.0; weights.len()];
    for part in &partial {
        for (sum, &value) in d_weights.iter_mut().zip(&**part) {
            *sum += value;
        }
    }
    Gradients { x: d_x, weights: d_weights, states: d_states }
}

/// (rows, columns) to (columns, rows).
fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Buffer {
    let mut out = Buffer::new(rows * columns);
    for (r, row) in matrix.chunks_exact(columns).enumerate() {
        for (c, &value) in row.iter().enumerate() {
            out[c * rows + r] = value;
        }
    }
    out
}

/// How a block's memory is cut, in vectors a step.
#[derive(Clone, Copy)]
struct Plan {
    features: usize,
    state: usize,
    slots: usize,
    /// Steps kept: all, or one that is used over and over.
    steps: usize,
}

impl Plan {
    fn new<C: Cell>(layer: &Layer, steps: usize) -> Self {
        let units = layer.units;
        Self { features: layer.features, state: layer.kind.states() * units, slots: C::SLOTS * units, steps }
    }

    fn vectors(self) -> usize {
        self.steps * (self.features + self.state + self.slots)
    }

    /// inputs, states before each step, slots.
    fn cut<V>(self, memory: &mut [V]) -> (&mut [V], &mut [V], &mut [V]) {
        let (inputs, rest) = memory.split_at_mut(self.steps * self.features);
        let (states, slots) = rest.split_at_mut(self.steps * self.state);
        (inputs, states, slots)
    }
}

/// Reads step `step` (as walked) of the block's inputs, common dropout applied.
#[inline(always)]
fn read_step<S: Simd>(
    simd: S,
    layer: &Layer,
    input: &Input<'_>,
    rows: Rows,
    net: &Net<'_, S::f32s>,
    step: usize,
    x: &mut [S::f32s],
) {
    let (time, features) = (input.time, layer.features);
    let at = if layer.go_backwards { time - 1 - step } else { step };
    match input.ids {
        None => lanes::load(simd, rows, input.x, at * features, time * features, x),
        Some(ids) => {
            let mut starts = [0; lanes::MAX_LANES];
            for lane in 0..rows.count {
                starts[lane] = ids[(rows.first + lane) * time + at] as usize * features;
            }
            lanes::load_from(simd, input.x, &starts[..rows.count], x);
        }
    }
    if let Some(masks) = net.input_masks
        && !masks.per_gate
    {
        for k in 0..features {
            x[k] = simd.mul_f32s(x[k], masks.values[k]);
        }
    }
}

struct Forward<'a> {
    layer: &'a Layer,
    input: &'a Input<'a>,
    weights: &'a [f32],
    rows: Rows,
    save: bool,
    out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = Option<Buffer>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<Buffer> {
        match self.layer.kind {
            Kind::SimpleRnn => self.run::<S, SimpleRnn>(simd),
            Kind::Lstm => self.run::<S, Lstm>(simd),
            Kind::Gru { reset_after: true } => self.run::<S, Gru<true>>(simd),
            Kind::Gru { reset_after: false } => self.run::<S, Gru<false>>(simd),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn run<S: Simd, C: Cell>(self, simd: S) -> Option<Buffer> {
        let Self { layer, input, weights, rows, save, out } = self;
        let (time, units) = (input.time, layer.units);
        let plan = Plan::new::<C>(layer, if save { time } else { 1 });
        let mut kept = Buffer::new(plan.vectors() * S::F32_LANES);
        let (inputs, states, slots) = plan.cut(S::as_mut_simd_f32s(&mut kept).0);

        let mut working = Buffer::new((plan.state + 2 * units + plan.features) * S::F32_LANES);
        let (state, scratch) = S::as_mut_simd_f32s(&mut working).0.split_at_mut(plan.state);
        let masks = BlockMasks::new(simd, layer, input, rows);
        let net = masks.net(layer, weights, (&[], &[]));
        let steps = StepMasks::new(layer, input, rows);
        lanes::load(simd, rows, input.states, 0, plan.state, state);

        let row_out = layer.row_out(time);
        for step in 0..time {
            let kept = if save { step } else { 0 };
            let x = &mut inputs[kept * plan.features..][..plan.features];
            let before = &mut states[kept * plan.state..][..plan.state];
            let slots = &mut slots[kept * plan.slots..][..plan.slots];
            read_step(simd, layer, input, rows, &net, step, x);
            before.copy_from_slice(state);
            C::forward(simd, &net, x, state, slots, scratch);
            if let Some(steps) = &steps {
                let moves = simd.greater_than_f32s(steps.moves(simd, step), simd.splat_f32s(0.0));
                for k in 0..plan.state {
                    state[k] = math::select(simd, moves, state[k], before[k]);
                }
            }
            if layer.return_sequences || step + 1 == time {
                let at = if layer.return_sequences { step * units } else { 0 };
                match &steps {
                    None => lanes::store(simd, rows, &state[..units], out, at, row_out),
                    Some(steps) => {
                        let shows = steps.shows(simd, step);
                        let shown = &mut scratch[..units];
                        for k in 0..units {
                            shown[k] = simd.mul_f32s(state[k], shows);
                        }
                        lanes::store(simd, rows, shown, out, at, row_out);
                    }
                }
            }
        }
        lanes::store(simd, rows, state, out, layer.steps_out(time) * units, row_out);
        save.then_some(kept)
    }
}

struct Backward<'a> {
    layer: &'a Layer,
    input: &'a Input<'a>,
    weights: &'a [f32],
    transposes: (&'a [f32], &'a [f32]),
    rows: Rows,
    saved: Buffer,
    d_out: &'a [f32],
    d_x: Option<&'a mut [f32]>,
    d_states: &'a mut [f32],
    d_weights: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.layer.kind {
            Kind::SimpleRnn => self.run::<S, SimpleRnn>(simd),
            Kind::Lstm => self.run::<S, Lstm>(simd),
            Kind::Gru { reset_after: true } => self.run::<S, Gru<true>>(simd),
            Kind::Gru { reset_after: false } => self.run::<S, Gru<false>>(simd),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn run<S: Simd, C: Cell>(self, simd: S) {
        let Self { layer, input, weights, transposes, rows, mut saved, d_out, mut d_x, d_states, d_weights } =
            self;
        let (time, units, features) = (input.time, layer.units, layer.features);
        let zero = simd.splat_f32s(0.0);
        let plan = Plan::new::<C>(layer, time);
        let saved = S::as_mut_simd_f32s(&mut saved).0;
        let (_, states, slots) = plan.cut(saved);

        let mut working = Buffer::new((2 * plan.state + 3 * units + 2 * features) * S::F32_LANES);
        let working = S::as_mut_simd_f32s(&mut working).0;
        let (gradient, working) = working.split_at_mut(plan.state);
        let (after, working) = working.split_at_mut(plan.state);
        let (shown, working) = working.split_at_mut(units);
        let (dx, scratch) = working.split_at_mut(features);
        let masks = BlockMasks::new(simd, layer, input, rows);
        let net = masks.net(layer, weights, transposes);
        let steps = StepMasks::new(layer, input, rows);

        let row_out = layer.row_out(time);
        lanes::load(simd, rows, d_out, layer.steps_out(time) * units, row_out, gradient);
        for step in (0..time).rev() {
            if layer.return_sequences || step + 1 == time {
                let at = if layer.return_sequences { step * units } else { 0 };
                lanes::load(simd, rows, d_out, at, row_out, shown);
                let shows = match &steps {
                    Some(steps) => steps.shows(simd, step),
                    None => simd.splat_f32s(1.0),
                };
                for k in 0..units {
                    gradient[k] = simd.mul_add_e_f32s(shown[k], shows, gradient[k]);
                }
            }
            let before = &states[step * plan.state..][..plan.state];
            let slots = &mut slots[step * plan.slots..][..plan.slots];
            if steps.is_some() {
                after.copy_from_slice(gradient);
            }
            C::backward(simd, &net, before, slots, gradient, scratch);
            if let Some(steps) = &steps {
                let moves = simd.greater_than_f32s(steps.moves(simd, step), zero);
                for k in 0..plan.state {
                    gradient[k] = math::select(simd, moves, gradient[k], after[k]);
                }
                for slot in slots.iter_mut() {
                    *slot = math::select(simd, moves, *slot, zero);
                }
            }
            if let Some(d_x) = &mut d_x {
                dx.fill(zero);
                net.input_back(simd, dx, &slots[..net.gates * units], scratch);
                let at = if layer.go_backwards { time - 1 - step } else { step };
                lanes::store(simd, rows, dx, d_x, at * features, time * features);
            }
        }
        lanes::store(simd, rows, gradient, d_states, 0, plan.state);
        weight_gradients::<S, C>(simd, layer, &net, plan, saved, d_weights);
    }
}

/// The block's share of the weights' gradients, once the slots of all steps hold gradients.
#[inline(always)]
fn weight_gradients<S: Simd, C: Cell>(
    simd: S,
    layer: &Layer,
    net: &Net<'_, S::f32s>,
    plan: Plan,
    saved: &mut [S::f32s],
    d_weights: &mut [f32],
) {
    let (inputs, states, slots) = plan.cut(saved);
    let (inputs, states, slots) = (&*inputs, &*states, &*slots);
    let (units, features, width) = (layer.units, layer.features, net.gates * layer.units);
    let (d_kernel, rest) = d_weights.split_at_mut(features * width);
    let (d_recurrent, d_bias) = rest.split_at_mut(units * width);
    let slot = |first: usize, count: usize| Series {
        values: slots,
        stride: plan.slots,
        offset: first * units,
        len: count * units,
    };
    let x = Series { values: inputs, stride: plan.features, offset: 0, len: features };
    match net.input_masks_per_gate() {
        None => block::outer(simd, x, slot(0, net.gates), None, d_kernel, width, 0),
        Some(masks) => {
            for gate in 0..net.gates {
                let mask = Some(masks.of(gate, features));
                block::outer(simd, x, slot(gate, 1), mask, d_kernel, width, gate * units);
            }
        }
    }
    for part in C::recurrent_parts() {
        let factor = match part.factor {
            Factor::PreviousState => Series { values: states, stride: plan.state, offset: 0, len: units },
            Factor::Slot(index) => slot(index, 1),
        };
        let (first, gates) = (part.gates.start, part.gates.len());
        match net.recurrent_masks {
            None => {
                let d = slot(part.gradient, gates);
                block::outer(simd, factor, d, None, d_recurrent, width, first * units);
            }
            Some(masks) => {
                for (index, gate) in part.gates.enumerate() {
                    let d = slot(part.gradient + index, 1);
                    let mask = Some(masks.of(gate, units));
                    block::outer(simd, factor, d, mask, d_recurrent, width, gate * units);
                }
            }
        }
        if layer.use_bias && layer.kind.bias_rows() == 2 {
            let d = slot(part.gradient, gates);
            block::column_sums(simd, d, &mut d_bias[width + first * units..]);
        }
    }
    if layer.use_bias {
        block::column_sums(simd, slot(0, net.gates), &mut d_bias[..width]);
    }
}

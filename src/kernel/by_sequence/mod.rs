//! Sequences in lanes: a vector holds the same unit of as many sequences as it has lanes. For few units, where a vector
//! of units would be half empty.

mod block;
mod lanes;
mod masks;
mod net;

use super::buffer::Buffer;
use super::cell::{Cell, Factor, Kind, SCRATCH};
use super::gru::Gru;
use super::lstm::Lstm;
use super::pass::{Gradients, Input, Layer, scatter};
use super::simple_rnn::SimpleRnn;
use super::{isa, isa::dispatch, math};
use block::Series;
use lanes::Block;
use masks::{BlockMasks, StepMasks};
use net::Net;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// What the backward pass needs of a forward pass.
pub struct Saved(Vec<Buffer>);

/// As [`forward`](super::forward).
pub fn forward(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    save: bool,
    out: &mut [f32],
) -> Option<Saved> {
    let lanes = isa::lanes();
    let run = |(index, out): (usize, &mut [f32])| {
        let rows = Block { first: index * lanes, count: lanes.min(input.batch - index * lanes) };
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

/// As [`backward`](super::backward).
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
    let width = layer.width();
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
        let rows = Block { first: index * lanes, count: lanes.min(input.batch - index * lanes) };
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
    let x = match &input.rows {
        Some(rows) if want_x => scatter(rows, features, &d_x),
        _ => d_x,
    };
    Gradients { x, weights: d_weights, states: d_states }
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
    rows: Block,
    net: &Net<'_, S::f32s>,
    step: usize,
    x: &mut [S::f32s],
) {
    let (time, features) = (input.time, layer.features);
    let at = layer.at(step, time);
    match input.rows {
        None => lanes::load(simd, rows, input.x, at * features, time * features, x),
        Some(table) => {
            let mut starts = [0; lanes::MAX_LANES];
            for lane in 0..rows.count {
                starts[lane] = table.ids[(rows.first + lane) * time + at] as usize * features;
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
    rows: Block,
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

        let mut working = Buffer::new((plan.state + SCRATCH * units + plan.features) * S::F32_LANES);
        let (state, scratch) = S::as_mut_simd_f32s(&mut working).0.split_at_mut(plan.state);
        let masks = BlockMasks::new(simd, layer, input, rows);
        let net = masks.net(layer, weights, (&[], &[]), C::PARTS);
        let start = layer.start(layer.split(weights).2);
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
            for j in 0..start.len() {
                slots[j] = simd.splat_f32s(start[j]);
            }
            net.input(simd, slots, x, scratch);
            C::forward(simd, &net, state, slots, scratch);
            if let Some(steps) = &steps {
                let moves = simd.greater_than_f32s(steps.moves(simd, step), simd.splat_f32s(0.0));
                for k in 0..plan.state {
                    state[k] = math::select(simd, moves, state[k], before[k]);
                }
            }
            if let Some(at) = layer.output_at(step, time) {
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
    rows: Block,
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

        let mut working = Buffer::new((2 * plan.state + (1 + SCRATCH) * units + 2 * features) * S::F32_LANES);
        let working = S::as_mut_simd_f32s(&mut working).0;
        let (gradient, working) = working.split_at_mut(plan.state);
        let (after, working) = working.split_at_mut(plan.state);
        let (shown, working) = working.split_at_mut(units);
        let (dx, scratch) = working.split_at_mut(features);
        let masks = BlockMasks::new(simd, layer, input, rows);
        let net = masks.net(layer, weights, transposes, C::PARTS);
        let steps = StepMasks::new(layer, input, rows);

        let row_out = layer.row_out(time);
        lanes::load(simd, rows, d_out, layer.steps_out(time) * units, row_out, gradient);
        for step in (0..time).rev() {
            if let Some(at) = layer.output_at(step, time) {
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
                net.input_back(simd, dx, slots, scratch);
                let at = layer.at(step, time);
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
    let (units, features, width) = (layer.units, layer.features, layer.width());
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
    for part in C::PARTS {
        let factor = match part.factor {
            Factor::PreviousState => Series { values: states, stride: plan.state, offset: 0, len: units },
            Factor::Slot(index) => slot(index, 1),
        };
        let mut gates = part.gates;
        while let [(gate, at), ..] = *gates {
            // With masks a gate at a time, else as many as follow each other.
            let count = if net.recurrent_masks.is_some() { 1 } else { net::run(gates) };
            let mask = net.recurrent_masks.map(|masks| masks.of(gate, units));
            block::outer(simd, factor, slot(at, count), mask, d_recurrent, width, gate * units);
            gates = &gates[count..];
        }
    }
    if layer.use_bias && layer.kind.bias_rows() == 2 {
        let recurrent_side = &mut d_bias[width..];
        block::column_sums(simd, slot(0, 2), &mut recurrent_side[..2 * units]);
        block::column_sums(simd, slot(3, 1), &mut recurrent_side[2 * units..]);
    }
    if layer.use_bias {
        block::column_sums(simd, slot(0, net.gates), &mut d_bias[..width]);
    }
}

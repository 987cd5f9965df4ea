//! The forward pass.

use super::activation::{Any, Functions, Usual};
use super::buffer::Buffer;
use super::cell::{Cell, Factor, Kind};
use super::connection::Connection;
use super::grid::{GROUP, Grid, interleave, part_of, rows_mut};
use super::gru::Gru;
use super::isa::outline;
use super::lstm::Lstm;
use super::pass::{Dropout, Input, Layer};
use super::product::Operand;
use super::simple_rnn::SimpleRnn;
use super::table::{self, Table};
use super::weights::{BlockMasks, Shape, Weights};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Sequences of a block: few enough for its steps to stay in the cache.
const ROWS: usize = 16;
/// The same where the packed weights outgrow the nearer caches: each pass over them should serve more rows.
const ROWS_LARGE: usize = 32;
/// Steps that are made ready at a time.
const AHEAD: usize = 8;
/// Units from which the weights are large.
const LARGE: usize = 128;

/// What the backward pass needs of a forward pass: the memory of each block.
pub struct Saved(pub(super) Vec<Buffer>);

pub(super) fn block_rows(layer: &Layer) -> usize {
    if layer.units < LARGE { ROWS } else { ROWS_LARGE }
}

/// The sequences of a block.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub first: usize,
    pub rows: usize,
}

impl Block {
    pub fn of(layer: &Layer, input: &Input<'_>, index: usize) -> Self {
        let first = index * block_rows(layer);
        Self { first, rows: block_rows(layer).min(input.batch - first) }
    }

    /// The sequence of a row. Rows that only fill a group up go the way of the last one that is there, so that their
    /// numbers are no less finite.
    #[inline(always)]
    pub fn sequence(self, row: usize) -> usize {
        self.first + row.min(self.rows - 1)
    }
}

/// How a block's memory is cut: the states before each step and after the last, the slots and the inputs of each step.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub states: Grid,
    pub slots: Grid,
    pub inputs: Grid,
    /// Floats of a step's states, slots and inputs; no inputs are kept where their table is projected.
    pub state: usize,
    pub slot: usize,
    pub input: usize,
    /// Steps kept: all for a backward pass, else as many as are made ready.
    pub steps: usize,
}

impl Plan {
    pub fn new<C: Cell, const M: usize>(
        shape: Shape,
        rows: usize,
        projected: bool,
        kept: Option<usize>,
    ) -> Self {
        let grid = |vectors, slots| shape.grid(rows.div_ceil(M * shape.shared), vectors, slots);
        let floats = |grid: Grid| grid.len(M) * shape.lanes;
        let (states, slots) = (grid(shape.vectors(), C::STATES), grid(shape.vectors(), C::SLOTS));
        let inputs = grid(shape.feature_vectors(), 1);
        Self {
            states,
            slots,
            inputs,
            state: floats(states),
            slot: floats(slots),
            input: if projected { 0 } else { floats(inputs) },
            steps: kept.unwrap_or(AHEAD),
        }
    }

    fn floats(self) -> usize {
        (self.steps + 1) * self.state + self.steps * (self.slot + self.input)
    }

    /// States, slots, inputs.
    pub fn cut(self, memory: &mut [f32]) -> (&mut [f32], &mut [f32], &mut [f32]) {
        let (states, rest) = memory.split_at_mut((self.steps + 1) * self.state);
        let (slots, inputs) = rest.split_at_mut(self.steps * self.slot);
        (states, slots, inputs)
    }
}

/// Runs the layer: `out` is (B, [`Layer::rows_out`], u), each sequence's outputs, followed by its final states if they are
/// to be given. With `save`, what [`backward`](super::backward) needs is returned.
pub fn forward(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    save: bool,
    out: &mut [f32],
) -> Option<Saved> {
    match layer.kind {
        Kind::SimpleRnn => run::<SimpleRnn>(layer, input, weights, save, out),
        Kind::Lstm => run::<Lstm>(layer, input, weights, save, out),
        Kind::Gru { reset_after: true } => run::<Gru<true>>(layer, input, weights, save, out),
        Kind::Gru { reset_after: false } => run::<Gru<false>>(layer, input, weights, save, out),
    }
}

/// Whether the batch fills a group; if not, its sequences go one by one.
pub(super) fn groups(input: &Input<'_>) -> bool {
    input.batch >= GROUP
}

fn run<C: Cell + Sync>(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    save: bool,
    out: &mut [f32],
) -> Option<Saved> {
    match groups(input) {
        true => run_in::<C, GROUP>(layer, input, weights, save, out),
        false => run_in::<C, 1>(layer, input, weights, save, out),
    }
}

fn run_in<C: Cell + Sync, const M: usize>(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    save: bool,
    out: &mut [f32],
) -> Option<Saved> {
    let shape = Shape::new(layer, input.batch);
    let packed = Weights::forward(shape, layer, input, weights, C::PARTS);
    let bias = layer.split(weights).2;
    let table = table::project(shape, layer, input, &packed, &start(layer, shape, bias, shape.starts), save);
    let start = start(layer, shape, bias, C::SLOTS);
    let run = |(index, out): (usize, &mut [f32])| {
        let block = Block::of(layer, input, index);
        let (weights, start, table) = (&packed, &*start, table.as_ref());
        let pass =
            Forward::<C, M> { layer, input, weights, start, table, block, save, out, cell: PhantomData };
        shape.dispatch(pass)
    };
    let chunk = block_rows(layer) * layer.row_out(input.time);
    let blocks: Vec<Option<Buffer>> = if input.batch > block_rows(layer) {
        out.par_chunks_mut(chunk).enumerate().map(run).collect()
    } else {
        out.chunks_mut(chunk).enumerate().map(run).collect()
    };
    Some(Saved(blocks.into_iter().collect::<Option<Vec<_>>>()?))
}

/// What the first slots hold before the products are added: of each vector so many `slots`.
fn start(layer: &Layer, shape: Shape, bias: &[f32], slots: usize) -> Vec<f32> {
    let start = layer.start(bias);
    let mut padded = vec![0.0; shape.vectors() * slots * shape.lanes];
    for (index, lanes) in padded.chunks_exact_mut(shape.lanes).enumerate() {
        let (units, slot) = (shape.units_of(index / slots), index % slots);
        if slot >= shape.starts {
            continue;
        }
        shape.spread(start[slot * shape.units..][units].iter().copied(), lanes);
    }
    padded
}

struct Forward<'a, C, const M: usize> {
    layer: &'a Layer,
    input: &'a Input<'a>,
    weights: &'a Weights,
    start: &'a [f32],
    table: Option<&'a Table<'a>>,
    block: Block,
    save: bool,
    out: &'a mut [f32],
    cell: PhantomData<C>,
}

impl<C: Cell, const M: usize> WithSimd for Forward<'_, C, M> {
    type Output = Option<Buffer>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Option<Buffer> {
        let (layer, input, block) = (self.layer, self.input, self.block);
        let (time, shape) = (input.time, self.weights.shape);
        let plan = Plan::new::<C, M>(shape, block.rows, self.table.is_some(), self.save.then_some(time));
        let mut memory = Buffer::new(plan.floats());
        let (input_masks, state_masks) = masks::<M>(layer, input, block, shape, &plan);
        let gates = gates(shape);
        let kernel = Connection::new(&self.weights.kernel, &gates, input_masks, plan.slots);
        let recurrent = recurrent::<C>(self.weights, state_masks, &plan);
        let mut factor = Buffer::new(plan.state / C::STATES);
        let mut masked = Buffer::new((AHEAD * plan.inputs.len(M)).max(plan.states.len(M)) * shape.lanes);
        let first_valid = first_valid(layer, input, block);

        let (states, slots, inputs) = plan.cut(&mut memory);
        for row in 0..plan.states.rows(M) {
            for part in 0..C::STATES {
                let from = (block.sequence(row) * C::STATES + part) * layer.units;
                let from = &input.states[from..from + layer.units];
                plan.states.set::<M>(S::F32_LANES, states, row, part, from);
            }
        }
        let mut first = 0;
        while first < time {
            let steps = AHEAD.min(time - first);
            let kept = if self.save { first } else { 0 };
            if first > kept {
                states.copy_within(AHEAD * plan.state.., 0);
            }
            let slots = &mut slots[kept * plan.slot..][..steps * plan.slot];
            let states = &mut states[kept * plan.state..][..(steps + 1) * plan.state];
            self.fill_slots(simd, &plan, first, slots);
            if self.table.is_none() {
                let inputs = &mut inputs[kept * plan.input..][..steps * plan.input];
                self.read_inputs(simd, &plan, first, inputs);
                let a = Operand { floats: inputs, grid: plan.inputs, slots: &[0] };
                kernel.forward::<S, M>(simd, steps, a, Some(self.start), slots, &mut masked);
            }
            for step in 0..steps {
                let slots = &mut slots[step * plan.slot..][..plan.slot];
                let (previous, next) = states[step * plan.state..].split_at_mut(plan.state);
                let next = &mut next[..plan.state];
                for (index, part) in C::PARTS.iter().enumerate() {
                    let a = match part.factor {
                        Factor::PreviousState => Operand { floats: previous, grid: plan.states, slots: &[0] },
                        Factor::Slot(slot) => plan.slots.copy_slot::<S, M>(simd, slots, slot, &mut factor),
                    };
                    recurrent[index].forward::<S, M>(simd, 1, a, None, slots, &mut masked);
                    if layer.usual() {
                        let cell = PhantomData::<C>;
                        outline(
                            simd,
                            Cells::<C, _, M> { part: index, functions: Usual, previous, next, slots, cell },
                        );
                    } else {
                        let functions = Any(layer.activation, layer.recurrent_activation);
                        let cell = PhantomData::<C>;
                        outline(
                            simd,
                            Cells::<C, _, M> { part: index, functions, previous, next, slots, cell },
                        );
                    }
                }
                if let Some(mask) = input.mask {
                    let at = layer.at(first + step, time);
                    for row in 0..plan.states.rows(M) {
                        if mask[block.sequence(row) * time + at] == 0 {
                            plan.states.set_row::<S, M>(simd, Some(previous), next, row);
                        }
                    }
                }
            }
            self.give(simd, &plan, first, &states[plan.state..], &first_valid);
            first += steps;
        }
        self.save.then_some(memory)
    }
}

/// The connections of the state, one a part.
pub(super) fn recurrent<'a, C: Cell>(
    weights: &'a Weights,
    masks: Vec<BlockMasks>,
    plan: &Plan,
) -> Vec<Connection<'a>> {
    let mut masks = masks.into_iter();
    let parts = C::PARTS.iter().zip(&weights.recurrent);
    parts.map(|(part, packed)| Connection::new(packed, part.gates, masks.next(), plan.slots)).collect()
}

/// For each sequence the first step of the walk that is not masked.
pub(super) fn first_valid(layer: &Layer, input: &Input<'_>, block: Block) -> Vec<usize> {
    let Some(mask) = input.mask else { return vec![0; block.rows] };
    let of_row = |row: usize| {
        let valid = |&step: &usize| mask[(block.first + row) * input.time + layer.at(step, input.time)] != 0;
        (0..input.time).find(valid).unwrap_or(input.time)
    };
    (0..block.rows).map(of_row).collect()
}

/// Whether a sequence's output at a step is its h, rather than 0: not before its first valid step (`seen`), nor at a
/// masked step with `zero_output_for_mask`.
#[inline(always)]
pub(super) fn shows(layer: &Layer, input: &Input<'_>, row: usize, step: usize, seen: bool) -> bool {
    let Some(mask) = input.mask else { return true };
    match layer.zero_output_for_mask {
        true => mask[row * input.time + layer.at(step, input.time)] != 0,
        false => seen,
    }
}

/// Gate i of the input's kernel adds to slot i.
pub(super) fn gates(shape: Shape) -> Vec<(usize, usize)> {
    (0..shape.gates).map(|gate| (gate, gate)).collect()
}

/// The block's dropout masks: those of the input; those of the state, for each part.
pub(super) fn masks<const M: usize>(
    layer: &Layer,
    input: &Input<'_>,
    block: Block,
    shape: Shape,
    plan: &Plan,
) -> (Option<BlockMasks>, Vec<BlockMasks>) {
    let masks = |dropout: Option<Dropout<'_>>, grid: Grid, width| {
        let sizes = (shape.gates, input.batch);
        dropout.map(|dropout| BlockMasks::new::<M>(dropout, grid, shape.lanes, sizes, block, width))
    };
    let parts = if layer.kind == (Kind::Gru { reset_after: false }) { 2 } else { 1 };
    let of_state = (0..parts).filter_map(|_| masks(input.recurrent_dropout, plan.states, layer.units));
    (masks(input.input_dropout, plan.inputs, layer.features), of_state.collect())
}

impl<C: Cell, const M: usize> Forward<'_, C, M> {
    /// Gives the outputs of the steps from `first` on, whose next states are `states`, and after the last step the state.
    #[inline(always)]
    fn give<S: Simd>(&mut self, simd: S, plan: &Plan, first: usize, states: &[f32], first_valid: &[usize]) {
        let (layer, input, units) = (self.layer, self.input, self.layer.units);
        let (row_out, shared) = (layer.row_out(input.time), plan.states.shared);
        let mut spare = vec![0.0; if self.block.rows.is_multiple_of(shared) { 0 } else { row_out }];
        for (index, state) in states.chunks_exact(plan.state).enumerate() {
            let (step, state) = (first + index, S::as_simd_f32s(state).0);
            if let Some(at) = layer.output_at(step, input.time) {
                for row in (0..self.block.rows).step_by(shared) {
                    let out = part_of(rows_mut(self.out, row_out, row, shared, &mut spare), at, units);
                    plan.states.take::<S, M>(simd, state, out, row, 0);
                }
                for row in 0..self.block.rows {
                    if !shows(layer, input, self.block.first + row, step, step >= first_valid[row]) {
                        self.out[row * row_out + at..][..units].fill(0.0);
                    }
                }
            }
            if layer.return_state && step + 1 == input.time {
                for part in 0..C::STATES {
                    let at = (layer.steps_out(input.time) + part) * units;
                    for row in (0..self.block.rows).step_by(shared) {
                        let out = part_of(rows_mut(self.out, row_out, row, shared, &mut spare), at, units);
                        plan.states.take::<S, M>(simd, state, out, row, part);
                    }
                }
            }
        }
    }

    /// Fills the first slots of the steps from `first` on, as many as there is room for, from the projected table; without
    /// one, those that the input's kernel does not fill with what they start from.
    #[inline(always)]
    fn fill_slots<S: Simd>(&self, simd: S, plan: &Plan, first: usize, slots: &mut [f32]) {
        let Plan { slots: grid, .. } = *plan;
        let start = S::as_simd_f32s(self.start).0;
        let Shape { gates, starts: count, .. } = self.weights.shape;
        let stride = grid.vectors * grid.slots;
        let Some(table) = self.table else {
            let tiles = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(slots).0).0;
            for tiles in tiles.chunks_exact_mut(stride) {
                for v in 0..grid.vectors {
                    for slot in gates..count {
                        let at = v * grid.slots + slot;
                        for m in 0..M {
                            tiles[at][m] = start[at];
                        }
                    }
                }
            }
            return;
        };
        let (time, shared) = (self.input.time, grid.shared);
        let (len, width) = (grid.vectors * count * grid.width(simd), grid.width(simd));
        for tile in 0..grid.groups * M {
            let row = tile * shared;
            let sequences = [self.block.sequence(row), self.block.sequence(row + shared - 1)];
            for (index, slots) in slots.chunks_exact_mut(plan.slot).enumerate() {
                let at = self.layer.at(first + index, time);
                let mut from = [&table.floats[..]; 2];
                for of in 0..2 {
                    from[of] = &table.floats[table.row(sequences[of] * time + at) * len..][..len];
                }
                let slots = S::as_mut_simd_f32s(slots).0;
                assert!(slots.len() >= grid.groups * stride * M);
                // SAFETY: the assertion: the tiles of the row's group are there; each of `from` has `count` for each
                // vector.
                unsafe {
                    let [mut one, mut other] = [from[0].as_ptr(), from[1].as_ptr()];
                    let mut to = slots.as_mut_ptr().add(tile / M * stride * M + tile % M);
                    for _ in 0..grid.vectors {
                        for slot in 0..count {
                            to.add(slot * M).write(match shared {
                                1 => one.cast::<S::f32s>().read_unaligned(),
                                _ => interleave::<S>(one, other),
                            });
                            (one, other) = (one.add(width), other.add(width));
                        }
                        to = to.wrapping_add(grid.slots * M);
                    }
                }
            }
        }
    }

    /// Reads the inputs of the steps from `first` on, as many as there is room for: those of a sequence follow each other
    /// in memory.
    #[inline(always)]
    fn read_inputs<S: Simd>(&self, simd: S, plan: &Plan, first: usize, inputs: &mut [f32]) {
        let (input, features, shared) = (self.input, self.layer.features, plan.inputs.shared);
        let mut row = 0;
        while row < plan.inputs.rows(M) {
            let sequences = [self.block.sequence(row), self.block.sequence(row + shared - 1)];
            for (index, inputs) in inputs.chunks_exact_mut(plan.input).enumerate() {
                let at = self.layer.at(first + index, input.time);
                let mut x = [input.x; 2];
                for of in 0..2 {
                    let token = sequences[of] * input.time + at;
                    let line = match input.rows {
                        Some(table) => table.ids[token] as usize,
                        None => token,
                    };
                    x[of] = &input.x[line * features..][..features];
                }
                plan.inputs.put::<S, M>(simd, x, S::as_mut_simd_f32s(inputs).0, row, 0);
            }
            row += shared;
        }
    }
}

/// The arithmetic of a cell on all groups, after the product of a part.
struct Cells<'a, C, F, const M: usize> {
    part: usize,
    functions: F,
    previous: &'a [f32],
    next: &'a mut [f32],
    slots: &'a mut [f32],
    cell: PhantomData<C>,
}

impl<C: Cell, F: Functions, const M: usize> WithSimd for Cells<'_, C, F, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let previous = pulp::as_arrays::<M, _>(S::as_simd_f32s(self.previous).0).0;
        let next = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(self.next).0).0;
        let slots = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(self.slots).0).0;
        for t in 0..slots.len() / C::SLOTS {
            let previous = &previous[t * C::STATES..][..C::STATES];
            let next = &mut next[t * C::STATES..][..C::STATES];
            let slots = &mut slots[t * C::SLOTS..][..C::SLOTS];
            C::forward(simd, self.part, self.functions, previous, next, slots);
        }
    }
}

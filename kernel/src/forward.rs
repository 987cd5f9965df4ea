//! The forward pass.

use crate::buffer::Buffer;
use crate::cell::{Cell, Factor};
use crate::cells::{StepForward, with_cell};
use crate::gate_product::{GateProduct, Products};
use crate::grid::{GROUP, Grid, Operand, interleave, part_of, rows_mut};
use crate::isa::outline;
use crate::lane_layout::LaneLayout;
use crate::layer::{Input, Layer};
use crate::plan::{AHEAD, Block, Plan, Saved, Walk, block_rows, fills_group, shows};
use crate::projection::{Projection, project};
use crate::weights::Weights;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Multiplications from which blocks run side by side where no training keeps the threads awake: to wake one takes as long as
/// a hundred thousand to a million.
const PARALLEL: usize = 1 << 21;

/// Runs the layer: `out` is (B, [`Layer::rows_out`], u), each sequence's outputs, followed by its final states if they are
/// to be given. With `save`, what [`backward`](crate::backward()) needs is returned.
pub fn forward(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    save: bool,
    out: &mut [f32],
) -> Option<Saved> {
    let pass = Pass::new(layer, input, weights, save);
    match fills_group(input) {
        true => pass.blocks::<GROUP>(save, out),
        false => pass.blocks::<1>(save, out),
    }
}

/// What all blocks of a forward pass are given.
pub(crate) struct Pass<'a> {
    layer: &'a Layer,
    input: &'a Input<'a>,
    weights: Weights,
    /// The bias, as the slots hold it before the products are added.
    start: Vec<f32>,
    projection: Option<Projection<'a>>,
}

impl<'a> Pass<'a> {
    pub fn new(layer: &'a Layer, input: &'a Input<'a>, weights: &[f32], save: bool) -> Self {
        let layout = LaneLayout::new(layer, input.batch);
        let packed = Weights::forward(layout, layer, input, weights);
        let bias = layer.split(weights).2;
        let projection = project(layer, input, &packed, &start(layer, layout, bias, layout.starts), save);
        let start = start(layer, layout, bias, layer.kind.slots());
        Self { layer, input, weights: packed, start, projection }
    }

    /// Runs all blocks through all steps.
    fn blocks<const M: usize>(&self, save: bool, out: &mut [f32]) -> Option<Saved> {
        let Self { layer, input, weights: Weights { layout, .. }, projection, .. } = self;
        let (rows, time, projected) = (block_rows(layer, input.batch), input.time, projection.is_some());
        let count = input.batch.div_ceil(rows);
        let stretch = with_cell!(layer.kind, C => {
            let plan = Plan::new::<C, M>(*layout, rows.min(input.batch), projected, AHEAD);
            if save { plan.stretch(count, time) } else { time }
        });
        let held = if save && stretch == time { time } else { AHEAD };
        let run = |(index, out): (usize, &mut [f32])| {
            let block = Block::of(layer, input, index);
            let (mut memory, mut between) = with_cell!(layer.kind, C => {
                let plan = Plan::new::<C, M>(*layout, block.rows, projected, held);
                let between = if stretch < time { time.div_ceil(stretch) * plan.state } else { 0 };
                (Buffer::new(plan.floats()), Buffer::new(between))
            });
            let steps = Steps { steps: 0..time, held, memory: &mut memory, stretch, between: &mut between };
            self.run::<M>(block, steps, Some(out));
            save.then_some(if stretch < time { between } else { memory })
        };
        let chunks = rows * layer.row_out(time);
        let multiplications = input.batch * time * (layer.features + layer.units) * layer.width();
        let blocks: Vec<Option<Buffer>> = if count > 1 && (save || multiplications >= PARALLEL) {
            out.par_chunks_mut(chunks).enumerate().map(run).collect()
        } else {
            out.chunks_mut(chunks).enumerate().map(run).collect()
        };
        Some(Saved { blocks: blocks.into_iter().collect::<Option<_>>()?, stretch })
    }

    /// Runs a block through some steps, and gives the outputs where they are wanted.
    pub fn run<const M: usize>(&self, block: Block, steps: Steps<'_>, out: Option<&mut [f32]>) {
        with_cell!(self.layer.kind, C => {
            let cell = PhantomData::<C>;
            self.weights.layout.dispatch(Forward::<C, M> { pass: self, block, steps, out, cell });
        });
    }
}

/// Some steps of a block, and where they leave what they compute.
pub(crate) struct Steps<'a> {
    /// All, or some that follow the states in the memory.
    pub steps: Range<usize>,
    /// Steps that are in memory at a time: all of these, or [`AHEAD`] for those that go through the same memory.
    pub held: usize,
    pub memory: &'a mut [f32],
    /// Steps of a stretch, and room for the states before each, where there is any.
    pub stretch: usize,
    pub between: &'a mut [f32],
}

/// What the first slots hold before the products are added: of each vector so many `slots`.
fn start(layer: &Layer, layout: LaneLayout, bias: &[f32], slots: usize) -> Vec<f32> {
    let start = layer.start(bias);
    let mut padded = vec![0.0; layout.vectors() * slots * layout.lanes];
    for (index, lanes) in padded.chunks_exact_mut(layout.lanes).enumerate() {
        let (units, slot) = (layout.units_of(index / slots), index % slots);
        if slot >= layout.starts {
            continue;
        }
        layout.spread(start[slot * layout.units..][units].iter().copied(), lanes);
    }
    padded
}

/// The forward pass of a block.
struct Forward<'a, C, const M: usize> {
    pass: &'a Pass<'a>,
    block: Block,
    steps: Steps<'a>,
    out: Option<&'a mut [f32]>,
    cell: PhantomData<C>,
}

/// Memory that a step needs beside the block's own.
struct Scratch {
    /// A slot that is the factor of a product.
    factor: Buffer,
    /// An operand under its dropout mask.
    masked: Buffer,
}

impl<C: Cell, const M: usize> WithSimd for Forward<'_, C, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pass, block, steps: Steps { steps, held, memory, stretch, between }, mut out, .. } = self;
        let Pass { layer, input, ref weights, ref start, ref projection } = *pass;
        let (time, layout) = (input.time, weights.layout);
        let plan = Plan::new::<C, M>(layout, block.rows, projection.is_some(), held);
        let walk = &Walk { layer, input, block, plan };
        let Products { kernel, recurrent } = Products::new::<M>(walk, weights, C::PARTS, S::F32_LANES);
        let masked = (AHEAD * plan.inputs.len(M)).max(plan.states.len(M)) * S::F32_LANES;
        let mut scratch = Scratch { factor: Buffer::new(plan.h), masked: Buffer::new(masked) };
        let first_valid = &*block.first_valid(layer, input);
        let (states, slots, inputs) = plan.cut(memory);
        let holds_all = held >= steps.len();

        if steps.start == 0 {
            read_states::<S, M>(walk, states);
        }
        let mut first = steps.start;
        while first < steps.end {
            let ahead = AHEAD.min(steps.end - first);
            let at = if holds_all { first - steps.start } else { 0 };
            if first > steps.start && !holds_all {
                states.copy_within(AHEAD * plan.state.., 0);
            }
            let slots = &mut slots[at * plan.slot..][..ahead * plan.slot];
            let states = &mut states[at * plan.state..][..(ahead + 1) * plan.state];
            if first.is_multiple_of(stretch) && !between.is_empty() {
                between[first / stretch * plan.state..][..plan.state].copy_from_slice(&states[..plan.state]);
            }
            if let Some(projection) = projection {
                outline(simd, ReadProjection::<M> { walk, projection, starts: layout.starts, first, slots });
            } else {
                start_slots::<S, M>(layout, plan.slots, start, slots);
                let inputs = &mut inputs[at * plan.input..][..ahead * plan.input];
                outline(simd, ReadInputs::<M> { walk, first, inputs });
                let a = Operand { floats: inputs, grid: plan.inputs, slots: &[0] };
                kernel.forward::<S, M>(simd, ahead, a, Some(start), slots, &mut scratch.masked);
            }
            for step in 0..ahead {
                let slots = &mut slots[step * plan.slot..][..plan.slot];
                let (previous, next) = states[step * plan.state..].split_at_mut(plan.state);
                let next = &mut next[..plan.state];
                step_forward::<S, C, M>(simd, walk, &recurrent, previous, next, slots, &mut scratch);
                keep_masked::<S, M>(simd, walk, first + step, previous, next);
            }
            if let Some(out) = out.as_deref_mut().filter(|_| layer.gives_output(first..first + ahead, time)) {
                let states = &states[plan.state..];
                outline(simd, GiveOutputs::<M> { walk, first, states, first_valid, out });
            }
            first += ahead;
        }
    }
}

/// Reads the initial states.
#[inline(always)]
fn read_states<S: Simd, const M: usize>(walk: &Walk<'_>, into: &mut [f32]) {
    let (grid, units) = (walk.plan.states, walk.layer.units);
    for row in 0..grid.rows(M) {
        for part in 0..grid.slots {
            let from = (walk.block.sequence(row) * grid.slots + part) * units;
            grid.set::<M>(S::F32_LANES, into, row, part, &walk.input.states[from..][..units]);
        }
    }
}

/// Where the input is projected step by step: gives those first slots their start that the input's kernel does not.
#[inline(always)]
fn start_slots<S: Simd, const M: usize>(layout: LaneLayout, grid: Grid, start: &[f32], slots: &mut [f32]) {
    let start = S::as_simd_f32s(start).0;
    let tiles = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(slots).0).0;
    for tiles in tiles.chunks_exact_mut(grid.vectors * grid.slots) {
        for v in 0..grid.vectors {
            for slot in layout.gates..layout.starts {
                let at = v * grid.slots + slot;
                for m in 0..M {
                    tiles[at][m] = start[at];
                }
            }
        }
    }
}

/// From the previous state and what the slots start with to the next state: the products with the recurrent kernel, and
/// after each the cell's arithmetic.
#[inline(always)]
fn step_forward<S: Simd, C: Cell, const M: usize>(
    simd: S,
    walk: &Walk<'_>,
    recurrent: &[GateProduct<'_>],
    previous: &[f32],
    next: &mut [f32],
    slots: &mut [f32],
    scratch: &mut Scratch,
) {
    let Plan { states, slots: grid, .. } = walk.plan;
    for part in 0..C::PARTS.len() {
        let a = match C::PARTS[part].factor {
            Factor::PreviousState => Operand { floats: previous, grid: states, slots: &[0] },
            Factor::Slot(slot) => grid.copy_slot::<S, M>(simd, slots, slot, &mut scratch.factor),
        };
        recurrent[part].forward::<S, M>(simd, 1, a, None, slots, &mut scratch.masked);
        StepForward { part, previous, next, slots }.run::<S, C, M>(simd, walk.layer);
    }
}

/// At a masked step a sequence keeps its state.
#[inline(always)]
fn keep_masked<S: Simd, const M: usize>(
    simd: S,
    walk: &Walk<'_>,
    step: usize,
    previous: &[f32],
    next: &mut [f32],
) {
    let Walk { layer, input, block, plan } = *walk;
    let Some(mask) = input.mask else { return };
    let at = layer.at(step, input.time);
    for row in 0..plan.states.rows(M) {
        if mask[block.sequence(row) * input.time + at] == 0 {
            plan.states.set_row::<S, M>(simd, Some(previous), next, row);
        }
    }
}

/// Reads the inputs of the steps from `first` on, as many as there is room for: those of a sequence follow each other in
/// memory.
struct ReadInputs<'a, const M: usize> {
    walk: &'a Walk<'a>,
    first: usize,
    inputs: &'a mut [f32],
}

impl<const M: usize> WithSimd for ReadInputs<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Walk { layer, input, block, plan } = *self.walk;
        let (grid, features, time) = (Grid { slots: 1, ..plan.inputs }, layer.features, input.time);
        let mut row = 0;
        while row < grid.rows(M) {
            let sequences = [block.sequence(row), block.sequence(row + grid.shared - 1)];
            for (index, inputs) in self.inputs.chunks_exact_mut(plan.input).enumerate() {
                let at = layer.at(self.first + index, time);
                let mut x = [input.x; 2];
                for of in 0..2 {
                    let token = sequences[of] * time + at;
                    let line = match input.rows {
                        Some(table) => table.ids[token] as usize,
                        None => token,
                    };
                    x[of] = &input.x[line * features..][..features];
                }
                grid.put::<S, M>(simd, x, S::as_mut_simd_f32s(inputs).0, row, 0);
            }
            row += grid.shared;
        }
    }
}

/// Fills the first `starts` slots of the steps from `first` on, as many as there is room for, from the projection.
struct ReadProjection<'a, const M: usize> {
    walk: &'a Walk<'a>,
    projection: &'a Projection<'a>,
    starts: usize,
    first: usize,
    slots: &'a mut [f32],
}

impl<const M: usize> WithSimd for ReadProjection<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { walk: &Walk { layer, input, block, plan }, projection, starts, first, slots } = self;
        let (grid, time) = (plan.slots, input.time);
        let (stride, shared, width) = (grid.vectors * grid.slots, grid.shared, grid.width(simd));
        let len = grid.vectors * starts * width;
        for tile in 0..grid.groups * M {
            let row = tile * shared;
            let sequences = [block.sequence(row), block.sequence(row + shared - 1)];
            for (index, slots) in slots.chunks_exact_mut(plan.slot).enumerate() {
                let at = layer.at(first + index, time);
                let mut from = [&projection.floats[..]; 2];
                for of in 0..2 {
                    from[of] = &projection.floats[projection.row(sequences[of] * time + at) * len..][..len];
                }
                let slots = S::as_mut_simd_f32s(slots).0;
                assert!(slots.len() >= grid.groups * stride * M);
                // SAFETY: the assertion: the tiles of the row's group are there; each of `from` has `starts` for each
                // vector.
                unsafe {
                    let [mut one, mut other] = [from[0].as_ptr(), from[1].as_ptr()];
                    let mut to = slots.as_mut_ptr().add(tile / M * stride * M + tile % M);
                    for _ in 0..grid.vectors {
                        for slot in 0..starts {
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
}

/// Gives the outputs of the steps from `first` on, whose next states are `states`, and after the last step the state.
struct GiveOutputs<'a, const M: usize> {
    walk: &'a Walk<'a>,
    first: usize,
    states: &'a [f32],
    first_valid: &'a [usize],
    out: &'a mut [f32],
}

impl<const M: usize> WithSimd for GiveOutputs<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { walk: &Walk { layer, input, block, plan }, first, states, first_valid, out } = self;
        let (grid, units, row_out) = (plan.states, layer.units, layer.row_out(input.time));
        let mut spare = vec![0.0; if block.rows.is_multiple_of(grid.shared) { 0 } else { row_out }];
        for (index, state) in states.chunks_exact(plan.state).enumerate() {
            let (step, state) = (first + index, S::as_simd_f32s(state).0);
            if let Some(at) = layer.output_at(step, input.time) {
                for row in (0..block.rows).step_by(grid.shared) {
                    let out = part_of(rows_mut(out, row_out, row, grid.shared, &mut spare), at, units);
                    grid.take::<S, M>(simd, state, out, row, 0);
                }
                for row in 0..block.rows {
                    if !shows(layer, input, block.first + row, step, step >= first_valid[row]) {
                        out[row * row_out + at..][..units].fill(0.0);
                    }
                }
            }
            if layer.return_state && step + 1 == input.time {
                for part in 0..grid.slots {
                    let at = (layer.steps_out(input.time) + part) * units;
                    for row in (0..block.rows).step_by(grid.shared) {
                        let out = part_of(rows_mut(out, row_out, row, grid.shared, &mut spare), at, units);
                        grid.take::<S, M>(simd, state, out, row, part);
                    }
                }
            }
        }
    }
}

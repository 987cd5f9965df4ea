//! The backward pass.

use crate::accumulate::{AddRows, sum_in_order};
use crate::buffer::Buffer;
use crate::cell::{Cell, Factor};
use crate::cells::{StepBackward, with_cell};
use crate::forward::{self, Steps};
use crate::gate_product::{self, GateProduct, Products, Target};
use crate::gradients::{Sums, Tables, gradients};
use crate::grid::{GROUP, Grid, Operand, part_of, rows_mut};
use crate::isa::outline;
use crate::lane_layout::LaneLayout;
use crate::layer::{Gradients, Input, Layer};
use crate::memory::zeros;
use crate::plan::{Block, Plan, Saved, Walk, block_rows, fills_group, shows};
use crate::weights::Weights;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Steps whose outer products are summed in one go: their gradients are still in the cache.
const STEPS: usize = 8;

/// The gradients, given those of [`forward`](crate::forward())'s output in `d_out`; that of the input only if `want_x`.
/// Consumes what the forward pass saved.
pub fn backward(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    saved: Saved,
    d_out: &[f32],
    want_x: bool,
) -> Gradients {
    let layout = LaneLayout::new(layer, input.batch);
    let packed = Weights::backward(layout, layer, input, weights, want_x);
    let tables = Tables::of(layer, input, want_x);
    let sums = Sums::new(layer, layout, tables);
    let by_token = want_x && tables.by_row.is_none();
    let mut d_x = zeros(if by_token { input.batch * input.time * layer.features } else { 0 });
    let mut d_states = vec![0.0; input.batch * layer.kind.states() * layer.units];
    let forward = (saved.stretch < input.time).then(|| forward::Pass::new(layer, input, weights, true));
    let pass = Pass { layer, input, weights: &packed, tables, sums, d_out, forward: forward.as_ref() };
    let shares = match fills_group(input) {
        true => pass.blocks::<GROUP>(saved, &mut d_x, &mut d_states),
        false => pass.blocks::<1>(saved, &mut d_x, &mut d_states),
    };
    let mut total = sum_in_order(shares);
    let ([x, squares], weights) = gradients(layer, input, &packed, tables, (sums, &mut total), d_x, want_x);
    Gradients { x, squares, weights, states: d_states }
}

/// What all blocks of a backward pass are given.
#[derive(Clone, Copy)]
struct Pass<'a> {
    layer: &'a Layer,
    input: &'a Input<'a>,
    weights: &'a Weights,
    tables: Tables<'a>,
    sums: Sums,
    d_out: &'a [f32],
    /// The forward pass, where steps are computed again.
    forward: Option<&'a forward::Pass<'a>>,
}

impl Pass<'_> {
    /// Runs the blocks, and returns what each has summed up. `d_x` is empty where nobody wants the gradient of each
    /// token.
    fn blocks<const M: usize>(self, saved: Saved, d_x: &mut [f32], d_states: &mut [f32]) -> Vec<Buffer> {
        let Self { layer, input, sums, .. } = self;
        let rows = block_rows(layer, input.batch);
        let stretch = saved.stretch;
        let mut x_chunks = d_x.chunks_mut(rows * input.time * layer.features);
        let blocks_a_share = saved.blocks.len().div_ceil(sums.shares()).max(1);
        let d_states = d_states.chunks_mut(rows * layer.kind.states() * layer.units);
        let mut blocks: Vec<_> = saved
            .blocks
            .into_iter()
            .zip(d_states)
            .enumerate()
            .map(|(index, (memory, d_states))| {
                let block = Block::of(layer, input, index);
                BlockPass { block, memory, d_x: x_chunks.next(), d_states }
            })
            .collect();
        let run = |blocks: &mut [BlockPass<'_>]| {
            let mut share = Buffer::zeros(sums.len());
            for block in blocks {
                self.block::<M>(block, stretch, &mut share);
            }
            share
        };
        if blocks.len() > blocks_a_share {
            blocks.par_chunks_mut(blocks_a_share).map(run).collect()
        } else {
            blocks.chunks_mut(blocks_a_share).map(run).collect()
        }
    }

    /// Runs a block, stretch by stretch, and adds to its share of the sums.
    fn block<const M: usize>(self, of: &mut BlockPass<'_>, stretch: usize, share: &mut [f32]) {
        let BlockPass { block, memory, d_x, d_states } = of;
        let block = *block;
        let Self { layer, input, weights: Weights { layout, .. }, tables, .. } = self;
        let time = input.time;
        with_cell!(layer.kind, C => {
            let plan = Plan::new::<C, M>(*layout, block.rows, tables.projected.is_some(), stretch);
            let mut gradient = Buffer::zeros(plan.state);
            let mut back = |steps: Range<usize>, memory: &mut [f32]| {
                let (d_x, d_states, gradient) = (d_x.as_deref_mut(), &mut **d_states, &mut *gradient);
                let (share, cell) = (&mut *share, PhantomData::<C>);
                layout.dispatch(Backward::<C, M> {
                    pass: self, block, steps, held: stretch, memory, gradient, d_x, d_states, share, cell,
                });
            };
            let Some(forward) = self.forward else { return back(0..time, memory) };
            let mut steps_memory = Buffer::new(plan.floats());
            for (index, states) in memory.chunks_exact(plan.state).enumerate().rev() {
                let steps = index * stretch..time.min((index + 1) * stretch);
                steps_memory[..plan.state].copy_from_slice(states);
                let (memory, between) = (&mut *steps_memory, &mut [][..]);
                forward.run::<M>(block, Steps { steps: steps.clone(), held: stretch, memory, stretch, between }, None);
                back(steps, &mut steps_memory);
            }
        });
    }
}

/// A block on its way back.
struct BlockPass<'a> {
    block: Block,
    /// What its forward pass left: the memory of all steps, or the states before each stretch.
    memory: Buffer,
    /// Its part of the gradient of each token, where that is wanted.
    d_x: Option<&'a mut [f32]>,
    /// Its part of that of the initial states.
    d_states: &'a mut [f32],
}

/// The backward pass of some steps of a block.
struct Backward<'a, C, const M: usize> {
    pass: Pass<'a>,
    block: Block,
    /// All, or some that end where those before began.
    steps: Range<usize>,
    /// Steps that there is room for in the memory.
    held: usize,
    /// What the forward pass left of these steps.
    memory: &'a mut [f32],
    /// The gradient of the state after the steps, then of that before them.
    gradient: &'a mut [f32],
    /// The gradient of each token, where it is wanted.
    d_x: Option<&'a mut [f32]>,
    d_states: &'a mut [f32],
    /// What the block sums up.
    share: &'a mut [f32],
    cell: PhantomData<C>,
}

/// Memory that the steps need beside the block's own.
struct Scratch<'a> {
    /// The gradient of the state.
    gradient: &'a mut [f32],
    /// The same before the arithmetic of a step that may be masked.
    after: Vec<f32>,
    /// The gradient of a slot that is the factor of a product.
    d_factor: Buffer,
    /// Gradients under their dropout masks.
    masked: Buffer,
    /// The tiles of slot 0 in a group of states, and of a grid with one slot.
    h_columns: Vec<usize>,
    columns: Vec<usize>,
}

impl<C: Cell, const M: usize> WithSimd for Backward<'_, C, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pass, block, steps: range, held, memory, gradient, mut d_x, d_states, share, .. } = self;
        let Pass { layer, input, weights, tables, sums, d_out, .. } = pass;
        let (time, projected) = (input.time, tables.projected.is_some());
        let plan = Plan::new::<C, M>(weights.layout, block.rows, projected, held);
        let walk = &Walk { layer, input, block, plan };
        let products = &Products::new::<M>(walk, weights, C::PARTS, S::F32_LANES);
        let (states, slots, inputs) = plan.cut(memory);
        let of_features = plan.inputs.len(M) * S::F32_LANES;
        let mut scratch = Scratch::new(walk, gradient, of_features);
        let mut d_outs = Buffer::zeros(STEPS * plan.h);
        let mut dx = Buffer::new(STEPS * of_features);
        let first_valid = &*block.first_valid(layer, input);
        let wants_dx = d_x.is_some() || sums.table + sums.squares > 0;

        if range.end == time {
            read_d_states::<S, M>(walk, d_out, scratch.gradient);
        }
        let mut end = range.end;
        while end > range.start {
            let first = (end - 1) / STEPS * STEPS;
            let (at, steps) = (first - range.start, end - first);
            let states = &states[at * plan.state..][..steps * plan.state];
            let slots = &mut slots[at * plan.slot..][..steps * plan.slot];
            let d_outs = &mut d_outs[..steps * plan.h];
            if layer.gives_output(first..end, time) {
                let d_outs = &mut *d_outs;
                outline(simd, ReadOutputGradients::<M> { walk, first, first_valid, d_out, d_outs });
            }
            for step in (0..steps).rev() {
                if layer.output_at(first + step, time).is_some() {
                    let d_out = &d_outs[step * plan.h..];
                    plan.states.add_slot::<S, M>(simd, d_out, scratch.gradient, 0);
                }
                let previous = &states[step * plan.state..][..plan.state];
                let slots = &mut slots[step * plan.slot..][..plan.slot];
                step_back::<S, C, M>(
                    simd,
                    walk,
                    &products.recurrent,
                    first + step,
                    previous,
                    slots,
                    &mut scratch,
                );
            }
            let dx = &mut dx[..steps * of_features];
            if wants_dx {
                let columns = &scratch.columns[..plan.inputs.vectors];
                let target = Target { floats: &mut *dx, grid: plan.inputs, columns, adds: false };
                products.kernel.backward::<S, M>(simd, steps, slots, target, &mut scratch.masked);
                if let Some(d_x) = &mut d_x {
                    outline(simd, GiveInputGradients::<M> { walk, first, dx: &*dx, d_x });
                }
            }
            let inputs = if projected { &[] } else { &inputs[at * plan.input..][..steps * plan.input] };
            let chunk = Chunk { first, states, slots: &*slots, inputs, dx: &*dx };
            add_gradients::<S, C, M>(simd, walk, &pass, products, chunk, share, &mut scratch.masked);
            end = first;
        }
        if range.start == 0 {
            give_d_states::<S, M>(simd, walk, scratch.gradient, d_states);
        }
    }
}

impl<'a> Scratch<'a> {
    /// `of_features` are the floats of a step's features.
    fn new(walk: &Walk<'_>, gradient: &'a mut [f32], of_features: usize) -> Self {
        let Plan { states, inputs, state, h, .. } = walk.plan;
        Self {
            gradient,
            after: vec![0.0; if walk.input.mask.is_some() { state } else { 0 }],
            d_factor: Buffer::zeros(h),
            masked: Buffer::new(STEPS * h.max(of_features)),
            h_columns: (0..states.vectors).map(|v| v * states.slots).collect(),
            columns: (0..states.vectors.max(inputs.vectors)).collect(),
        }
    }
}

/// Reads the gradients of the final states, if those were given.
#[inline(always)]
fn read_d_states<S: Simd, const M: usize>(walk: &Walk<'_>, d_out: &[f32], gradient: &mut [f32]) {
    let Walk { layer, input, block, plan } = *walk;
    if !layer.return_state {
        return;
    }
    let (units, row_out) = (layer.units, layer.row_out(input.time));
    for row in 0..block.rows {
        for part in 0..plan.states.slots {
            let at = (block.first + row) * row_out + (layer.steps_out(input.time) + part) * units;
            plan.states.set::<M>(S::F32_LANES, gradient, row, part, &d_out[at..][..units]);
        }
    }
}

/// From the gradient of the next state to that of the previous one: turns the slots into the gradients of their
/// pre-activations, which go back through the recurrent kernel.
#[inline(always)]
fn step_back<S: Simd, C: Cell, const M: usize>(
    simd: S,
    walk: &Walk<'_>,
    recurrent: &[GateProduct<'_>],
    step: usize,
    previous: &[f32],
    slots: &mut [f32],
    scratch: &mut Scratch<'_>,
) {
    let Scratch { gradient, after, d_factor, masked, h_columns, columns } = scratch;
    let states = walk.plan.states;
    if walk.input.mask.is_some() {
        after.copy_from_slice(gradient);
    }
    for part in (0..C::PARTS.len()).rev() {
        StepBackward { part, previous, slots, gradient, d_factor }.run::<S, C, M>(simd, walk.layer);
        if part == 0 {
            skip_masked::<S, M>(simd, walk, step, after, gradient, slots);
        }
        let target = match C::PARTS[part].factor {
            Factor::PreviousState => {
                Target { floats: gradient, grid: states, columns: h_columns, adds: true }
            }
            Factor::Slot(_) => {
                let columns = &columns[..states.vectors];
                Target { floats: d_factor, grid: Grid { slots: 1, ..states }, columns, adds: false }
            }
        };
        recurrent[part].backward::<S, M>(simd, 1, slots, target, masked);
    }
}

/// Where a step is masked, the gradient goes by unchanged, and that of the slots is 0.
#[inline(always)]
fn skip_masked<S: Simd, const M: usize>(
    simd: S,
    walk: &Walk<'_>,
    step: usize,
    after: &[f32],
    gradient: &mut [f32],
    slots: &mut [f32],
) {
    let Walk { layer, input, block, plan } = *walk;
    let Some(mask) = input.mask else { return };
    let at = layer.at(step, input.time);
    for row in 0..plan.states.rows(M) {
        if mask[block.sequence(row) * input.time + at] == 0 {
            plan.states.set_row::<S, M>(simd, Some(after), gradient, row);
            plan.slots.set_row::<S, M>(simd, None, slots, row);
        }
    }
}

/// Adds a step's gradients of the biases, those of the first slots, in `T` parities.
#[inline(always)]
fn add_bias<S: Simd, const M: usize, const T: usize>(
    simd: S,
    grid: Grid,
    starts: usize,
    slots: &[f32],
    bias: &mut [f32],
) {
    let tiles = pulp::as_arrays::<M, _>(S::as_simd_f32s(slots).0).0;
    let bias = S::as_mut_simd_f32s(bias).0;
    let stride = grid.vectors * grid.slots;
    for t in 0..stride {
        if t % grid.slots >= starts {
            continue;
        }
        for parity in 0..T {
            let mut sum = bias[parity * stride + t];
            for group in 0..grid.groups {
                for m in 0..M / T {
                    sum = simd.add_f32s(sum, tiles[group * stride + t][m * T + parity]);
                }
            }
            bias[parity * stride + t] = sum;
        }
    }
}

/// Some steps of a block on the way back.
struct Chunk<'a> {
    first: usize,
    /// The states before each step.
    states: &'a [f32],
    /// The slots, which hold gradients.
    slots: &'a [f32],
    /// The inputs, unless they were projected.
    inputs: &'a [f32],
    /// The inputs' gradients, where they are wanted.
    dx: &'a [f32],
}

/// Adds the gradients of the weights, and those of a table, for some steps.
#[inline(always)]
fn add_gradients<S: Simd, C: Cell, const M: usize>(
    simd: S,
    walk: &Walk<'_>,
    pass: &Pass<'_>,
    products: &Products<'_>,
    chunk: Chunk<'_>,
    share: &mut [f32],
    masked: &mut [f32],
) {
    let (plan, Tables { projected, by_row }) = (walk.plan, pass.tables);
    let Chunk { first, states, slots, inputs, dx } = chunk;
    let steps = slots.len() / plan.slot;
    let [bias, mut d_recurrent, d_kernel, table, squares] = pass.sums.cut(share);
    let LaneLayout { starts, parities, .. } = pass.weights.layout;
    for slots in slots.chunks_exact(plan.slot) {
        match parities {
            1 => add_bias::<S, M, 1>(simd, plan.slots, starts, slots, bias),
            _ => add_bias::<S, M, 2>(simd, plan.slots, starts, slots, bias),
        }
    }
    if let Some(rows) = projected.or(by_row) {
        let projection = if projected.is_some() { &mut *d_kernel } else { &mut [] };
        outline(simd, AddRows::<M> { walk, first, rows, slots, dx, projection, table, squares });
    }
    let d = gate_product::Steps { first: slots, step: plan.slot };
    if projected.is_none() {
        let x = Operand { floats: inputs, grid: plan.inputs, slots: &[0] };
        let x = gate_product::Steps { first: x, step: plan.input };
        products.kernel.add_gradient::<S, M>(simd, steps, x, d, d_kernel, masked);
    }
    for (part, product) in C::PARTS.iter().zip(&products.recurrent) {
        let slot;
        let (a, step) = match part.factor {
            Factor::PreviousState => (Operand { floats: states, grid: plan.states, slots: &[0] }, plan.state),
            Factor::Slot(index) => {
                slot = [index];
                (Operand { floats: slots, grid: plan.slots, slots: &slot }, plan.slot)
            }
        };
        let a = gate_product::Steps { first: a, step };
        d_recurrent = product.add_gradient::<S, M>(simd, steps, a, d, d_recurrent, masked);
    }
}

/// Gives the gradients of the initial states.
#[inline(always)]
fn give_d_states<S: Simd, const M: usize>(simd: S, walk: &Walk<'_>, gradient: &[f32], d_states: &mut [f32]) {
    let (grid, units) = (walk.plan.states, walk.layer.units);
    let gradient = S::as_simd_f32s(gradient).0;
    let mut spare = vec![0.0; grid.slots * units];
    for row in (0..walk.block.rows).step_by(grid.shared) {
        for part in 0..grid.slots {
            let rows = rows_mut(d_states, grid.slots * units, row, grid.shared, &mut spare);
            grid.take::<S, M>(simd, gradient, part_of(rows, part * units, units), row, part);
        }
    }
}

/// Reads the outputs' gradients of the steps from `first` on, as many as there is room for: zeros where an output is not
/// shown.
struct ReadOutputGradients<'a, const M: usize> {
    walk: &'a Walk<'a>,
    first: usize,
    first_valid: &'a [usize],
    d_out: &'a [f32],
    d_outs: &'a mut [f32],
}

impl<const M: usize> WithSimd for ReadOutputGradients<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { walk: &Walk { layer, input, block, plan }, first, first_valid, d_out, d_outs } = self;
        let grid = Grid { slots: 1, ..plan.states };
        let (row_out, units) = (layer.row_out(input.time), layer.units);
        for (index, d_outs) in d_outs.chunks_exact_mut(plan.h).enumerate() {
            let step = first + index;
            let Some(at) = layer.output_at(step, input.time) else { continue };
            let mut row = 0;
            while row < block.rows {
                let mut d = [&d_out[..0]; 2];
                for of in 0..grid.shared.min(block.rows - row) {
                    d[of] = &d_out[(block.first + row + of) * row_out + at..][..units];
                }
                grid.put::<S, M>(simd, d, S::as_mut_simd_f32s(d_outs).0, row, 0);
                row += grid.shared;
            }
            for row in 0..block.rows {
                if !shows(layer, input, block.first + row, step, step >= first_valid[row]) {
                    grid.set_row::<S, M>(simd, None, d_outs, row);
                }
            }
        }
    }
}

/// Gives the inputs' gradients `dx` of the steps from `first` on.
struct GiveInputGradients<'a, const M: usize> {
    walk: &'a Walk<'a>,
    first: usize,
    dx: &'a [f32],
    d_x: &'a mut [f32],
}

impl<const M: usize> WithSimd for GiveInputGradients<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { walk: &Walk { layer, input, block, plan }, first, dx, d_x } = self;
        let grid = Grid { slots: 1, ..plan.inputs };
        let (features, of_sequence) = (layer.features, input.time * layer.features);
        let mut spare = vec![0.0; if block.rows.is_multiple_of(grid.shared) { 0 } else { of_sequence }];
        let mut row = 0;
        while row < block.rows {
            for (index, dx) in dx.chunks_exact(grid.len(M) * S::F32_LANES).enumerate() {
                let at = layer.at(first + index, input.time) * features;
                let d_x = part_of(rows_mut(d_x, of_sequence, row, grid.shared, &mut spare), at, features);
                grid.take::<S, M>(simd, S::as_simd_f32s(dx).0, d_x, row, 0);
            }
            row += grid.shared;
        }
    }
}

//! The backward pass.

use crate::accumulate::{add_vector, sum_in_order, two_rows};
use crate::buffer::Buffer;
use crate::cell::Factor;
use crate::cells::StepBackward;
use crate::dropout::masks;
use crate::gate_product::{GateProduct, Steps, Target, recurrent_products};
use crate::gradients::{Sums, Tables, gradients};
use crate::grid::{GROUP, Grid, Operand, part_of, rows_mut};
use crate::lane_layout::LaneLayout;
use crate::layer::{Gradients, Input, Layer};
use crate::plan::{Block, Plan, Saved, block_rows, fills_group, shows};
use crate::weights::Weights;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Steps whose outer products are summed in one go: their gradients are still in the cache.
const STEPS: usize = 8;

/// The gradients, given those of [`forward`](crate::forward)'s output in `d_out`; that of the input only if `want_x`.
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
    let mut d_x = vec![0.0; if by_token { input.batch * input.time * layer.features } else { 0 }];
    let mut d_states = vec![0.0; input.batch * layer.kind.states() * layer.units];
    let pass = Pass { layer, input, weights: &packed, tables, sums, d_out };
    let shares = match fills_group(input) {
        true => pass.blocks::<GROUP>(saved, &mut d_x, &mut d_states),
        false => pass.blocks::<1>(saved, &mut d_x, &mut d_states),
    };
    let mut total = sum_in_order(shares);
    let (x, weights) = gradients(layer, input, &packed, tables, (sums, &mut total), d_x, want_x);
    Gradients { x, weights, states: d_states }
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
}

impl Pass<'_> {
    /// Runs the blocks, and returns what each has summed up. `d_x` is empty where nobody wants the gradient of each
    /// token.
    fn blocks<const M: usize>(self, saved: Saved, d_x: &mut [f32], d_states: &mut [f32]) -> Vec<Buffer> {
        let Self { layer, input, weights: Weights { layout, .. }, tables, sums, .. } = self;
        let rows = block_rows(layer);
        let mut x_chunks = d_x.chunks_mut(rows * input.time * layer.features);
        let jobs: Vec<_> = saved
            .0
            .into_iter()
            .zip(d_states.chunks_mut(rows * layer.kind.states() * layer.units))
            .enumerate()
            .map(|(index, (memory, d_states))| (index, memory, d_states, x_chunks.next()))
            .collect();
        let run = |(index, mut memory, d_states, d_x): (usize, Buffer, &mut [f32], Option<&mut [f32]>)| {
            let block = Block::of(layer, input, index);
            let projected = tables.projected.is_some();
            let plan = Plan::new::<M>(layer.kind, *layout, block.rows, projected, Some(input.time));
            let mut share = Buffer::zeros(sums.len());
            let (memory, sums) = (&mut *memory, &mut *share);
            layout.dispatch(Backward::<M> { pass: self, block, plan, memory, d_x, d_states, share: sums });
            share
        };
        if jobs.len() > 1 {
            jobs.into_par_iter().map(run).collect()
        } else {
            jobs.into_iter().map(run).collect()
        }
    }
}

/// The backward pass of a block.
struct Backward<'a, const M: usize> {
    pass: Pass<'a>,
    block: Block,
    plan: Plan,
    /// What the forward pass left.
    memory: &'a mut [f32],
    /// The gradient of each token, where it is wanted.
    d_x: Option<&'a mut [f32]>,
    d_states: &'a mut [f32],
    /// What the block sums up.
    share: &'a mut [f32],
}

/// Memory that the steps need beside the block's own.
struct Scratch {
    /// The gradient of the state.
    gradient: Buffer,
    /// The same before the arithmetic of a masked step.
    after: Vec<f32>,
    /// The gradient of a slot that is the factor of a product.
    d_factor: Buffer,
    /// Gradients under their dropout masks.
    masked: Buffer,
    /// The tiles of slot 0 in a group of states, and of a grid with one slot.
    h_columns: Vec<usize>,
    columns: Vec<usize>,
}

impl<const M: usize> WithSimd for Backward<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Pass { layer, input, weights, tables, sums, .. } = self.pass;
        let (plan, time) = (self.plan, input.time);
        let (input_masks, state_masks) = masks::<M>(layer, input, self.block, S::F32_LANES, &plan);
        let gates = weights.layout.input_gates();
        let kernel = GateProduct::new(&weights.kernel, &gates, input_masks, plan.slots);
        let recurrent = recurrent_products(layer.kind, &weights.recurrent, state_masks, plan.slots);
        let (states, slots, inputs) = plan.cut(std::mem::take(&mut self.memory));
        let of_features = plan.inputs.len(M) * S::F32_LANES;
        let mut scratch = self.scratch(of_features);
        let mut d_outs = Buffer::zeros(STEPS * plan.of_units());
        let mut dx = Buffer::new(STEPS * of_features);
        let first_valid = self.block.first_valid(layer, input);
        let wants_dx = self.d_x.is_some() || sums.table + sums.squares > 0;

        self.read_d_states::<S>(&mut scratch.gradient);
        let mut end = time;
        while end > 0 {
            let first = (end - 1) / STEPS * STEPS;
            let steps = end - first;
            let states = &states[first * plan.state..][..steps * plan.state];
            let slots = &mut slots[first * plan.slot..][..steps * plan.slot];
            self.read_d_out(simd, first, &first_valid, &mut d_outs[..steps * plan.of_units()]);
            for step in (0..steps).rev() {
                if layer.output_at(first + step, time).is_some() {
                    let d_out = &d_outs[step * plan.of_units()..];
                    plan.states.add_slot::<S, M>(simd, d_out, &mut scratch.gradient, 0);
                }
                let previous = &states[step * plan.state..][..plan.state];
                let slots = &mut slots[step * plan.slot..][..plan.slot];
                self.step(simd, &recurrent, first + step, previous, slots, &mut scratch);
            }
            if wants_dx {
                let columns = &scratch.columns[..plan.inputs.vectors];
                let target = Target { floats: &mut dx, grid: plan.inputs, columns, adds: false };
                kernel.backward::<S, M>(simd, steps, slots, target, &mut scratch.masked);
                self.give_dx(simd, first, &dx[..steps * of_features]);
            }
            for step in 0..steps {
                let slots = &slots[step * plan.slot..][..plan.slot];
                self.add_bias(simd, slots);
                self.add_rows(simd, first + step, slots, &dx[step * of_features..][..of_features]);
            }
            if tables.projected.is_none() {
                let [_, _, d_kernel, _, _] = sums.cut(self.share);
                let x = Operand { floats: &inputs[first * plan.input..], grid: plan.inputs, slots: &[0] };
                let x = Steps { first: x, step: plan.input };
                let slots = Steps { first: &*slots, step: plan.slot };
                kernel.add_gradient::<S, M>(simd, steps, x, slots, d_kernel, &mut scratch.masked);
            }
            self.add_recurrent_gradient(simd, &recurrent, states, slots, &mut scratch.masked);
            end = first;
        }
        self.give_d_states(simd, &scratch.gradient);
    }
}

impl<const M: usize> Backward<'_, M> {
    /// Scratch memory, the gradient of the state all zeros.
    #[inline(always)]
    fn scratch(&self, of_features: usize) -> Scratch {
        let Plan { states, inputs, .. } = self.plan;
        let of_units = self.plan.of_units();
        Scratch {
            gradient: Buffer::zeros(self.plan.state),
            after: vec![0.0; if self.pass.input.mask.is_some() { self.plan.state } else { 0 }],
            d_factor: Buffer::zeros(of_units),
            masked: Buffer::new(STEPS * of_units.max(of_features)),
            h_columns: (0..states.vectors).map(|v| v * states.slots).collect(),
            columns: (0..states.vectors.max(inputs.vectors)).collect(),
        }
    }

    /// Reads the gradients of the final states, if those were given.
    #[inline(always)]
    fn read_d_states<S: Simd>(&self, gradient: &mut [f32]) {
        let Pass { layer, input, d_out, .. } = self.pass;
        if !layer.return_state {
            return;
        }
        let (grid, units, row_out) = (self.plan.states, layer.units, layer.row_out(input.time));
        for row in 0..self.block.rows {
            for part in 0..grid.slots {
                let at = (self.block.first + row) * row_out + (layer.steps_out(input.time) + part) * units;
                grid.set::<M>(S::F32_LANES, gradient, row, part, &d_out[at..][..units]);
            }
        }
    }

    /// Reads the outputs' gradients of the steps from `first` on, as many as there is room for: zeros where an output is
    /// not shown.
    #[inline(always)]
    fn read_d_out<S: Simd>(&self, simd: S, first: usize, first_valid: &[usize], d_outs: &mut [f32]) {
        let Pass { layer, input, d_out, .. } = self.pass;
        let grid = Grid { slots: 1, ..self.plan.states };
        let (row_out, units) = (layer.row_out(input.time), layer.units);
        for (index, d_outs) in d_outs.chunks_exact_mut(self.plan.of_units()).enumerate() {
            let step = first + index;
            let Some(at) = layer.output_at(step, input.time) else { continue };
            let mut row = 0;
            while row < self.block.rows {
                let mut d = [&d_out[..0]; 2];
                for of in 0..grid.shared.min(self.block.rows - row) {
                    let sequence = self.block.first + row + of;
                    d[of] = &d_out[sequence * row_out + at..][..units];
                }
                grid.put::<S, M>(simd, d, S::as_mut_simd_f32s(d_outs).0, row, 0);
                row += grid.shared;
            }
            for row in 0..self.block.rows {
                if !shows(layer, input, self.block.first + row, step, step >= first_valid[row]) {
                    grid.set_row::<S, M>(simd, None, d_outs, row);
                }
            }
        }
    }

    /// From the gradient of the next state to that of the previous one: turns the slots into the gradients of their
    /// pre-activations, which go back through the recurrent kernel.
    #[inline(always)]
    fn step<S: Simd>(
        &self,
        simd: S,
        recurrent: &[GateProduct<'_>],
        step: usize,
        previous: &[f32],
        slots: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Scratch { gradient, after, d_factor, masked, h_columns, columns } = scratch;
        let (layer, states) = (self.pass.layer, self.plan.states);
        if self.pass.input.mask.is_some() {
            after.copy_from_slice(gradient);
        }
        for (part, product) in recurrent.iter().enumerate().rev() {
            StepBackward { part, previous, slots, gradient, d_factor }.run::<S, M>(simd, layer);
            if part == 0 {
                self.skip_masked(simd, step, after, gradient, slots);
            }
            let target = match layer.kind.parts()[part].factor {
                Factor::PreviousState => {
                    Target { floats: gradient, grid: states, columns: h_columns, adds: true }
                }
                Factor::Slot(_) => {
                    let columns = &columns[..states.vectors];
                    Target { floats: d_factor, grid: Grid { slots: 1, ..states }, columns, adds: false }
                }
            };
            product.backward::<S, M>(simd, 1, slots, target, masked);
        }
    }

    /// Where a step is masked, the gradient goes by unchanged, and that of the slots is 0.
    #[inline(always)]
    fn skip_masked<S: Simd>(
        &self,
        simd: S,
        step: usize,
        after: &[f32],
        gradient: &mut [f32],
        slots: &mut [f32],
    ) {
        let Pass { layer, input, .. } = self.pass;
        let Some(mask) = input.mask else { return };
        let at = layer.at(step, input.time);
        for row in 0..self.plan.states.rows(M) {
            if mask[self.block.sequence(row) * input.time + at] == 0 {
                self.plan.states.set_row::<S, M>(simd, Some(after), gradient, row);
                self.plan.slots.set_row::<S, M>(simd, None, slots, row);
            }
        }
    }

    /// Gives the inputs' gradients of the steps from `first` on, if each is wanted.
    #[inline(always)]
    fn give_dx<S: Simd>(&mut self, simd: S, first: usize, dx: &[f32]) {
        let Pass { layer, input, .. } = self.pass;
        let (grid, time, features) = (self.plan.inputs, input.time, layer.features);
        let Some(d_x) = &mut self.d_x else { return };
        let odd = !self.block.rows.is_multiple_of(grid.shared);
        let mut spare = vec![0.0; if odd { time * features } else { 0 }];
        let mut row = 0;
        while row < self.block.rows {
            for (index, dx) in dx.chunks_exact(grid.len(M) * S::F32_LANES).enumerate() {
                let at = layer.at(first + index, time) * features;
                let d_x = part_of(rows_mut(d_x, time * features, row, grid.shared, &mut spare), at, features);
                grid.take::<S, M>(simd, S::as_simd_f32s(dx).0, d_x, row, 0);
            }
            row += grid.shared;
        }
    }

    /// Adds a step's gradients of the biases.
    #[inline(always)]
    fn add_bias<S: Simd>(&mut self, simd: S, slots: &[f32]) {
        let grid = self.plan.slots;
        let [bias, ..] = self.pass.sums.cut(self.share);
        let tiles = pulp::as_arrays::<M, _>(S::as_simd_f32s(slots).0).0;
        let bias = S::as_mut_simd_f32s(bias).0;
        for v in 0..grid.vectors {
            // Not all slots have a bias.
            for slot in 0..self.pass.weights.layout.starts {
                let t = v * grid.slots + slot;
                let mut sum = bias[t];
                for group in 0..grid.groups {
                    for m in 0..M {
                        sum = simd.add_f32s(sum, tiles[group * grid.vectors * grid.slots + t][m]);
                    }
                }
                bias[t] = sum;
            }
        }
    }

    /// Adds a step's gradients of a table to its rows: those of the projection, of the table itself, and their squares,
    /// as far as they are wanted.
    #[inline(always)]
    fn add_rows<S: Simd>(&mut self, simd: S, step: usize, slots: &[f32], dx: &[f32]) {
        let Pass { layer, input, tables, sums, .. } = self.pass;
        let Some(rows_of) = tables.projected.or(tables.by_row) else { return };
        let [_, _, kernel, table, squares] = sums.cut(self.share);
        let (grid, features, gates) = (self.plan.slots, self.plan.inputs.vectors, layer.kind.gates());
        let (time, shared, width) = (input.time, grid.shared, grid.width(simd));
        let at = layer.at(step, time);
        let slots = pulp::as_arrays::<M, _>(S::as_simd_f32s(slots).0).0;
        let dx = pulp::as_arrays::<M, _>(S::as_simd_f32s(dx).0).0;
        let mut row = 0;
        while row < self.block.rows {
            let (group, m) = (row / shared / M, row / shared % M);
            // Of an odd sequence at the end the partner's gradient is 0, wherever it is added.
            let mut ids = [0; 2];
            for of in 0..2 {
                let sequence = self.block.sequence(row + of.min(shared - 1));
                ids[of] = rows_of.ids[sequence * time + at] as usize;
            }
            if tables.projected.is_some() {
                let slots = &slots[group * grid.vectors * grid.slots..][..grid.vectors * grid.slots];
                let mut sums = two_rows(kernel, ids, grid.vectors * gates * width);
                for v in 0..grid.vectors {
                    for gate in 0..gates {
                        // SAFETY: `two_rows` has made sure of so many sums.
                        sums = unsafe { add_vector(simd, shared, slots[v * grid.slots + gate][m], sums) };
                    }
                }
            }
            let dx = &dx[group * features..][..features];
            if !table.is_empty() {
                let mut sums = two_rows(table, ids, features * width);
                for v in 0..features {
                    // SAFETY: as above.
                    sums = unsafe { add_vector(simd, shared, dx[v][m], sums) };
                }
            }
            if !squares.is_empty() {
                let mut sums = two_rows(squares, ids, features * width);
                for v in 0..features {
                    // SAFETY: as above.
                    sums = unsafe { add_vector(simd, shared, simd.mul_f32s(dx[v][m], dx[v][m]), sums) };
                }
            }
            row += shared;
        }
    }

    /// Adds the recurrent kernel's gradient of some steps, whose previous states and slots are given.
    #[inline(always)]
    fn add_recurrent_gradient<S: Simd>(
        &mut self,
        simd: S,
        recurrent: &[GateProduct<'_>],
        states: &[f32],
        slots: &[f32],
        masked: &mut [f32],
    ) {
        let plan = self.plan;
        let steps = slots.len() / plan.slot;
        let [_, mut sums, ..] = self.pass.sums.cut(self.share);
        for (part, product) in self.pass.layer.kind.parts().iter().zip(recurrent) {
            let slot;
            let a = match part.factor {
                Factor::PreviousState => Steps {
                    first: Operand { floats: states, grid: plan.states, slots: &[0] },
                    step: plan.state,
                },
                Factor::Slot(index) => {
                    slot = [index];
                    let first = Operand { floats: slots, grid: plan.slots, slots: &slot };
                    Steps { first, step: plan.slot }
                }
            };
            let slots = Steps { first: slots, step: plan.slot };
            sums = product.add_gradient::<S, M>(simd, steps, a, slots, sums, masked);
        }
    }

    /// Gives the gradients of the initial states.
    #[inline(always)]
    fn give_d_states<S: Simd>(&mut self, simd: S, gradient: &[f32]) {
        let (grid, units) = (self.plan.states, self.pass.layer.units);
        let gradient = S::as_simd_f32s(gradient).0;
        let mut spare = vec![0.0; grid.slots * units];
        for row in (0..self.block.rows).step_by(grid.shared) {
            for part in 0..grid.slots {
                let rows = rows_mut(self.d_states, grid.slots * units, row, grid.shared, &mut spare);
                let rows = part_of(rows, part * units, units);
                grid.take::<S, M>(simd, gradient, rows, row, part);
            }
        }
    }
}

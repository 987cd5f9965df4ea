//! The backward pass.

use super::activation::{Any, Functions, Usual};
use super::buffer::Buffer;
use super::cell::{Cell, Factor, Kind};
use super::connection::Connection;
use super::forward::{Block, Plan, Saved, block_rows, first_valid, gates, groups, masks, recurrent, shows};
use super::grid::{GROUP, Grid, part_of, rows_mut};
use super::gru::Gru;
use super::isa::outline;
use super::lstm::Lstm;
use super::pass::{Gradients, Input, Layer, Rows, scatter};
use super::product::Operand;
use super::simple_rnn::SimpleRnn;
use super::sums::{add, add_up, sums_of, unproject};
use super::table;
use super::weights::{Gates, Shape, Weights};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Steps whose outer products are summed in one go: their gradients are still in the cache.
const STEPS: usize = 8;

/// The gradients, given those of [`forward`](super::forward)'s output in `d_out`; that of the input only if `want_x`.
/// Consumes what the forward pass saved.
pub fn backward(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    saved: Saved,
    d_out: &[f32],
    want_x: bool,
) -> Gradients {
    match layer.kind {
        Kind::SimpleRnn => run::<SimpleRnn>(layer, input, weights, saved, d_out, want_x),
        Kind::Lstm => run::<Lstm>(layer, input, weights, saved, d_out, want_x),
        Kind::Gru { reset_after: true } => run::<Gru<true>>(layer, input, weights, saved, d_out, want_x),
        Kind::Gru { reset_after: false } => run::<Gru<false>>(layer, input, weights, saved, d_out, want_x),
    }
}

fn run<C: Cell + Sync>(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    saved: Saved,
    d_out: &[f32],
    want_x: bool,
) -> Gradients {
    match groups(input) {
        true => run_in::<C, GROUP>(layer, input, weights, saved, d_out, want_x),
        false => run_in::<C, 1>(layer, input, weights, saved, d_out, want_x),
    }
}

/// How a block's sums are cut, in floats.
#[derive(Clone, Copy)]
struct Sums {
    /// The gradient of each slot, summed: of each vector the slots. The biases' gradients.
    bias: usize,
    /// What [`Connection::outer`] sums up, for u in whole vectors.
    recurrent: usize,
    /// The same for F; with a projected table the gradient of the projection: of each row the vectors of units, of each
    /// of them the gates.
    kernel: usize,
    /// Where tokens' gradients are summed by row of the table: the sums, unless the table was projected.
    table: usize,
    /// The same for the sums of their squares.
    squares: usize,
}

impl Sums {
    fn len(self) -> usize {
        self.bias + self.recurrent + self.kernel + self.table + self.squares
    }

    /// bias, recurrent, kernel, table, squares.
    fn cut(self, sums: &mut [f32]) -> [&mut [f32]; 5] {
        let (bias, rest) = sums.split_at_mut(self.bias);
        let (recurrent, rest) = rest.split_at_mut(self.recurrent);
        let (kernel, rest) = rest.split_at_mut(self.kernel);
        let (table, squares) = rest.split_at_mut(self.table);
        [bias, recurrent, kernel, table, squares]
    }
}

fn run_in<C: Cell + Sync, const M: usize>(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    saved: Saved,
    d_out: &[f32],
    want_x: bool,
) -> Gradients {
    let shape = Shape::new(layer, input.batch);
    let (features, units, time, lanes) = (layer.features, layer.units, input.time, shape.lanes);
    let packed = Weights::backward(shape, layer, input, weights, C::PARTS, want_x);
    let projected = table::projected(layer, input);
    let by_row = table::short(layer, input).filter(|_| want_x);
    let columns = shape.vectors() * shape.gates;
    let row_sums = |table: Rows<'_>| table.vocabulary * shape.feature_vectors() * shape.width();
    let sums = Sums {
        bias: shape.vectors() * C::SLOTS * lanes,
        recurrent: shape.vectors() * shape.width() * columns * lanes,
        kernel: match projected {
            Some(table) => table.vocabulary * columns * shape.width(),
            None => shape.feature_vectors() * shape.width() * columns * lanes,
        },
        table: if projected.is_none() { by_row.map_or(0, row_sums) } else { 0 },
        squares: by_row.filter(|table| table.squares).map_or(0, row_sums),
    };
    let by_token = want_x && by_row.is_none();
    let mut d_x = vec![0.0; if by_token { input.batch * time * features } else { 0 }];
    let mut d_states = vec![0.0; input.batch * C::STATES * units];
    let rows = block_rows(layer);
    let mut x_chunks = d_x.chunks_mut(rows * time * features);
    let jobs: Vec<_> = saved
        .0
        .into_iter()
        .zip(d_states.chunks_mut(rows * C::STATES * units))
        .enumerate()
        .map(|(index, (memory, d_states))| (index, memory, d_states, x_chunks.next()))
        .collect();
    let run = |(index, memory, d_states, d_x): (usize, Buffer, &mut [f32], Option<&mut [f32]>)| {
        let mut partial = Buffer::zeros(sums.len());
        let pass = Backward::<C, M> {
            layer,
            input,
            weights: &packed,
            projected,
            by_row,
            block: Block::of(layer, input, index),
            memory: Some(memory),
            d_out,
            d_x,
            d_states,
            sums,
            partial: &mut partial,
            cell: PhantomData,
        };
        shape.dispatch(pass);
        partial
    };
    let mut partial: Vec<Buffer> = if jobs.len() > 1 {
        jobs.into_par_iter().map(run).collect()
    } else {
        jobs.into_iter().map(run).collect()
    };
    let mut total = add_up(&mut partial);
    let [bias, recurrent, kernel, d_table, d_squares] = sums.cut(&mut total);

    let mut gradients = Gradients { x: vec![], weights: vec![0.0; weights.len()], states: d_states };
    let (d_kernel, rest) = gradients.weights.split_at_mut(features * layer.width());
    let (d_recurrent, d_bias) = rest.split_at_mut(units * layer.width());
    let gates = Gates::new(shape, input, C::PARTS);
    shape.unpack(recurrent, units, gates.recurrent.iter().flatten(), d_recurrent);
    if layer.use_bias {
        // The slots that the two rows of a bias start: z, r, h; for the recurrent side z, r, q.
        let slots: &[usize] = if layer.kind.bias_rows() == 2 { &[0, 1, 2, 0, 1, 3] } else { &[0, 1, 2, 3] };
        for (slot, d) in slots.iter().zip(d_bias.chunks_exact_mut(units)) {
            for (v, d) in d.chunks_mut(shape.width()).enumerate() {
                shape.fold(&bias[(v * C::SLOTS + slot) * lanes..][..lanes], d);
            }
        }
    }
    gradients.x = match (input.rows, by_row) {
        (_, Some(table)) => {
            let len = table.vocabulary * features;
            let mut x = vec![0.0; if table.squares { 2 * len } else { len }];
            let (sums, squares) = x.split_at_mut(len);
            shape.strip(d_table, sums);
            shape.strip(d_squares, squares);
            x
        }
        (Some(rows), None) if want_x => scatter(&rows, features, &d_x),
        _ => d_x,
    };
    match projected {
        None => shape.unpack(kernel, features, &gates.kernel, d_kernel),
        Some(table) => {
            let len = table.vocabulary * features;
            let d_table = if want_x { &mut gradients.x[..len] } else { &mut [] };
            let sum = unproject(shape, &input.x[..len], kernel, &packed, d_table);
            shape.unpack(&sum, features, &gates.kernel, d_kernel);
        }
    }
    gradients
}

struct Backward<'a, C, const M: usize> {
    layer: &'a Layer,
    input: &'a Input<'a>,
    weights: &'a Weights,
    /// The table, if it was projected.
    projected: Option<Rows<'a>>,
    /// The table, if tokens' gradients are summed by row of it.
    by_row: Option<Rows<'a>>,
    block: Block,
    memory: Option<Buffer>,
    d_out: &'a [f32],
    d_x: Option<&'a mut [f32]>,
    d_states: &'a mut [f32],
    sums: Sums,
    partial: &'a mut [f32],
    cell: PhantomData<C>,
}

impl<C: Cell, const M: usize> WithSimd for Backward<'_, C, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (layer, input, block) = (self.layer, self.input, self.block);
        let (time, shape, units) = (input.time, self.weights.shape, layer.units);
        let plan = Plan::new::<C, M>(shape, block.rows, self.projected.is_some(), Some(time));
        let (input_masks, state_masks) = masks::<M>(layer, input, block, shape, &plan);
        let gates = gates(shape);
        let kernel = Connection::new(&self.weights.kernel, &gates, input_masks, plan.slots);
        let recurrent = recurrent::<C>(self.weights, state_masks, &plan);
        let Some(mut memory) = self.memory.take() else { return };
        let (states, slots, inputs) = plan.cut(&mut memory);

        // One slot of the units, one of the features.
        let (of_units, of_features) = (plan.state / C::STATES, plan.inputs.len(M) * shape.lanes);
        let mut gradient = Buffer::zeros(plan.state);
        let mut d_factor = Buffer::zeros(of_units);
        let mut d_outs = Buffer::zeros(STEPS * of_units);
        let mut dx = Buffer::new(STEPS * of_features);
        let mut scratch = Buffer::new(STEPS * of_units.max(of_features));
        let mut after = vec![0.0; if input.mask.is_some() { plan.state } else { 0 }];
        let h_columns: Vec<usize> = (0..plan.states.vectors).map(|v| v * C::STATES).collect();
        let columns: Vec<usize> = (0..plan.states.vectors.max(plan.inputs.vectors)).collect();
        let first_valid = first_valid(layer, input, block);
        let wants_dx = self.d_x.is_some() || self.sums.table + self.sums.squares > 0;

        let row_out = layer.row_out(time);
        let d_out = &self.d_out[block.first * row_out..][..block.rows * row_out];
        let at = layer.steps_out(time) * units;
        if layer.return_state {
            for row in 0..block.rows {
                for part in 0..C::STATES {
                    let d = &d_out[row * row_out + at + part * units..][..units];
                    plan.states.set::<M>(S::F32_LANES, &mut gradient, row, part, d);
                }
            }
        }
        let mut end = time;
        while end > 0 {
            let first = (end - 1) / STEPS * STEPS;
            let steps = end - first;
            let slots = &mut slots[first * plan.slot..][..steps * plan.slot];
            self.read_d_out(simd, &plan, first, &first_valid, &mut d_outs[..steps * of_units]);
            for step in (0..steps).rev() {
                if layer.output_at(first + step, time).is_some() {
                    plan.states.add_slot::<S, M>(simd, &d_outs[step * of_units..], &mut gradient, 0);
                }
                if input.mask.is_some() {
                    after.copy_from_slice(&gradient);
                }
                let slots = &mut slots[step * plan.slot..][..plan.slot];
                let previous = &states[(first + step) * plan.state..][..plan.state];
                for (index, part) in C::PARTS.iter().enumerate().rev() {
                    let (gradient, d_factor) = (&mut *gradient, &mut *d_factor);
                    let cell = PhantomData::<C>;
                    if layer.usual() {
                        let functions = Usual;
                        let part = index;
                        outline(
                            simd,
                            Cells::<C, _, M> { part, functions, previous, slots, gradient, d_factor, cell },
                        );
                    } else {
                        let functions = Any(layer.activation, layer.recurrent_activation);
                        let part = index;
                        outline(
                            simd,
                            Cells::<C, _, M> { part, functions, previous, slots, gradient, d_factor, cell },
                        );
                    }
                    if input.mask.is_some() && index == 0 {
                        self.skip_masked(simd, &plan, first + step, &after, gradient, slots);
                    }
                    let (connection, scratch) = (&recurrent[index], &mut scratch);
                    match part.factor {
                        Factor::PreviousState => {
                            let (grid, columns) = (plan.states, &*h_columns);
                            connection
                                .backward::<S, M>(simd, 1, slots, gradient, grid, columns, true, scratch);
                        }
                        Factor::Slot(_) => {
                            let (grid, columns) =
                                (Grid { slots: 1, ..plan.states }, &columns[..h_columns.len()]);
                            connection
                                .backward::<S, M>(simd, 1, slots, d_factor, grid, columns, false, scratch);
                        }
                    }
                }
            }
            if wants_dx {
                let (grid, columns) = (plan.inputs, &columns[..plan.inputs.vectors]);
                kernel.backward::<S, M>(simd, steps, slots, &mut dx, grid, columns, false, &mut scratch);
                self.give_dx(simd, &plan, first, &dx[..steps * of_features]);
            }
            for step in 0..steps {
                let slots = &slots[step * plan.slot..][..plan.slot];
                self.by_step(simd, &plan, first + step, slots, &dx[step * of_features..][..of_features]);
            }
            let [_, mut d_recurrent, d_kernel, _, _] = self.sums.cut(self.partial);
            if self.projected.is_none() {
                let x = Operand { floats: &inputs[first * plan.input..], grid: plan.inputs, slots: &[0] };
                let (x, slots) = ((x, plan.input), (&*slots, plan.slot));
                kernel.outer::<S, M>(simd, steps, x, slots, d_kernel, &mut scratch);
            }
            for (part, connection) in C::PARTS.iter().zip(&recurrent) {
                let slot;
                let (a, a_step) = match part.factor {
                    Factor::PreviousState => {
                        let floats = &states[first * plan.state..];
                        (Operand { floats, grid: plan.states, slots: &[0] }, plan.state)
                    }
                    Factor::Slot(index) => {
                        slot = [index];
                        (Operand { floats: slots, grid: plan.slots, slots: &slot }, plan.slot)
                    }
                };
                let (a, slots) = ((a, a_step), (&*slots, plan.slot));
                d_recurrent = connection.outer::<S, M>(simd, steps, a, slots, d_recurrent, &mut scratch);
            }
            end = first;
        }
        let gradient = S::as_simd_f32s(&gradient).0;
        let mut spare = vec![0.0; C::STATES * units];
        for row in (0..block.rows).step_by(shape.shared) {
            for part in 0..C::STATES {
                let rows = rows_mut(self.d_states, C::STATES * units, row, shape.shared, &mut spare);
                let rows = part_of(rows, part * units, units);
                plan.states.take::<S, M>(simd, gradient, rows, row, part);
            }
        }
    }
}

impl<C: Cell, const M: usize> Backward<'_, C, M> {
    /// Reads the outputs' gradients of the steps from `first` on, as many as there is room for: zeros where an output is
    /// not shown.
    #[inline(always)]
    fn read_d_out<S: Simd>(
        &self,
        simd: S,
        plan: &Plan,
        first: usize,
        first_valid: &[usize],
        d_outs: &mut [f32],
    ) {
        let (layer, input, units) = (self.layer, self.input, self.layer.units);
        let grid = Grid { slots: 1, ..plan.states };
        let row_out = layer.row_out(input.time);
        for (index, d_outs) in d_outs.chunks_exact_mut(plan.state / C::STATES).enumerate() {
            let step = first + index;
            let Some(at) = layer.output_at(step, input.time) else { continue };
            let mut row = 0;
            while row < self.block.rows {
                let mut d = [&self.d_out[..0]; 2];
                for of in 0..grid.shared.min(self.block.rows - row) {
                    let sequence = self.block.first + row + of;
                    d[of] = &self.d_out[sequence * row_out + at..][..units];
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

    /// Gives the inputs' gradients of the steps from `first` on, if each is wanted.
    #[inline(always)]
    fn give_dx<S: Simd>(&mut self, simd: S, plan: &Plan, first: usize, dx: &[f32]) {
        let (time, features, shared) = (self.input.time, self.layer.features, plan.inputs.shared);
        let Some(d_x) = &mut self.d_x else { return };
        let mut spare = vec![0.0; if self.block.rows.is_multiple_of(shared) { 0 } else { time * features }];
        let mut row = 0;
        while row < self.block.rows {
            for (index, dx) in dx.chunks_exact(plan.inputs.len(M) * S::F32_LANES).enumerate() {
                let at = self.layer.at(first + index, time) * features;
                let d_x = part_of(rows_mut(d_x, time * features, row, shared, &mut spare), at, features);
                plan.inputs.take::<S, M>(simd, S::as_simd_f32s(dx).0, d_x, row, 0);
            }
            row += shared;
        }
    }

    /// Where a step is masked, the gradient goes by unchanged, and that of the slots is 0.
    #[inline(always)]
    fn skip_masked<S: Simd>(
        &self,
        simd: S,
        plan: &Plan,
        step: usize,
        after: &[f32],
        gradient: &mut [f32],
        slots: &mut [f32],
    ) {
        let Some(mask) = self.input.mask else { return };
        let at = self.layer.at(step, self.input.time);
        for row in 0..plan.states.rows(M) {
            if mask[self.block.sequence(row) * self.input.time + at] == 0 {
                plan.states.set_row::<S, M>(simd, Some(after), gradient, row);
                plan.slots.set_row::<S, M>(simd, None, slots, row);
            }
        }
    }

    /// What is summed step by step: the biases' gradients, and those of a table.
    #[inline(always)]
    fn by_step<S: Simd>(&mut self, simd: S, plan: &Plan, step: usize, slots: &[f32], dx: &[f32]) {
        let gates = self.weights.shape.gates;
        let [bias, _, kernel, table, squares] = self.sums.cut(self.partial);
        let tiles = pulp::as_arrays::<M, _>(S::as_simd_f32s(slots).0).0;
        let bias = S::as_mut_simd_f32s(bias).0;
        let stride = plan.slots.vectors * C::SLOTS;
        for t in 0..stride {
            // Not all slots have a bias.
            if t % C::SLOTS >= self.weights.shape.starts {
                continue;
            }
            let mut sum = bias[t];
            for group in 0..plan.slots.groups {
                for m in 0..M {
                    sum = simd.add_f32s(sum, tiles[group * stride + t][m]);
                }
            }
            bias[t] = sum;
        }
        let Some(rows_of) = self.projected.or(self.by_row) else { return };
        let (time, shared) = (self.input.time, plan.slots.shared);
        let at = self.layer.at(step, time);
        let dx = pulp::as_arrays::<M, _>(S::as_simd_f32s(dx).0).0;
        let (features, width) = (plan.inputs.vectors, plan.slots.width(simd));
        let mut row = 0;
        while row < self.block.rows {
            let (group, m) = (row / shared / M, row / shared % M);
            let tiles = &tiles[group * stride..][..stride];
            let mut ids = [0; 2];
            for of in 0..2 {
                let sequence = self.block.first + row + of.min(shared - 1);
                // Of an odd one at the end the partner's gradient is 0, wherever it is added.
                ids[of] =
                    rows_of.ids[sequence.min(self.block.first + self.block.rows - 1) * time + at] as usize;
            }
            if self.projected.is_some() {
                let mut sums = sums_of(kernel, ids, plan.slots.vectors * gates * width);
                for v in 0..plan.slots.vectors {
                    for gate in 0..gates {
                        // SAFETY: `sums_of` has made sure of so many sums.
                        sums = unsafe { add(simd, shared, tiles[v * C::SLOTS + gate][m], sums) };
                    }
                }
            }
            let dx = &dx[group * features..][..features];
            if !table.is_empty() {
                let mut sums = sums_of(table, ids, features * width);
                for v in 0..features {
                    // SAFETY: as above.
                    sums = unsafe { add(simd, shared, dx[v][m], sums) };
                }
            }
            if !squares.is_empty() {
                let mut sums = sums_of(squares, ids, features * width);
                for v in 0..features {
                    // SAFETY: as above.
                    sums = unsafe { add(simd, shared, simd.mul_f32s(dx[v][m], dx[v][m]), sums) };
                }
            }
            row += shared;
        }
    }
}

/// The arithmetic of a cell on all groups, before the products of a part go back.
struct Cells<'a, C, F, const M: usize> {
    part: usize,
    functions: F,
    previous: &'a [f32],
    slots: &'a mut [f32],
    gradient: &'a mut [f32],
    d_factor: &'a [f32],
    cell: PhantomData<C>,
}

impl<C: Cell, F: Functions, const M: usize> WithSimd for Cells<'_, C, F, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let previous = pulp::as_arrays::<M, _>(S::as_simd_f32s(self.previous).0).0;
        let slots = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(self.slots).0).0;
        let gradient = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(self.gradient).0).0;
        let d_factor = pulp::as_arrays::<M, _>(S::as_simd_f32s(self.d_factor).0).0;
        for t in 0..slots.len() / C::SLOTS {
            let previous = &previous[t * C::STATES..][..C::STATES];
            let gradient = &mut gradient[t * C::STATES..][..C::STATES];
            let slots = &mut slots[t * C::SLOTS..][..C::SLOTS];
            C::backward(simd, self.part, self.functions, previous, slots, gradient, &d_factor[t]);
        }
    }
}

//! The forward pass.

use crate::buffer::Buffer;
use crate::cell::Factor;
use crate::cells::StepForward;
use crate::dropout::masks;
use crate::gate_product::{GateProduct, recurrent_products};
use crate::grid::{GROUP, Operand, interleave, part_of, rows_mut};
use crate::lane_layout::LaneLayout;
use crate::layer::{Input, Layer};
use crate::plan::{AHEAD, Block, Plan, Saved, block_rows, fills_group, shows};
use crate::projection::{Projection, project};
use crate::weights::Weights;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Runs the layer: `out` is (B, [`Layer::rows_out`], u), each sequence's outputs, followed by its final states if they are
/// to be given. With `save`, what [`backward`](crate::backward) needs is returned.
pub fn forward(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    save: bool,
    out: &mut [f32],
) -> Option<Saved> {
    match fills_group(input) {
        true => forward_blocks::<GROUP>(layer, input, weights, save, out),
        false => forward_blocks::<1>(layer, input, weights, save, out),
    }
}

fn forward_blocks<const M: usize>(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    save: bool,
    out: &mut [f32],
) -> Option<Saved> {
    let layout = LaneLayout::new(layer, input.batch);
    let packed = Weights::forward(layout, layer, input, weights);
    let bias = layer.split(weights).2;
    let projection = project(layer, input, &packed, &start(layer, layout, bias, layout.starts), save);
    let start = start(layer, layout, bias, layer.kind.slots());
    let run = |(index, out): (usize, &mut [f32])| {
        let block = Block::of(layer, input, index);
        let plan =
            Plan::new::<M>(layer.kind, layout, block.rows, projection.is_some(), save.then_some(input.time));
        let (weights, start, projection) = (&packed, &*start, projection.as_ref());
        layout.dispatch(Forward::<M> { layer, input, weights, start, projection, block, plan, save, out })
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
struct Forward<'a, const M: usize> {
    layer: &'a Layer,
    input: &'a Input<'a>,
    weights: &'a Weights,
    /// The bias, as the slots hold it before the products are added.
    start: &'a [f32],
    projection: Option<&'a Projection<'a>>,
    block: Block,
    plan: Plan,
    save: bool,
    out: &'a mut [f32],
}

/// Memory that a step needs beside the block's own.
struct Scratch {
    /// A slot that is the factor of a product.
    factor: Buffer,
    /// An operand under its dropout mask.
    masked: Buffer,
}

impl<const M: usize> WithSimd for Forward<'_, M> {
    type Output = Option<Buffer>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Option<Buffer> {
        let (layer, input, plan, time) = (self.layer, self.input, self.plan, self.input.time);
        let (input_masks, state_masks) = masks::<M>(layer, input, self.block, S::F32_LANES, &plan);
        let gates = self.weights.layout.input_gates();
        let kernel = GateProduct::new(&self.weights.kernel, &gates, input_masks, plan.slots);
        let recurrent = recurrent_products(layer.kind, &self.weights.recurrent, state_masks, plan.slots);
        let masked = (AHEAD * plan.inputs.len(M)).max(plan.states.len(M)) * S::F32_LANES;
        let mut scratch = Scratch { factor: Buffer::new(plan.of_units()), masked: Buffer::new(masked) };
        let first_valid = self.block.first_valid(layer, input);
        let mut memory = Buffer::new(plan.floats());
        let (states, slots, inputs) = plan.cut(&mut memory);

        self.read_states::<S>(states);
        let mut first = 0;
        while first < time {
            let steps = AHEAD.min(time - first);
            // Without a backward pass to come the same memory serves all steps.
            let kept = if self.save { first } else { 0 };
            if first > kept {
                states.copy_within(AHEAD * plan.state.., 0);
            }
            let slots = &mut slots[kept * plan.slot..][..steps * plan.slot];
            let states = &mut states[kept * plan.state..][..(steps + 1) * plan.state];
            match self.projection {
                Some(projection) => self.read_projection(simd, projection, first, slots),
                None => {
                    self.start_slots::<S>(slots);
                    let inputs = &mut inputs[kept * plan.input..][..steps * plan.input];
                    self.read_inputs(simd, first, inputs);
                    let a = Operand { floats: inputs, grid: plan.inputs, slots: &[0] };
                    kernel.forward::<S, M>(simd, steps, a, Some(self.start), slots, &mut scratch.masked);
                }
            }
            for step in 0..steps {
                let slots = &mut slots[step * plan.slot..][..plan.slot];
                let (previous, next) = states[step * plan.state..].split_at_mut(plan.state);
                let next = &mut next[..plan.state];
                self.step(simd, &recurrent, previous, next, slots, &mut scratch);
                self.keep_masked(simd, first + step, previous, next);
            }
            self.give(simd, first, &states[plan.state..], &first_valid);
            first += steps;
        }
        self.save.then_some(memory)
    }
}

impl<const M: usize> Forward<'_, M> {
    /// Reads the initial states.
    #[inline(always)]
    fn read_states<S: Simd>(&self, into: &mut [f32]) {
        let (grid, units) = (self.plan.states, self.layer.units);
        for row in 0..grid.rows(M) {
            for part in 0..grid.slots {
                let from = (self.block.sequence(row) * grid.slots + part) * units;
                let from = &self.input.states[from..from + units];
                grid.set::<M>(S::F32_LANES, into, row, part, from);
            }
        }
    }

    /// Where the input is projected step by step: gives those first slots their start that the input's kernel does not.
    #[inline(always)]
    fn start_slots<S: Simd>(&self, slots: &mut [f32]) {
        let grid = self.plan.slots;
        let start = S::as_simd_f32s(self.start).0;
        let LaneLayout { gates, starts, .. } = self.weights.layout;
        let tiles = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(slots).0).0;
        for tiles in tiles.chunks_exact_mut(grid.vectors * grid.slots) {
            for v in 0..grid.vectors {
                for slot in gates..starts {
                    let at = v * grid.slots + slot;
                    for m in 0..M {
                        tiles[at][m] = start[at];
                    }
                }
            }
        }
    }

    /// Fills the first slots of the steps from `first` on, as many as there is room for, from the projection.
    #[inline(always)]
    fn read_projection<S: Simd>(
        &self,
        simd: S,
        projection: &Projection<'_>,
        first: usize,
        slots: &mut [f32],
    ) {
        let (grid, count, time) = (self.plan.slots, self.weights.layout.starts, self.input.time);
        let (stride, shared, width) = (grid.vectors * grid.slots, grid.shared, grid.width(simd));
        let len = grid.vectors * count * width;
        for tile in 0..grid.groups * M {
            let row = tile * shared;
            let sequences = [self.block.sequence(row), self.block.sequence(row + shared - 1)];
            for (index, slots) in slots.chunks_exact_mut(self.plan.slot).enumerate() {
                let at = self.layer.at(first + index, time);
                let mut from = [&projection.floats[..]; 2];
                for of in 0..2 {
                    from[of] = &projection.floats[projection.row(sequences[of] * time + at) * len..][..len];
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
    fn read_inputs<S: Simd>(&self, simd: S, first: usize, inputs: &mut [f32]) {
        let (input, grid, features) = (self.input, self.plan.inputs, self.layer.features);
        let mut row = 0;
        while row < grid.rows(M) {
            let sequences = [self.block.sequence(row), self.block.sequence(row + grid.shared - 1)];
            for (index, inputs) in inputs.chunks_exact_mut(self.plan.input).enumerate() {
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
                grid.put::<S, M>(simd, x, S::as_mut_simd_f32s(inputs).0, row, 0);
            }
            row += grid.shared;
        }
    }

    /// From the previous state and what the slots start with to the next state: the products with the recurrent kernel,
    /// and after each the cell's arithmetic.
    #[inline(always)]
    fn step<S: Simd>(
        &self,
        simd: S,
        recurrent: &[GateProduct<'_>],
        previous: &[f32],
        next: &mut [f32],
        slots: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let grid = self.plan.slots;
        for (part, product) in recurrent.iter().enumerate() {
            let a = match self.layer.kind.parts()[part].factor {
                Factor::PreviousState => Operand { floats: previous, grid: self.plan.states, slots: &[0] },
                Factor::Slot(slot) => grid.copy_slot::<S, M>(simd, slots, slot, &mut scratch.factor),
            };
            product.forward::<S, M>(simd, 1, a, None, slots, &mut scratch.masked);
            StepForward { part, previous, next, slots }.run::<S, M>(simd, self.layer);
        }
    }

    /// At a masked step a sequence keeps its state.
    #[inline(always)]
    fn keep_masked<S: Simd>(&self, simd: S, step: usize, previous: &[f32], next: &mut [f32]) {
        let Some(mask) = self.input.mask else { return };
        let (states, time) = (self.plan.states, self.input.time);
        let at = self.layer.at(step, time);
        for row in 0..states.rows(M) {
            if mask[self.block.sequence(row) * time + at] == 0 {
                states.set_row::<S, M>(simd, Some(previous), next, row);
            }
        }
    }

    /// Gives the outputs of the steps from `first` on, whose next states are `states`, and after the last step the state.
    #[inline(always)]
    fn give<S: Simd>(&mut self, simd: S, first: usize, states: &[f32], first_valid: &[usize]) {
        let (layer, input, units, grid) = (self.layer, self.input, self.layer.units, self.plan.states);
        let (row_out, shared) = (layer.row_out(input.time), grid.shared);
        let mut spare = vec![0.0; if self.block.rows.is_multiple_of(shared) { 0 } else { row_out }];
        for (index, state) in states.chunks_exact(self.plan.state).enumerate() {
            let (step, state) = (first + index, S::as_simd_f32s(state).0);
            if let Some(at) = layer.output_at(step, input.time) {
                for row in (0..self.block.rows).step_by(shared) {
                    let out = part_of(rows_mut(self.out, row_out, row, shared, &mut spare), at, units);
                    grid.take::<S, M>(simd, state, out, row, 0);
                }
                for row in 0..self.block.rows {
                    if !shows(layer, input, self.block.first + row, step, step >= first_valid[row]) {
                        self.out[row * row_out + at..][..units].fill(0.0);
                    }
                }
            }
            if layer.return_state && step + 1 == input.time {
                for part in 0..grid.slots {
                    let at = (layer.steps_out(input.time) + part) * units;
                    for row in (0..self.block.rows).step_by(shared) {
                        let out = part_of(rows_mut(self.out, row_out, row, shared, &mut spare), at, units);
                        grid.take::<S, M>(simd, state, out, row, part);
                    }
                }
            }
        }
    }
}

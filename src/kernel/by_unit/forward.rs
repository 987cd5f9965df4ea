//! The forward pass.

use super::net::{BlockMasks, Net, Shape, Weights};
use super::product::Product;
use super::{Block, MAX_ROWS, Plan, Saved, block_rows, table};
use crate::kernel::buffer::Buffer;
use crate::kernel::cell::{Cell, Kind, SCRATCH};
use crate::kernel::gru::Gru;
use crate::kernel::isa::{dispatch_for, lanes_for, outline};
use crate::kernel::lstm::Lstm;
use crate::kernel::pass::{Input, Layer};
use crate::kernel::simple_rnn::SimpleRnn;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Rows below which the input of many steps is projected at once.
const FEW_ROWS: usize = 4;
/// So many steps.
const MANY_STEPS: usize = 64;

/// As [`forward`](crate::kernel::forward).
pub(in crate::kernel) fn forward(
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

fn run<C: Cell + Sync>(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    save: bool,
    out: &mut [f32],
) -> Option<Saved> {
    let shape = Shape::new(layer, lanes_for(layer.units));
    let packed = Weights::forward(shape, layer, input, weights, C::PARTS, true);
    let start = pad(&layer.start(layer.split(weights).2), shape);
    let table = table::project(shape, layer, input, &packed, &start);
    let table = table.as_deref();
    let run = |(index, out): (usize, &mut [f32])| {
        let block = Block::of(layer, input, index);
        let pass = Forward::<C> {
            layer,
            input,
            weights: &packed,
            start: &start,
            table,
            block,
            save,
            out,
            cell: std::marker::PhantomData,
        };
        dispatch_for(layer.units, pass)
    };
    let chunk = block_rows(layer) * layer.row_out(input.time);
    let blocks: Vec<Option<Buffer>> = if input.batch > block_rows(layer) {
        out.par_chunks_mut(chunk).enumerate().map(run).collect()
    } else {
        out.chunks_mut(chunk).enumerate().map(run).collect()
    };
    Some(Saved { blocks: blocks.into_iter().collect::<Option<Vec<_>>>()? })
}

/// Slots of u values to slots of whole vectors.
fn pad(slots: &[f32], shape: Shape) -> Vec<f32> {
    let mut padded = vec![0.0; slots.len() / shape.units * shape.padded()];
    for (to, from) in padded.chunks_exact_mut(shape.padded()).zip(slots.chunks_exact(shape.units)) {
        to[..shape.units].copy_from_slice(from);
    }
    padded
}

struct Forward<'a, C> {
    layer: &'a Layer,
    input: &'a Input<'a>,
    weights: &'a Weights,
    /// (start slots, padded)
    start: &'a [f32],
    /// The projected table: (V, start slots · padded).
    table: Option<&'a [f32]>,
    block: Block,
    save: bool,
    out: &'a mut [f32],
    cell: std::marker::PhantomData<C>,
}

impl<C: Cell> WithSimd for Forward<'_, C> {
    type Output = Option<Buffer>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Option<Buffer> {
        let (layer, input, rows) = (self.layer, self.input, self.block.rows);
        let (time, shape) = (input.time, self.weights.shape);
        let slot = rows * shape.padded();
        // Steps whose input is projected together.
        let together = if rows < FEW_ROWS { MANY_STEPS.min(time) } else { 1 };
        let plan = Plan {
            inputs: if self.table.is_some() { 0 } else { rows * layer.features },
            state: layer.kind.states() * slot,
            slots: C::SLOTS * slot,
            steps: if self.save { time } else { together },
        };
        let mut memory = Buffer::new(plan.floats());
        let masks = |dropout, width, stride| {
            let (gates, first) = (shape.gates, self.block.first);
            Option::map(dropout, |d| BlockMasks::new(d, gates, input.batch, first, rows, width, stride))
        };
        let input_masks = masks(input.input_dropout, layer.features, layer.features);
        let state_masks = masks(input.recurrent_dropout, layer.units, shape.padded());
        let net = Net::new(layer, self.weights, C::PARTS, rows, state_masks);

        let mut working = Buffer::new(2 * plan.state + SCRATCH * slot + rows * layer.features);
        let (state, rest) = working.split_at_mut(plan.state);
        let (before, rest) = rest.split_at_mut(plan.state);
        let (scratch, masked) = rest.split_at_mut(SCRATCH * slot);
        let state_vectors = S::as_mut_simd_f32s(state).0;
        let scratch = S::as_mut_simd_f32s(scratch).0;
        load_states(self.block, shape, layer, input.states, pulp::bytemuck::cast_slice_mut(state_vectors));
        let mut seen = vec![false; rows];

        let row_out = layer.row_out(time);
        let (states, slots, inputs) = plan.cut(&mut memory);
        for step in 0..time {
            let kept = if self.save { step } else { step % together };
            if step % together == 0 {
                let steps = together.min(time - step);
                let slots = &mut slots[kept * plan.slots..][..steps * plan.slots];
                let inputs = &mut inputs[kept * plan.inputs..][..steps * plan.inputs];
                self.project(simd, &net, &plan, step, steps, slots, inputs, input_masks.as_ref(), masked);
            }
            let before: &mut [f32] = match self.save {
                true => &mut states[step * plan.state..][..plan.state],
                false => before,
            };
            let slots = S::as_mut_simd_f32s(&mut slots[kept * plan.slots..][..plan.slots]).0;
            if self.save || input.mask.is_some() {
                before.copy_from_slice(pulp::bytemuck::cast_slice(state_vectors));
            }
            C::forward(simd, &net, state_vectors, slots, scratch);
            let state: &mut [f32] = pulp::bytemuck::cast_slice_mut(state_vectors);
            if let Some(mask) = input.mask {
                let at = layer.at(step, time);
                for row in 0..rows {
                    if mask[(self.block.first + row) * time + at] != 0 {
                        seen[row] = true;
                        continue;
                    }
                    for part in 0..layer.kind.states() {
                        let at = part * slot + row * shape.padded();
                        state[at..][..shape.padded()].copy_from_slice(&before[at..][..shape.padded()]);
                    }
                }
            }
            if let Some(at) = layer.output_at(step, time) {
                for row in 0..rows {
                    let out = &mut self.out[row * row_out + at..][..layer.units];
                    if shows(layer, input, self.block.first + row, step, seen[row]) {
                        out.copy_from_slice(&state[row * shape.padded()..][..layer.units]);
                    } else {
                        out.fill(0.0);
                    }
                }
            }
        }
        let state: &[f32] = pulp::bytemuck::cast_slice(state_vectors);
        let at = layer.steps_out(time) * layer.units;
        for row in 0..rows {
            for part in 0..layer.kind.states() {
                let from = &state[part * slot + row * shape.padded()..][..layer.units];
                self.out[row * row_out + at + part * layer.units..][..layer.units].copy_from_slice(from);
            }
        }
        self.save.then_some(memory)
    }
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

/// (B, S, u) to (S, rows, padded), the padding zeros.
pub(super) fn load_states(block: Block, shape: Shape, layer: &Layer, from: &[f32], into: &mut [f32]) {
    let (units, states) = (layer.units, layer.kind.states());
    for (index, row) in into.chunks_exact_mut(shape.padded()).enumerate() {
        let (part, sequence) = (index / block.rows, block.first + index % block.rows);
        row[..units].copy_from_slice(&from[(sequence * states + part) * units..][..units]);
        row[units..].fill(0.0);
    }
}

impl<C: Cell> Forward<'_, C> {
    /// Fills the first slots of `steps` steps from `first` on with `start + x · kernel`, and keeps the inputs.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn project<S: Simd>(
        &mut self,
        simd: S,
        net: &Net<'_>,
        plan: &Plan,
        first: usize,
        steps: usize,
        slots: &mut [f32],
        inputs: &mut [f32],
        masks: Option<&BlockMasks>,
        masked: &mut [f32],
    ) {
        let (layer, rows, shape) = (self.layer, self.block.rows, self.weights.shape);
        let padded = shape.padded();
        for step in 0..steps {
            let slots = &mut slots[step * plan.slots..][..plan.slots];
            let at = self.layer.at(first + step, self.input.time);
            // Where each sequence's first slots are read from.
            let mut starts = [0; MAX_ROWS];
            for row in 0..rows {
                let token = (self.block.first + row) * self.input.time + at;
                let id = self.input.rows.map_or(token, |table| table.ids[token] as usize);
                if self.table.is_some() {
                    starts[row] = id * self.start.len();
                } else {
                    inputs[step * plan.inputs + row * layer.features..][..layer.features]
                        .copy_from_slice(&self.input.x[id * layer.features..][..layer.features]);
                }
            }
            let from = self.table.unwrap_or(self.start);
            fill_slots(simd, from, &starts[..rows], self.start.len() / padded, shape.vectors, slots);
        }
        if self.table.is_some() {
            return;
        }
        match masks {
            Some(masks) if masks.per_gate => {
                for step in 0..steps {
                    let x = &inputs[step * plan.inputs..][..plan.inputs];
                    let slots = &mut slots[step * plan.slots..][..plan.slots];
                    for (gate, weights) in self.weights.kernel.iter().enumerate() {
                        for ((to, &from), &mask) in masked.iter_mut().zip(x).zip(masks.of(gate)) {
                            *to = from * mask;
                        }
                        outline(
                            simd,
                            Product {
                                out: slots,
                                columns: &net.kernel_columns[gate * shape.vectors..][..shape.vectors],
                                out_stride: shape.vectors,
                                rows,
                                a: masked,
                                segments: &[0],
                                a_stride: layer.features,
                                weights,
                            },
                        );
                    }
                }
                return;
            }
            Some(masks) => {
                for x in inputs.chunks_exact_mut(plan.inputs) {
                    for (x, &mask) in x.iter_mut().zip(masks.of(0)) {
                        *x *= mask;
                    }
                }
            }
            None => {}
        }
        if steps == 1 {
            outline(
                simd,
                Product {
                    out: slots,
                    columns: &net.kernel_columns,
                    out_stride: shape.vectors,
                    rows,
                    a: inputs,
                    segments: &[0],
                    a_stride: layer.features,
                    weights: &self.weights.kernel[0],
                },
            );
            return;
        }
        // Few rows: the steps of one sequence are the rows of the product.
        for row in 0..rows {
            outline(
                simd,
                Product {
                    out: &mut slots[row * padded..],
                    columns: &net.kernel_columns,
                    out_stride: plan.slots / shape.lanes,
                    rows: steps,
                    a: &inputs[row * layer.features..],
                    segments: &[0],
                    a_stride: plan.inputs,
                    weights: &self.weights.kernel[0],
                },
            );
        }
    }
}

/// Fills the first slots of each sequence from `from`, where its own start at `starts`.
#[inline(always)]
fn fill_slots<S: Simd>(
    _: S,
    from: &[f32],
    starts: &[usize],
    count: usize,
    vectors: usize,
    slots: &mut [f32],
) {
    let from = S::as_simd_f32s(from).0;
    let slots = S::as_mut_simd_f32s(slots).0;
    let rows = starts.len();
    for slot in 0..count {
        let slot_of = &mut slots[slot * rows * vectors..][..rows * vectors];
        for row in 0..rows {
            let at = starts[row] / S::F32_LANES + slot * vectors;
            for v in 0..vectors {
                slot_of[row * vectors + v] = from[at + v];
            }
        }
    }
}

//! The backward pass.

use super::forward::shows;
use super::net::{BlockMasks, Net, Shape, Weights, multiply};
use super::product::{Outer, Product};
use super::{Block, MAX_ROWS, Plan, Saved, block_rows, table};
use crate::kernel::buffer::Buffer;
use crate::kernel::cell::{Cell, Factor, Kind, SCRATCH};
use crate::kernel::gru::Gru;
use crate::kernel::isa::{dispatch_for, lanes_for, outline};
use crate::kernel::lstm::Lstm;
use crate::kernel::pass::{Gradients, Input, Layer, Rows, scatter};
use crate::kernel::simple_rnn::SimpleRnn;
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Steps whose outer products are summed in one go: their gradients are still in the cache.
const STEPS: usize = 4;

/// As [`backward`](crate::kernel::backward).
pub(in crate::kernel) fn backward(
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

/// How a block's sums are cut, in floats. All but the last two consist of whole vectors.
#[derive(Clone, Copy)]
struct Sums {
    /// The gradient of each slot, summed: (slots, padded). The biases' gradients.
    bias: usize,
    /// (u, G · padded)
    recurrent: usize,
    /// (F, G · padded); with a projected table (V, G · padded), the gradient of the projection.
    kernel: usize,
    /// (V, F) in whole vectors, with a projected table whose gradient's squares are wanted: the table's gradient, and
    /// its squares.
    table: usize,
}

impl Sums {
    fn len(self) -> usize {
        self.bias + self.recurrent + self.kernel + 2 * self.table
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

fn run<C: Cell + Sync>(
    layer: &Layer,
    input: &Input<'_>,
    weights: &[f32],
    saved: Saved,
    d_out: &[f32],
    want_x: bool,
) -> Gradients {
    let shape = Shape::new(layer, lanes_for(layer.units));
    let (features, units, time) = (layer.features, layer.units, input.time);
    let packed = Weights::backward(shape, layer, input, weights, C::PARTS, want_x);
    let projected = table::projected(layer, input);
    let table_width = features.next_multiple_of(shape.lanes);
    // Where tokens' gradients are summed by row of the table. Without squares, those of a projected table follow from
    // the gradient of its projection.
    let by_row = table::short(layer, input).filter(|table| want_x && (table.squares || projected.is_none()));
    let width = shape.gates * shape.padded();
    let sums = Sums {
        bias: C::SLOTS * shape.padded(),
        recurrent: units * width,
        kernel: projected.map_or(features, |table| table.vocabulary) * width,
        table: by_row.map_or(0, |table| table.vocabulary * table_width),
    };
    let by_token = want_x && by_row.is_none() && projected.is_none();
    let mut d_x = vec![0.0; if by_token { input.batch * time * features } else { 0 }];
    let mut d_states = vec![0.0; input.batch * layer.kind.states() * units];
    let rows = block_rows(layer);
    let mut x_chunks = d_x.chunks_mut(rows * time * features);
    let jobs: Vec<_> = saved
        .blocks
        .into_iter()
        .zip(d_states.chunks_mut(rows * layer.kind.states() * units))
        .enumerate()
        .map(|(index, (memory, d_states))| (index, memory, d_states, x_chunks.next()))
        .collect();
    let run = |(index, memory, d_states, d_x): (usize, Buffer, &mut [f32], Option<&mut [f32]>)| {
        let mut partial = Buffer::zeros(sums.len());
        let pass = Backward::<C> {
            layer,
            input,
            weights: &packed,
            projected,
            by_row,
            block: Block::of(layer, input, index),
            memory,
            d_out,
            d_x,
            d_states,
            sums,
            partial: &mut partial,
            cell: PhantomData,
        };
        dispatch_for(units, pass);
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
    unpad(shape, recurrent, d_recurrent);
    if layer.use_bias {
        unpad(shape, &bias[..width], &mut d_bias[..layer.width()]);
        if layer.kind.bias_rows() == 2 {
            let d_bias = &mut d_bias[layer.width()..];
            unpad(Shape { gates: 2, ..shape }, &bias[..2 * shape.padded()], &mut d_bias[..2 * units]);
            d_bias[2 * units..].copy_from_slice(&bias[3 * shape.padded()..][..units]);
        }
    }
    match projected {
        None => unpad(shape, kernel, d_kernel),
        Some(table) => {
            let mut sum = Buffer::zeros(features * width);
            let columns: Vec<usize> = (0..width / shape.lanes).collect();
            dispatch_for(
                units,
                Outer {
                    out: &mut sum,
                    out_stride: columns.len(),
                    a: input.x,
                    a_step: 0,
                    a_stride: features,
                    k: features,
                    d: kernel,
                    d_step: 0,
                    d_stride: columns.len(),
                    columns: &columns,
                    steps: 1,
                    rows: table.vocabulary,
                },
            );
            unpad(shape, &sum, d_kernel);
        }
    }
    gradients.x = match (input.rows, by_row, projected) {
        _ if !want_x => vec![],
        (None, ..) => d_x,
        (_, Some(table), _) if table.squares => narrow(table_width, features, &[&*d_table, &*d_squares]),
        (_, Some(_), _) => narrow(table_width, features, &[&*d_table]),
        (_, _, Some(table)) => {
            let table = project_back(shape, layer, &packed, &table, kernel, table_width);
            narrow(table_width, features, &[&table])
        }
        (Some(rows), ..) => scatter(&rows, features, &d_x),
    };
    gradients
}

/// The sum of all, in their order, whichever thread was first.
fn add_up(partial: &mut Vec<Buffer>) -> Buffer {
    let rest = partial.split_off(1);
    let mut total = partial.remove(0);
    const CHUNK: usize = 1 << 14;
    let add = |(index, sums): (usize, &mut [f32])| {
        for part in &rest {
            for (sum, &value) in sums.iter_mut().zip(&part[index * CHUNK..]) {
                *sum += value;
            }
        }
    };
    if total.len() > 4 * CHUNK {
        total.par_chunks_mut(CHUNK).enumerate().for_each(add);
    } else {
        total.chunks_mut(CHUNK).enumerate().for_each(add);
    }
    total
}

/// Rows of `shape.gates` padded slots to rows without padding.
fn unpad(shape: Shape, from: &[f32], to: &mut [f32]) {
    for (to, from) in to.chunks_exact_mut(shape.units).zip(from.chunks_exact(shape.padded())) {
        to.copy_from_slice(&from[..shape.units]);
    }
}

/// Rows `width` long cut to `features`, one array after another.
fn narrow(width: usize, features: usize, arrays: &[&[f32]]) -> Vec<f32> {
    let mut narrow = Vec::with_capacity(arrays.iter().map(|array| array.len() / width * features).sum());
    for row in arrays.iter().flat_map(|array| array.chunks_exact(width)) {
        narrow.extend_from_slice(&row[..features]);
    }
    narrow
}

/// The gradient of the table from that of its projection, (V, `table_width`).
fn project_back(
    shape: Shape,
    layer: &Layer,
    packed: &Weights,
    rows: &Rows<'_>,
    d_projected: &[f32],
    table_width: usize,
) -> Buffer {
    let mut table = Buffer::zeros(rows.vocabulary * table_width);
    let columns: Vec<usize> = (0..table_width / shape.lanes).collect();
    let segments: Vec<usize> = (0..shape.gates).map(|gate| gate * shape.padded()).collect();
    dispatch_for(
        layer.units,
        Product {
            out: &mut table,
            columns: &columns,
            out_stride: columns.len(),
            rows: rows.vocabulary,
            a: d_projected,
            segments: &segments,
            a_stride: shape.gates * shape.padded(),
            weights: &packed.kernel[0],
        },
    );
    table
}

struct Backward<'a, C> {
    layer: &'a Layer,
    input: &'a Input<'a>,
    weights: &'a Weights,
    /// The table, if it was projected.
    projected: Option<Rows<'a>>,
    /// The table, if tokens' gradients are summed by row of it.
    by_row: Option<Rows<'a>>,
    block: Block,
    memory: Buffer,
    d_out: &'a [f32],
    d_x: Option<&'a mut [f32]>,
    d_states: &'a mut [f32],
    sums: Sums,
    partial: &'a mut [f32],
    cell: PhantomData<C>,
}

impl<C: Cell> WithSimd for Backward<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (layer, input, block) = (self.layer, self.input, self.block);
        let (rows, time, shape) = (block.rows, input.time, self.weights.shape);
        let (padded, units, features) = (shape.padded(), layer.units, layer.features);
        let slot = rows * padded;
        let plan = Plan {
            inputs: if self.projected.is_some() { 0 } else { rows * features },
            state: layer.kind.states() * slot,
            slots: C::SLOTS * slot,
            steps: time,
        };
        let masks = |dropout, width, stride| {
            let (gates, first) = (shape.gates, block.first);
            Option::map(dropout, |d| BlockMasks::new(d, gates, input.batch, first, rows, width, stride))
        };
        let input_masks = masks(input.input_dropout, features, features);
        let state_masks = masks(input.recurrent_dropout, units, padded);
        let net = Net::new(layer, self.weights, C::PARTS, rows, state_masks);
        let mut memory = std::mem::replace(&mut self.memory, Buffer::new(0));
        let (states, slots, inputs) = plan.cut(&mut memory);

        let x_width = features.next_multiple_of(shape.lanes);
        let x_columns: Vec<usize> = (0..x_width / shape.lanes).collect();
        let mut working = Buffer::new(
            plan.state + SCRATCH * slot + 2 * rows * x_width + STEPS * rows * padded.max(features),
        );
        let (gradient, rest) = working.split_at_mut(plan.state);
        let (scratch, rest) = rest.split_at_mut(SCRATCH * slot);
        let (dx, rest) = rest.split_at_mut(rows * x_width);
        let (dx_gate, masked) = rest.split_at_mut(rows * x_width);
        let gradient = S::as_mut_simd_f32s(gradient).0;
        let scratch = S::as_mut_simd_f32s(scratch).0;
        let mut after = vec![0.0; if input.mask.is_some() { plan.state } else { 0 }];
        let first_valid: Vec<usize> =
            (0..rows).map(|row| first_valid(layer, input, block.first + row)).collect();

        let row_out = layer.row_out(time);
        let d_out = &self.d_out[block.first * row_out..][..rows * row_out];
        {
            let gradient: &mut [f32] = cast_slice_mut(gradient);
            gradient.fill(0.0);
            let at = layer.steps_out(time) * units;
            for row in 0..rows {
                for part in 0..layer.kind.states() {
                    gradient[part * slot + row * padded..][..units]
                        .copy_from_slice(&d_out[row * row_out + at + part * units..][..units]);
                }
            }
        }
        for step in (0..time).rev() {
            if let Some(at) = layer.output_at(step, time) {
                let gradient: &mut [f32] = cast_slice_mut(gradient);
                for row in 0..rows {
                    if shows(layer, input, block.first + row, step, step >= first_valid[row]) {
                        let d = &d_out[row * row_out + at..][..units];
                        let gradient = &mut gradient[row * padded..][..units];
                        for k in 0..units {
                            gradient[k] += d[k];
                        }
                    }
                }
            }
            let slots_here = &mut slots[step * plan.slots..][..plan.slots];
            let before = S::as_simd_f32s(&states[step * plan.state..][..plan.state]).0;
            if input.mask.is_some() {
                after.copy_from_slice(cast_slice(gradient));
            }
            C::backward(simd, &net, before, S::as_mut_simd_f32s(slots_here).0, gradient, scratch);
            if let Some(mask) = input.mask {
                let at = layer.at(step, time);
                let gradient: &mut [f32] = cast_slice_mut(gradient);
                for row in 0..rows {
                    if mask[(block.first + row) * time + at] != 0 {
                        continue;
                    }
                    for part in 0..layer.kind.states() {
                        let at = part * slot + row * padded;
                        gradient[at..][..padded].copy_from_slice(&after[at..][..padded]);
                    }
                    for index in 0..C::SLOTS {
                        slots_here[index * slot + row * padded..][..padded].fill(0.0);
                    }
                }
            }
            let wants_dx = self.d_x.is_some() || self.by_row.is_some();
            if wants_dx {
                self.input_back(
                    simd,
                    &net,
                    slots_here,
                    dx,
                    dx_gate,
                    &x_columns,
                    x_width,
                    input_masks.as_ref(),
                );
            }
            if self.d_x.is_some() {
                self.store_dx(step, dx, x_width);
            }
            self.by_step(simd, step, slots_here, dx, x_width);
            if step % STEPS == 0 {
                let steps = STEPS.min(time - step);
                self.outer(
                    simd,
                    &net,
                    &plan,
                    step,
                    steps,
                    states,
                    slots,
                    inputs,
                    input_masks.as_ref(),
                    masked,
                );
            }
        }
        let gradient: &[f32] = cast_slice(gradient);
        for row in 0..rows {
            for part in 0..layer.kind.states() {
                self.d_states[(row * layer.kind.states() + part) * units..][..units]
                    .copy_from_slice(&gradient[part * slot + row * padded..][..units]);
            }
        }
    }
}

/// The first step of the walk that is not masked.
fn first_valid(layer: &Layer, input: &Input<'_>, row: usize) -> usize {
    let Some(mask) = input.mask else { return 0 };
    let valid = |&step: &usize| mask[row * input.time + layer.at(step, input.time)] != 0;
    (0..input.time).find(valid).unwrap_or(input.time)
}

impl<C: Cell> Backward<'_, C> {
    /// `dx = (d · kernelᵀ) · mask`, (rows, `width`).
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn input_back<S: Simd>(
        &self,
        simd: S,
        net: &Net<'_>,
        slots: &[f32],
        dx: &mut [f32],
        of_gate: &mut [f32],
        columns: &[usize],
        width: usize,
        masks: Option<&BlockMasks>,
    ) {
        let (rows, features) = (self.block.rows, self.layer.features);
        let product = |out: &mut [f32], segments, weights| {
            outline(
                simd,
                Product {
                    out,
                    columns,
                    out_stride: columns.len(),
                    rows,
                    a: slots,
                    segments,
                    a_stride: self.weights.shape.padded(),
                    weights,
                },
            );
        };
        dx.fill(0.0);
        let segments = &net.kernel_segments;
        match masks {
            Some(masks) if masks.per_gate => {
                for (gate, weights) in self.weights.kernel.iter().enumerate() {
                    of_gate.fill(0.0);
                    product(of_gate, &segments[gate..gate + 1], weights);
                    let rows = dx.chunks_exact_mut(width).zip(of_gate.chunks_exact(width));
                    for ((sum, d), mask) in rows.zip(masks.of(gate).chunks_exact(features)) {
                        for ((sum, &d), &mask) in sum.iter_mut().zip(d).zip(mask) {
                            *sum += d * mask;
                        }
                    }
                }
            }
            masks => {
                product(dx, segments, &self.weights.kernel[0]);
                if let Some(masks) = masks {
                    for (dx, mask) in dx.chunks_exact_mut(width).zip(masks.of(0).chunks_exact(features)) {
                        for (d, &mask) in dx.iter_mut().zip(mask) {
                            *d *= mask;
                        }
                    }
                }
            }
        }
    }

    fn store_dx(&mut self, step: usize, dx: &[f32], width: usize) {
        let (time, features) = (self.input.time, self.layer.features);
        let at = self.layer.at(step, time);
        if let Some(d_x) = &mut self.d_x {
            for (row, dx) in dx.chunks_exact(width).enumerate() {
                d_x[(row * time + at) * features..][..features].copy_from_slice(&dx[..features]);
            }
        }
    }

    /// What is summed step by step: the biases' gradients, and those of a projected table.
    #[inline(always)]
    fn by_step<S: Simd>(&mut self, simd: S, step: usize, slots: &[f32], dx: &[f32], width: usize) {
        let shape = self.weights.shape;
        let (rows, vectors) = (self.block.rows, shape.vectors);
        let [bias, _, kernel, table, squares] = self.sums.cut(self.partial);
        let d = S::as_simd_f32s(slots).0;
        let bias = S::as_mut_simd_f32s(bias).0;
        for slot in 0..C::SLOTS {
            for v in 0..vectors {
                let mut sum = bias[slot * vectors + v];
                for row in 0..rows {
                    sum = simd.add_f32s(sum, d[(slot * rows + row) * vectors + v]);
                }
                bias[slot * vectors + v] = sum;
            }
        }
        let Some(rows_of) = self.projected.or(self.by_row) else { return };
        let time = self.input.time;
        let at = self.layer.at(step, time);
        let mut ids = [0; MAX_ROWS];
        for row in 0..rows {
            ids[row] = rows_of.ids[(self.block.first + row) * time + at] as usize;
        }
        let ids = &ids[..rows];
        if self.projected.is_some() {
            let kernel = S::as_mut_simd_f32s(kernel).0;
            for gate in 0..shape.gates {
                let d = &d[gate * rows * vectors..][..rows * vectors];
                for row in 0..rows {
                    let at = (ids[row] * shape.gates + gate) * vectors;
                    for v in 0..vectors {
                        kernel[at + v] = simd.add_f32s(kernel[at + v], d[row * vectors + v]);
                    }
                }
            }
        }
        if self.by_row.is_some() {
            let dx = S::as_simd_f32s(dx).0;
            let table = S::as_mut_simd_f32s(table).0;
            let squares = S::as_mut_simd_f32s(squares).0;
            let vectors = width / S::F32_LANES;
            for row in 0..rows {
                let at = ids[row] * vectors;
                for v in 0..vectors {
                    let d = dx[row * vectors + v];
                    table[at + v] = simd.add_f32s(table[at + v], d);
                    squares[at + v] = simd.mul_add_e_f32s(d, d, squares[at + v]);
                }
            }
        }
    }

    /// Adds the outer products of `steps` steps from `first` on to the kernels' gradients.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn outer<S: Simd>(
        &mut self,
        simd: S,
        net: &Net<'_>,
        plan: &Plan,
        first: usize,
        steps: usize,
        states: &[f32],
        slots: &[f32],
        inputs: &[f32],
        input_masks: Option<&BlockMasks>,
        masked: &mut [f32],
    ) {
        let shape = self.weights.shape;
        let (rows, features, units, padded) =
            (self.block.rows, self.layer.features, self.layer.units, shape.padded());
        let [_, recurrent, kernel, _, _] = self.sums.cut(self.partial);
        let slots = &slots[first * plan.slots..][..steps * plan.slots];
        let out_stride = shape.gates * shape.vectors;
        let sum =
            |out: &mut [f32], (a, a_step, a_stride, k): (&[f32], usize, usize, usize), columns: &[usize]| {
                outline(
                    simd,
                    Outer {
                        out,
                        out_stride,
                        a,
                        a_step,
                        a_stride,
                        k,
                        d: slots,
                        d_step: plan.slots / shape.lanes,
                        d_stride: shape.vectors,
                        columns,
                        steps,
                        rows,
                    },
                );
            };
        if self.projected.is_none() {
            let x = &inputs[first * plan.inputs..][..steps * plan.inputs];
            match input_masks {
                Some(masks) if masks.per_gate => {
                    for gate in 0..shape.gates {
                        for (to, from) in
                            masked.chunks_exact_mut(plan.inputs).zip(x.chunks_exact(plan.inputs))
                        {
                            for ((to, &from), &mask) in to.iter_mut().zip(from).zip(masks.of(gate)) {
                                *to = from * mask;
                            }
                        }
                        let columns = &net.kernel_columns[gate * shape.vectors..][..shape.vectors];
                        let out = &mut kernel[gate * padded..];
                        sum(out, (masked, plan.inputs, features, features), columns);
                    }
                }
                _ => sum(kernel, (x, plan.inputs, features, features), &net.kernel_columns),
            }
        }
        for (index, part) in C::PARTS.iter().enumerate() {
            let (from, a_step) = match part.factor {
                Factor::PreviousState => (&states[first * plan.state..], plan.state),
                Factor::Slot(slot) => (&slots[slot * rows * padded..], plan.slots),
            };
            let columns = net.columns(index);
            match &net.recurrent_masks {
                None => {
                    let out = &mut recurrent[part.gates[0].0 * padded..];
                    sum(out, (from, a_step, padded, units), columns);
                }
                Some(masks) => {
                    let slot = rows * padded;
                    for (index, &(gate, _)) in part.gates.iter().enumerate() {
                        for step in 0..steps {
                            let to = S::as_mut_simd_f32s(&mut masked[step * slot..][..slot]).0;
                            let from = S::as_simd_f32s(&from[step * a_step..][..slot]).0;
                            multiply(simd, to, from, masks.of(gate));
                        }
                        let columns = &columns[index * shape.vectors..][..shape.vectors];
                        sum(&mut recurrent[gate * padded..], (masked, slot, padded, units), columns);
                    }
                }
            }
        }
    }
}

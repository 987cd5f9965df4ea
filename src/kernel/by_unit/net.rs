//! The weights of a layer, packed once a batch, and the products that a block of sequences makes of them.

use super::product::{Packed, Product};
use crate::kernel::activation::Activation;
use crate::kernel::cell::{Part, Products};
use crate::kernel::isa::outline;
use crate::kernel::pass::{Dropout, Input, Layer};
use pulp::Simd;
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use std::ops::Range;

/// How a layer's units lie in vectors. Each slot has room for a whole number of vectors; the rest is padding, whose
/// weights are zeros.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub lanes: usize,
    pub units: usize,
    /// Vectors that hold the units.
    pub vectors: usize,
    pub gates: usize,
}

impl Shape {
    pub fn new(layer: &Layer, lanes: usize) -> Self {
        let units = layer.units;
        Self { lanes, units, vectors: units.div_ceil(lanes), gates: layer.kind.gates() }
    }

    /// Floats of a slot for one sequence.
    pub fn padded(self) -> usize {
        self.vectors * self.lanes
    }

    /// Packs the columns of `gates` of a matrix (k, G·u).
    fn pack(self, matrix: &[f32], k: usize, gates: Range<usize>) -> Packed {
        let (units, padded, width) = (self.units, self.padded(), self.gates * self.units);
        Packed::new(self.lanes, 1, k, gates.len() * self.vectors, |_, i, row| {
            for (slot, gate) in gates.clone().enumerate() {
                let from = &matrix[i * width + gate * units..][..units];
                row[slot * padded..][..units].copy_from_slice(from);
            }
        })
    }

    /// Packs the transpose of the columns of `gates` of a matrix (columns, G·u): a segment a gate.
    fn pack_transposed(self, matrix: &[f32], columns: usize, gates: Range<usize>) -> Packed {
        let width = self.gates * self.units;
        let vectors = columns.div_ceil(self.lanes);
        Packed::new(self.lanes, gates.len(), self.units, vectors, |segment, i, row| {
            let at = (gates.start + segment) * self.units + i;
            for (column, value) in row.iter_mut().take(columns).enumerate() {
                *value = matrix[column * width + at];
            }
        })
    }
}

/// A kernel, packed as one or gate by gate.
fn gate_by_gate(
    gates: Range<usize>,
    split: bool,
    mut pack: impl FnMut(Range<usize>) -> Packed,
) -> Vec<Packed> {
    match split {
        false => vec![pack(gates)],
        true => gates.map(|gate| pack(gate..gate + 1)).collect(),
    }
}

fn range(part: &Part) -> Range<usize> {
    let gates = part.gates.iter().map(|&(gate, _)| gate);
    gates.clone().min().unwrap_or(0)..gates.max().map_or(0, |last| last + 1)
}

/// Packed weights for one direction; each kernel gate by gate where dropout gives each gate a mask of its own.
pub(super) struct Weights {
    pub shape: Shape,
    /// All gates of the input's kernel.
    pub kernel: Vec<Packed>,
    /// For each part, its gates of the recurrent kernel.
    pub recurrent: Vec<Vec<Packed>>,
}

fn per_gate(dropout: Option<Dropout<'_>>) -> bool {
    dropout.is_some_and(|dropout| dropout.per_gate)
}

impl Weights {
    /// For the forward pass: the columns of each kernel.
    pub fn forward(
        shape: Shape,
        layer: &Layer,
        input: &Input<'_>,
        weights: &[f32],
        parts: &[Part],
        with_kernel: bool,
    ) -> Self {
        let pack = |matrix: &[f32], rows, gates| shape.pack(matrix, rows, gates);
        Self::new(shape, layer, input, weights, parts, with_kernel, pack)
    }

    /// For the backward pass: the transposes.
    pub fn backward(
        shape: Shape,
        layer: &Layer,
        input: &Input<'_>,
        weights: &[f32],
        parts: &[Part],
        with_kernel: bool,
    ) -> Self {
        let pack = |matrix: &[f32], rows, gates| shape.pack_transposed(matrix, rows, gates);
        Self::new(shape, layer, input, weights, parts, with_kernel, pack)
    }

    /// `pack` is given a kernel, its rows (F or u) and the gates wanted.
    fn new(
        shape: Shape,
        layer: &Layer,
        input: &Input<'_>,
        weights: &[f32],
        parts: &[Part],
        with_kernel: bool,
        pack: impl Fn(&[f32], usize, Range<usize>) -> Packed,
    ) -> Self {
        let (kernel, recurrent, _) = layer.split(weights);
        let kernel = match with_kernel {
            true => gate_by_gate(0..shape.gates, per_gate(input.input_dropout), |gates| {
                pack(kernel, layer.features, gates)
            }),
            false => vec![],
        };
        let split = per_gate(input.recurrent_dropout);
        let of_part = |part| gate_by_gate(range(part), split, |gates| pack(recurrent, shape.units, gates));
        Self { shape, kernel, recurrent: parts.iter().map(of_part).collect() }
    }
}

/// The dropout masks of a block, one a gate or one for all, each (rows, stride).
pub(super) struct BlockMasks {
    values: Vec<f32>,
    len: usize,
    pub per_gate: bool,
}

impl BlockMasks {
    /// The masks of sequences `first` and on, each row widened from `width` to `stride` with zeros.
    pub fn new(
        dropout: Dropout<'_>,
        gates: usize,
        batch: usize,
        first: usize,
        rows: usize,
        width: usize,
        stride: usize,
    ) -> Self {
        let count = if dropout.per_gate { gates } else { 1 };
        let mut values = vec![0.0; count * rows * stride];
        for (index, row) in values.chunks_exact_mut(stride).enumerate() {
            let at = (index / rows * batch + first + index % rows) * width;
            row[..width].copy_from_slice(&dropout.masks[at..at + width]);
        }
        Self { values, len: rows * stride, per_gate: dropout.per_gate }
    }

    /// The mask of `gate`.
    pub fn of(&self, gate: usize) -> &[f32] {
        let at = if self.per_gate { gate * self.len } else { 0 };
        &self.values[at..at + self.len]
    }
}

/// The products of a block of `rows` sequences. A slot of the block is (rows, padded units), slots follow each other.
pub(super) struct Net<'a> {
    pub weights: &'a Weights,
    pub rows: usize,
    pub parts: &'static [Part],
    pub activation: Activation,
    pub recurrent_activation: Activation,
    pub recurrent_masks: Option<BlockMasks>,
    /// The column vectors of all gates' slots.
    pub kernel_columns: Vec<usize>,
    /// Where each gate's slot starts, in floats.
    pub kernel_segments: Vec<usize>,
    /// For each part, the column vectors of its slots; the vectors of one slot; where each slot starts in floats.
    part_columns: Vec<Vec<usize>>,
    part_segments: Vec<Vec<usize>>,
    slot_columns: Vec<usize>,
}

impl<'a> Net<'a> {
    pub fn new(
        layer: &Layer,
        weights: &'a Weights,
        parts: &'static [Part],
        rows: usize,
        recurrent_masks: Option<BlockMasks>,
    ) -> Self {
        let shape = weights.shape;
        let columns = |slot: usize| (0..shape.vectors).map(move |v| slot * rows * shape.vectors + v);
        let slot = rows * shape.padded();
        Self {
            weights,
            rows,
            parts,
            activation: layer.activation,
            recurrent_activation: layer.recurrent_activation,
            recurrent_masks,
            kernel_columns: (0..shape.gates).flat_map(columns).collect(),
            kernel_segments: (0..shape.gates).map(|gate| gate * slot).collect(),
            part_columns: parts
                .iter()
                .map(|part| part.gates.iter().flat_map(|&(_, slot)| columns(slot)).collect())
                .collect(),
            part_segments: parts
                .iter()
                .map(|part| part.gates.iter().map(|&(_, at)| at * slot).collect())
                .collect(),
            slot_columns: columns(0).collect(),
        }
    }

    /// The column vectors of part `part`'s slots.
    pub fn columns(&self, part: usize) -> &[usize] {
        &self.part_columns[part]
    }
}

/// `out = a · b`
#[inline(always)]
pub(super) fn multiply<S: Simd>(simd: S, out: &mut [S::f32s], a: &[S::f32s], b: &[f32]) {
    let b = S::as_simd_f32s(b).0;
    for k in 0..out.len() {
        out[k] = simd.mul_f32s(a[k], b[k]);
    }
}

impl<S: Simd> Products<S> for Net<'_> {
    #[inline(always)]
    fn slot(&self) -> usize {
        self.rows * self.weights.shape.vectors
    }

    #[inline(always)]
    fn activations(&self) -> (Activation, Activation) {
        (self.activation, self.recurrent_activation)
    }

    #[inline(always)]
    fn recurrent(
        &self,
        simd: S,
        part: usize,
        slots: &mut [S::f32s],
        factor: &[S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let shape = self.weights.shape;
        let (packed, columns) = (&self.weights.recurrent[part], &self.part_columns[part]);
        let mut product = |weights, columns, a: &[S::f32s]| {
            outline(
                simd,
                Product {
                    out: cast_slice_mut(slots),
                    columns,
                    out_stride: shape.vectors,
                    rows: self.rows,
                    a: cast_slice(a),
                    segments: &[0],
                    a_stride: shape.padded(),
                    weights,
                },
            );
        };
        let Some(masks) = &self.recurrent_masks else {
            return product(&packed[0], columns, factor);
        };
        let masked = &mut scratch[..factor.len()];
        for (index, weights) in packed.iter().enumerate() {
            multiply(simd, masked, factor, masks.of(self.parts[part].gates[index].0));
            let of_gate = &columns[index * shape.vectors..];
            let of_gate = if masks.per_gate { &of_gate[..shape.vectors] } else { of_gate };
            product(weights, of_gate, masked);
        }
    }

    #[inline(always)]
    fn recurrent_back(
        &self,
        simd: S,
        part: usize,
        gradient: &mut [S::f32s],
        slots: &[S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let shape = self.weights.shape;
        let (packed, segments) = (&self.weights.recurrent[part], &self.part_segments[part]);
        let product = |weights, segments, out: &mut [S::f32s]| {
            outline(
                simd,
                Product {
                    out: cast_slice_mut(out),
                    columns: &self.slot_columns,
                    out_stride: shape.vectors,
                    rows: self.rows,
                    a: cast_slice(slots),
                    segments,
                    a_stride: shape.padded(),
                    weights,
                },
            );
        };
        let Some(masks) = &self.recurrent_masks else {
            return product(&packed[0], segments, gradient);
        };
        let unmasked = &mut scratch[..gradient.len()];
        for (index, weights) in packed.iter().enumerate() {
            unmasked.fill(simd.splat_f32s(0.0));
            let of_gate = if masks.per_gate { &segments[index..index + 1] } else { &segments[..] };
            product(weights, of_gate, unmasked);
            let mask = S::as_simd_f32s(masks.of(self.parts[part].gates[index].0)).0;
            for k in 0..gradient.len() {
                gradient[k] = simd.mul_add_e_f32s(unmasked[k], mask[k], gradient[k]);
            }
        }
    }
}

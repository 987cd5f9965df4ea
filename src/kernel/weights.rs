//! The weights of a layer, packed once a batch, and the dropout masks of a block.

use super::cell::Part;
use super::grid::Grid;
use super::pass::{Dropout, Input, Layer};
use super::product::{Operand, Packed};
use pulp::Simd;
use std::ops::Range;

/// How a layer's units and features lie in vectors. The last vector may be padding in part, whose weights are zeros.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub lanes: usize,
    pub units: usize,
    pub features: usize,
    pub gates: usize,
    /// The first slots of the cell, which start with the bias.
    pub starts: usize,
}

impl Shape {
    pub fn new(layer: &Layer, lanes: usize) -> Self {
        let gates = layer.kind.gates();
        let starts = gates + layer.kind.bias_rows() - 1;
        Self { lanes, units: layer.units, features: layer.features, gates, starts }
    }

    /// Vectors that hold the units.
    pub fn vectors(self) -> usize {
        self.units.div_ceil(self.lanes)
    }

    /// Vectors that hold the features.
    pub fn feature_vectors(self) -> usize {
        self.features.div_ceil(self.lanes)
    }

    /// The units of vector `v`, as far as there are.
    pub fn units_of(self, v: usize) -> Range<usize> {
        v * self.lanes..((v + 1) * self.lanes).min(self.units)
    }

    /// Packs the columns of `gates` of a matrix (len, G·u): of each vector of units come the gates.
    fn pack(self, matrix: &[f32], len: usize, gates: Range<usize>) -> Packed {
        let width = self.gates * self.units;
        Packed::new(self.lanes, 1, len, gates.len() * self.vectors(), |_, i, column, lanes| {
            let units = self.units_of(column / gates.len());
            let gate = gates.start + column % gates.len();
            lanes[..units.len()]
                .copy_from_slice(&matrix[i * width + gate * self.units + units.start..][..units.len()]);
        })
    }

    /// Packs the transpose of the columns of `gates` of a matrix (columns, G·u): a segment a gate.
    fn pack_transposed(self, matrix: &[f32], columns: usize, gates: Range<usize>) -> Packed {
        let (width, vectors) = (self.gates * self.units, columns.div_ceil(self.lanes));
        Packed::new(self.lanes, gates.len(), self.units, vectors, |segment, unit, column, lanes| {
            let at = (gates.start + segment) * self.units + unit;
            let rows = matrix[column * self.lanes * width..].chunks_exact(width);
            for (lane, row) in lanes.iter_mut().zip(rows) {
                *lane = row[at];
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

/// The gates of a part, which follow each other.
fn range(part: &Part) -> Range<usize> {
    part.gates[0].0..part.gates[0].0 + part.gates.len()
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
    pub fn forward(shape: Shape, layer: &Layer, input: &Input<'_>, weights: &[f32], parts: &[Part]) -> Self {
        let pack = |matrix: &[f32], rows, gates| shape.pack(matrix, rows, gates);
        Self::new(shape, layer, input, weights, parts, true, pack)
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
                pack(kernel, shape.features, gates)
            }),
            false => vec![],
        };
        let split = per_gate(input.recurrent_dropout);
        let of_part = |part| gate_by_gate(range(part), split, |gates| pack(recurrent, shape.units, gates));
        Self { shape, kernel, recurrent: parts.iter().map(of_part).collect() }
    }
}

/// The dropout masks of a block, one a gate or one for all, each a grid of one slot.
pub(super) struct BlockMasks {
    values: Vec<f32>,
    grid: Grid,
    len: usize,
    pub per_gate: bool,
}

impl BlockMasks {
    /// The masks of the sequences from `first` on, `rows` of them, each `width` floats long.
    pub fn new<const M: usize>(
        dropout: Dropout<'_>,
        grid: Grid,
        lanes: usize,
        (gates, batch): (usize, usize),
        (first, rows): (usize, usize),
        width: usize,
    ) -> Self {
        let grid = Grid { slots: 1, ..grid };
        let len = grid.len(M) * lanes;
        let count = if dropout.per_gate { gates } else { 1 };
        let mut values = vec![0.0; count * len];
        for (gate, values) in values.chunks_exact_mut(len).enumerate() {
            for row in 0..rows {
                let from = &dropout.masks[(gate * batch + first + row) * width..][..width];
                for (v, chunk) in from.chunks(lanes).enumerate() {
                    values[grid.at::<M>(row, v, 0) * lanes..][..chunk.len()].copy_from_slice(chunk);
                }
            }
        }
        Self { values, grid, len, per_gate: dropout.per_gate }
    }

    /// The mask of `gate`.
    fn of(&self, gate: usize) -> &[f32] {
        let at = if self.per_gate { gate * self.len } else { 0 };
        &self.values[at..at + self.len]
    }

    /// `a · mask` of `gate` for each of `steps` steps, which follow each other; written to `out`, grids of one slot like
    /// the mask.
    #[inline(always)]
    pub fn apply<'a, S: Simd, const M: usize>(
        &self,
        simd: S,
        gate: usize,
        steps: usize,
        a: Operand<'_>,
        out: &'a mut [f32],
    ) -> Operand<'a> {
        let mask = pulp::as_arrays::<M, _>(S::as_simd_f32s(self.of(gate)).0).0;
        let tiles = pulp::as_arrays::<M, _>(S::as_simd_f32s(a.floats).0).0;
        let into = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(out).0).0;
        for step in 0..steps {
            let from = &tiles[step * mask.len() * a.grid.slots..][..mask.len() * a.grid.slots];
            let into = &mut into[step * mask.len()..][..mask.len()];
            for t in 0..mask.len() {
                let (from, mask) = (from[t * a.grid.slots + a.slots[0]], mask[t]);
                for m in 0..M {
                    into[t][m] = simd.mul_f32s(from[m], mask[m]);
                }
            }
        }
        Operand { floats: out, grid: self.grid, slots: &[0] }
    }

    /// `d · mask` of `gate` to slot 0 of `out`, which has `slots` slots, for as many steps as `d` holds; with `adds`,
    /// added to what is there.
    #[inline(always)]
    pub fn add<S: Simd, const M: usize>(
        &self,
        simd: S,
        gate: usize,
        d: &[f32],
        out: &mut [f32],
        slots: usize,
        adds: bool,
    ) {
        let mask = pulp::as_arrays::<M, _>(S::as_simd_f32s(self.of(gate)).0).0;
        let d = pulp::as_arrays::<M, _>(S::as_simd_f32s(d).0).0;
        let out = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(out).0).0;
        for step in 0..d.len() / mask.len() {
            let d = &d[step * mask.len()..][..mask.len()];
            let out = &mut out[step * mask.len() * slots..][..mask.len() * slots];
            for t in 0..mask.len() {
                let (d, mask, out) = (d[t], mask[t], &mut out[t * slots]);
                for m in 0..M {
                    let before = if adds { out[m] } else { simd.splat_f32s(0.0) };
                    out[m] = simd.mul_add_e_f32s(d[m], mask[m], before);
                }
            }
        }
    }
}

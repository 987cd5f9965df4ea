//! The weights of a layer, packed once a batch, and the dropout masks of a block.

use super::cell::Part;
use super::grid::Grid;
use super::pass::{Dropout, Input, Layer};
use super::product::{Operand, Packed, unpack};
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

    /// The inverse of [`pack`](Self::pack), for the `sums` of one matrix of each of the `gates` after another.
    pub fn unpack<'a>(
        self,
        mut sums: &[f32],
        len: usize,
        gates: impl IntoIterator<Item = &'a Range<usize>>,
        matrix: &mut [f32],
    ) {
        let width = self.gates * self.units;
        for gates in gates {
            let columns = gates.len() * self.vectors();
            let (of_these, rest) = sums.split_at(len.next_multiple_of(self.lanes) * columns * self.lanes);
            sums = rest;
            unpack(of_these, self.lanes, len, columns, |i, column, lanes| {
                let units = self.units_of(column / gates.len());
                let gate = gates.start + column % gates.len();
                matrix[i * width + gate * self.units + units.start..][..units.len()]
                    .copy_from_slice(&lanes[..units.len()]);
            });
        }
    }

    /// Rows of features in whole vectors, without what is there to fill them.
    pub fn strip(self, from: &[f32], rows: &mut [f32]) {
        let from = from.chunks_exact(self.feature_vectors() * self.lanes);
        for (row, from) in rows.chunks_exact_mut(self.features).zip(from) {
            row.copy_from_slice(&from[..self.features]);
        }
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

/// The gates that are packed together: all, or each by itself.
fn split(gates: Range<usize>, per_gate: bool) -> Vec<Range<usize>> {
    match per_gate {
        false => vec![gates],
        true => gates.map(|gate| gate..gate + 1).collect(),
    }
}

/// The gates of a part, which follow each other.
fn range(part: &Part) -> Range<usize> {
    part.gates[0].0..part.gates[0].0 + part.gates.len()
}

/// Which gates are packed together: in the input's kernel, and for each part in the recurrent kernel.
pub(super) struct Gates {
    pub kernel: Vec<Range<usize>>,
    pub recurrent: Vec<Vec<Range<usize>>>,
}

impl Gates {
    pub fn new(shape: Shape, input: &Input<'_>, parts: &[Part]) -> Self {
        let per_gate = |dropout: Option<Dropout<'_>>| dropout.is_some_and(|dropout| dropout.per_gate);
        let of_part = |part| split(range(part), per_gate(input.recurrent_dropout));
        Self {
            kernel: split(0..shape.gates, per_gate(input.input_dropout)),
            recurrent: parts.iter().map(of_part).collect(),
        }
    }
}

/// Packed weights for one direction; each kernel gate by gate where dropout gives each gate a mask of its own.
pub(super) struct Weights {
    pub shape: Shape,
    /// All gates of the input's kernel.
    pub kernel: Vec<Packed>,
    /// For each part, its gates of the recurrent kernel.
    pub recurrent: Vec<Vec<Packed>>,
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
        let gates = Gates::new(shape, input, parts);
        let pack_all = |matrix, rows, gates: &[Range<usize>]| -> Vec<Packed> {
            gates.iter().map(|gates| pack(matrix, rows, gates.clone())).collect()
        };
        Self {
            shape,
            kernel: if with_kernel { pack_all(kernel, shape.features, &gates.kernel) } else { vec![] },
            recurrent: gates.recurrent.iter().map(|gates| pack_all(recurrent, shape.units, gates)).collect(),
        }
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

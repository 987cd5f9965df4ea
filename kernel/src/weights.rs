//! The weights of a layer, packed once a batch, and the dropout masks of a block.

use super::cell::Part;
use super::forward::Block;
use super::grid::{GROUP, Grid};
use super::isa::{dispatch, dispatch_for, lanes, lanes_for};
use super::packed::{Packed, unpack};
use super::pass::{Dropout, Input, Layer};
use super::product::{Operand, ROWS};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// How a layer's units and features lie in vectors. The last vector may be padding in part, whose weights are zeros.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub lanes: usize,
    /// Sequences that share a vector.
    pub shared: usize,
    pub units: usize,
    pub features: usize,
    pub gates: usize,
    /// The first slots of the cell, which start with the bias.
    pub starts: usize,
}

impl Shape {
    /// For a batch of so many sequences.
    pub fn new(layer: &Layer, batch: usize) -> Self {
        let gates = layer.kind.gates();
        let starts = gates + layer.kind.bias_rows() - 1;
        let (units, features) = (layer.units, layer.features);
        // Half a vector is still to be made of whole tiles of sums.
        let halved = lanes() / 2 >= ROWS && 2 * units <= lanes() && batch >= 2 * GROUP;
        let (lanes, shared) = if halved { (lanes(), 2) } else { (lanes_for(units), 1) };
        Self { lanes, shared, units, features, gates, starts }
    }

    /// Runs `op` with vectors of so many lanes.
    pub fn dispatch<Op: WithSimd>(self, op: Op) -> Op::Output {
        if self.lanes == lanes() { dispatch(op) } else { dispatch_for(self.units, op) }
    }

    /// Units, or features, of a sequence in a vector.
    pub fn width(self) -> usize {
        self.lanes / self.shared
    }

    /// Lanes of a vector, and the units of each sequence in it.
    fn vector(self) -> (usize, usize) {
        (self.lanes, self.width())
    }

    /// A grid of this shape.
    pub fn grid(self, groups: usize, vectors: usize, slots: usize) -> Grid {
        Grid { groups, vectors, slots, shared: self.shared }
    }

    /// Vectors that hold the units.
    pub fn vectors(self) -> usize {
        self.units.div_ceil(self.width())
    }

    /// Vectors that hold the features.
    pub fn feature_vectors(self) -> usize {
        self.features.div_ceil(self.width())
    }

    /// The units of vector `v`, as far as there are.
    pub fn units_of(self, v: usize) -> Range<usize> {
        v * self.width()..((v + 1) * self.width()).min(self.units)
    }

    /// Packs the columns of `gates` of a matrix (len, G·u): of each vector of units come the gates.
    fn pack(self, matrix: &[f32], len: usize, gates: Range<usize>) -> Packed {
        let width = self.gates * self.units;
        Packed::new(self.vector(), 1, len, gates.len() * self.vectors(), |_, i, column, lanes| {
            let units = self.units_of(column / gates.len());
            let gate = gates.start + column % gates.len();
            let values = &matrix[i * width + gate * self.units + units.start..][..units.len()];
            self.spread(values.iter().copied(), lanes);
        })
    }

    /// Writes the values of the units of a vector, each once for every sequence that shares it.
    #[inline(always)]
    pub fn spread(self, values: impl Iterator<Item = f32>, lanes: &mut [f32]) {
        match self.shared {
            1 => lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane = value),
            _ => {
                lanes.as_chunks_mut().0.iter_mut().zip(values).for_each(|(lanes, value)| *lanes = [value; 2])
            }
        }
    }

    /// The inverse of [`pack`](Self::pack), for the `sums` of one matrix of each of the `gates` after another, over the
    /// sequences that share a vector too.
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
            let (of_these, rest) = sums.split_at(len.next_multiple_of(self.width()) * columns * self.lanes);
            sums = rest;
            unpack(of_these, self.vector(), len, columns, |i, column, lanes| {
                let units = self.units_of(column / gates.len());
                let gate = gates.start + column % gates.len();
                let values = &mut matrix[i * width + gate * self.units + units.start..][..units.len()];
                self.fold(lanes, values);
            });
        }
    }

    /// For each unit of a vector the sum over the sequences that share it.
    pub fn fold(self, lanes: &[f32], values: &mut [f32]) {
        for (value, lanes) in values.iter_mut().zip(lanes.chunks_exact(self.shared)) {
            *value = lanes.iter().sum();
        }
    }

    /// Rows of features, without what is there to fill whole vectors.
    pub fn strip(self, from: &[f32], rows: &mut [f32]) {
        let from = from.chunks_exact(self.feature_vectors() * self.width());
        for (row, from) in rows.chunks_exact_mut(self.features).zip(from) {
            row.copy_from_slice(&from[..self.features]);
        }
    }

    /// Packs the transpose of the columns of `gates` of a matrix (columns, G·u): a segment a gate.
    fn pack_transposed(self, matrix: &[f32], columns: usize, gates: Range<usize>) -> Packed {
        let (width, vectors) = (self.gates * self.units, columns.div_ceil(self.width()));
        Packed::new(self.vector(), gates.len(), self.units, vectors, |segment, unit, column, lanes| {
            let at = (gates.start + segment) * self.units + unit;
            let rows = matrix[column * self.width() * width..].chunks_exact(width);
            self.spread(rows.map(|row| row[at]), lanes);
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
    /// The masks of the sequences of a block, each `width` floats long.
    pub fn new<const M: usize>(
        dropout: Dropout<'_>,
        grid: Grid,
        lanes: usize,
        (gates, batch): (usize, usize),
        block: Block,
        width: usize,
    ) -> Self {
        let grid = Grid { slots: 1, ..grid };
        let len = grid.len(M) * lanes;
        let count = if dropout.per_gate { gates } else { 1 };
        let mut values = vec![0.0; count * len];
        for (gate, values) in values.chunks_exact_mut(len).enumerate() {
            for row in 0..grid.rows(M) {
                let from = &dropout.masks[(gate * batch + block.sequence(row)) * width..][..width];
                grid.set::<M>(lanes, values, row, 0, from);
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

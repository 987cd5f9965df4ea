//! How a layer's units and features lie in the lanes of vectors.

use crate::grid::{GROUP, Grid, may_share};
use crate::isa::{dispatch, dispatch_for, lanes, lanes_for};
use crate::layer::Layer;
use crate::packed::{Packed, unpack};
use pulp::WithSimd;
use std::borrow::Cow;
use std::ops::Range;

/// Lanes of the widest vectors that there are.
const WIDEST: usize = 16;

/// How a layer's units and features lie in vectors. The last vector may be padding in part, whose weights are zeros.
#[derive(Clone, Copy)]
pub(crate) struct LaneLayout {
    pub lanes: usize,
    /// Sequences that share a vector.
    pub shared: usize,
    /// Sums that gradients of weights are kept in beside each other's lanes: where vectors of sixteen lanes would be shared
    /// by two sequences, those of even and of odd number are added up apart on every machine.
    pub parities: usize,
    pub units: usize,
    pub features: usize,
    pub gates: usize,
    /// The first slots of the cell, which start with the bias.
    pub starts: usize,
}

impl LaneLayout {
    /// For a batch of so many sequences.
    pub fn new(layer: &Layer, batch: usize) -> Self {
        let gates = layer.kind.gates();
        let starts = gates + layer.kind.bias_rows() - 1;
        let (units, features) = (layer.units, layer.features);
        let in_pairs = 2 * units <= WIDEST && batch >= 2 * GROUP;
        let halved = in_pairs && may_share(lanes(), GROUP) && 2 * units <= lanes();
        let (lanes, shared) = if halved { (lanes(), 2) } else { (lanes_for(units), 1) };
        let parities = if in_pairs && !halved { 2 } else { 1 };
        Self { lanes, shared, parities, units, features, gates, starts }
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

    /// A grid with this layout.
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

    /// The slot that each gate of the input's kernel adds to: gate i to slot i.
    pub fn input_gates(self) -> &'static [(usize, usize)] {
        &[(0, 0), (1, 1), (2, 2), (3, 3)][..self.gates]
    }

    /// Packs the columns of `gates` of a matrix (len, G·u): of each vector of units come the gates.
    pub fn pack(self, matrix: &[f32], len: usize, gates: Range<usize>) -> Packed {
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
            let floats = len.next_multiple_of(self.width()) * columns * self.lanes;
            let (of_these, rest) = sums.split_at(floats * self.parities);
            sums = rest;
            let of_these = self.join(of_these);
            unpack(&of_these, self.vector(), len, columns, |i, column, lanes| {
                let units = self.units_of(column / gates.len());
                let gate = gates.start + column % gates.len();
                let values = &mut matrix[i * width + gate * self.units + units.start..][..units.len()];
                self.fold(lanes, values);
            });
        }
    }

    /// The sum of the parities.
    pub fn join(self, sums: &[f32]) -> Cow<'_, [f32]> {
        let (even, odd) = sums.split_at(sums.len() / self.parities);
        match odd {
            [] => Cow::Borrowed(even),
            odd => even.iter().zip(odd).map(|(even, odd)| even + odd).collect(),
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
    pub fn pack_transposed(self, matrix: &[f32], columns: usize, gates: Range<usize>) -> Packed {
        let (width, vectors) = (self.gates * self.units, columns.div_ceil(self.width()));
        Packed::new(self.vector(), gates.len(), self.units, vectors, |segment, unit, column, lanes| {
            let at = (gates.start + segment) * self.units + unit;
            let rows = matrix[column * self.width() * width..].chunks_exact(width);
            self.spread(rows.map(|row| row[at]), lanes);
        })
    }
}

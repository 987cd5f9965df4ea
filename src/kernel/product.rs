//! The two products that a time loop is made of, as register tiles over groups: rows times packed weights, and the sum
//! over rows of outer products.
//!
//! A *tile* of memory is the `M` vectors of a slot, one a sequence (see [`grid`](super::grid)); positions are counted in
//! tiles.

use super::buffer::Buffer;
use super::grid::Grid;
use pulp::{Simd, WithSimd};

/// Columns that are summed at a time. With four rows that makes eight sums, as many as multiplications are in flight.
const COLUMNS: usize = 2;
/// Rows of the weights that are worked through for all groups before the next: as many as stay in the nearest cache.
const DEPTH: usize = 128;

/// A matrix in panels: for each pair of column vectors its rows one after another. A row belongs to a feature (or unit)
/// and a *segment*: of each vector of features come first those of segment 0, then those of segment 1.
pub(super) struct Packed {
    floats: Buffer,
    /// Features of each segment.
    len: usize,
    segments: usize,
    columns: usize,
}

impl Packed {
    /// `fill` writes a column vector of a row, given the row's segment and feature and the column. What it does not
    /// write is 0.
    pub fn new(
        lanes: usize,
        segments: usize,
        len: usize,
        columns: usize,
        mut fill: impl FnMut(usize, usize, usize, &mut [f32]),
    ) -> Self {
        let rows = len.next_multiple_of(lanes) * segments;
        let mut floats = Buffer::zeros(rows * columns * lanes);
        for column in 0..columns {
            let panel = column / COLUMNS * COLUMNS;
            let width = COLUMNS.min(columns - panel);
            for segment in 0..segments {
                for feature in 0..len {
                    let row = (feature / lanes * segments + segment) * lanes + feature % lanes;
                    let at = panel * rows + row * width + column - panel;
                    fill(segment, feature, column, &mut floats[at * lanes..][..lanes]);
                }
            }
        }
        Self { floats, len, segments, columns }
    }
}

/// Some slots of a grid, as the rows that a product reads.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub floats: &'a [f32],
    pub grid: Grid,
    /// The slots: one a segment.
    pub slots: &'a [usize],
}

impl Operand<'_> {
    /// Whether its slots stand in memory, for `groups` groups.
    fn fits<S: Simd, const M: usize>(&self, groups: usize) -> bool {
        let Grid { vectors, slots, .. } = self.grid;
        let mut within = true;
        for &slot in self.slots {
            within &= slot < slots;
        }
        within && self.floats.len() / S::F32_LANES >= groups * vectors * slots * M
    }
}

/// `out = a · weights`, or added to what is there.
pub(super) struct Product<'a, const M: usize> {
    pub groups: usize,
    /// Group g, column c is tile `g * out_stride + columns[c]`.
    pub out: &'a mut [f32],
    pub out_stride: usize,
    pub columns: &'a [usize],
    /// Whether `out` holds something to add to.
    pub adds: bool,
    pub a: Operand<'a>,
    pub weights: &'a Packed,
}

impl<const M: usize> WithSimd for Product<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.check::<S>();
        let columns = self.weights.columns;
        let mut column = 0;
        while column + COLUMNS <= columns {
            self.panel::<S, COLUMNS>(simd, column);
            column += COLUMNS;
        }
        if column < columns {
            self.panel::<S, 1>(simd, column);
        }
    }
}

impl<const M: usize> Product<'_, M> {
    /// Makes sure that the tiles stay within the slices: they read and write without looking.
    #[inline(always)]
    fn check<S: Simd>(&self) {
        let Packed { len, segments, columns, ref floats } = *self.weights;
        assert!(self.columns.len() == columns && self.a.slots.len() == segments);
        assert!(self.a.grid.vectors == len.div_ceil(S::F32_LANES));
        assert!(floats.len() >= len.next_multiple_of(S::F32_LANES) * segments * columns * S::F32_LANES);
        assert!(self.a.fits::<S, M>(self.groups));
        for &column in self.columns {
            assert!(column < self.out_stride);
        }
        assert!(self.out.len() / S::F32_LANES >= self.groups * self.out_stride * M);
    }

    #[inline(always)]
    fn panel<S: Simd, const N: usize>(&mut self, simd: S, column: usize) {
        let Grid { vectors, slots, .. } = self.a.grid;
        let segments = self.a.slots;
        let tail = self.weights.len - (vectors - 1) * S::F32_LANES;
        let tile = M * S::F32_LANES;
        let chunk = (DEPTH / (segments.len() * S::F32_LANES)).max(1);
        let rows = segments.len() * S::F32_LANES;
        let mut at = [0; N];
        at.copy_from_slice(&self.columns[column..column + N]);
        // SAFETY: `check` has made sure that the columns of each group lie within `out`, the slots of each group's
        // vectors within `a`, and that the weights have a panel for these columns, with a row for each feature of each
        // segment.
        unsafe {
            let panel = S::as_simd_f32s(&self.weights.floats).0.as_ptr().add(column * vectors * rows);
            let panel = panel.cast::<[S::f32s; N]>();
            let out = self.out.as_mut_ptr().cast::<[S::f32s; M]>();
            let mut first = 0;
            while first < vectors {
                let last = (first + chunk).min(vectors);
                let mut out = out;
                let mut a = self.a.floats.as_ptr();
                for _ in 0..self.groups {
                    let mut sums = [[simd.splat_f32s(0.0); M]; N];
                    if self.adds || first > 0 {
                        for n in 0..N {
                            sums[n] = out.add(at[n]).read();
                        }
                    }
                    let mut weights = panel.add(first * rows);
                    for v in first..last {
                        let a = a.add(v * slots * tile);
                        for s in 0..segments.len() {
                            let a = a.add(*segments.get_unchecked(s) * tile);
                            if v + 1 == vectors && tail < S::F32_LANES {
                                for k in 0..tail {
                                    rank_one::<S, M, N>(simd, &mut sums, a.add(k), weights.add(k));
                                }
                            } else {
                                let mut k = 0;
                                while k < S::F32_LANES {
                                    rank_one::<S, M, N>(simd, &mut sums, a.add(k), weights.add(k));
                                    rank_one::<S, M, N>(simd, &mut sums, a.add(k + 1), weights.add(k + 1));
                                    rank_one::<S, M, N>(simd, &mut sums, a.add(k + 2), weights.add(k + 2));
                                    rank_one::<S, M, N>(simd, &mut sums, a.add(k + 3), weights.add(k + 3));
                                    k += 4;
                                }
                            }
                            weights = weights.add(S::F32_LANES);
                        }
                    }
                    for n in 0..N {
                        out.add(at[n]).write(sums[n]);
                    }
                    out = out.add(self.out_stride);
                    a = a.add(vectors * slots * tile);
                }
                first = last;
            }
        }
    }
}

/// Adds a feature's share of each row and column.
///
/// # Safety
/// `a` is at a float of a tile's first vector, and `weights` at a row.
#[inline(always)]
unsafe fn rank_one<S: Simd, const M: usize, const N: usize>(
    simd: S,
    sums: &mut [[S::f32s; M]; N],
    a: *const f32,
    weights: *const [S::f32s; N],
) {
    // SAFETY: the float stands in each of the tile's vectors.
    unsafe {
        let row = weights.read();
        for m in 0..M {
            let x = simd.splat_f32s(a.add(m * S::F32_LANES).read());
            for n in 0..N {
                sums[n][m] = simd.mul_add_e_f32s(x, row[n], sums[n][m]);
            }
        }
    }
}

/// `out[k][c] += Σ_steps Σ_rows a[k] · d[c]`.
pub(super) struct Outer<'a, const M: usize> {
    pub groups: usize,
    pub steps: usize,
    /// Row k, column c is vector `k * out_stride + c`.
    pub out: &'a mut [f32],
    pub out_stride: usize,
    /// One segment; whole vectors of it, so `out` has rows for the padding too. A step is so many tiles long.
    pub a: Operand<'a>,
    pub a_step: usize,
    /// Group g of step s, column c is tile `s * d_step + g * d_stride + columns[c].0`, and the column of `out`
    /// `columns[c].1`.
    pub d: &'a [f32],
    pub d_stride: usize,
    pub d_step: usize,
    pub columns: &'a [(usize, usize)],
}

/// Rows of a tile of sums.
const ROWS: usize = 4;

impl<const M: usize> WithSimd for Outer<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.groups == 0 || self.steps == 0 {
            return;
        }
        self.check::<S>();
        let mut column = 0;
        while column + COLUMNS <= self.columns.len() {
            self.panel::<S, COLUMNS>(simd, column);
            column += COLUMNS;
        }
        if column < self.columns.len() {
            self.panel::<S, 1>(simd, column);
        }
    }
}

impl<const M: usize> Outer<'_, M> {
    /// Makes sure that the tiles stay within the slices: they read and write without looking.
    #[inline(always)]
    fn check<S: Simd>(&self) {
        let lanes = S::F32_LANES;
        assert!(lanes % ROWS == 0 && self.a.slots.len() == 1);
        let start = (self.steps - 1) * self.a_step * M * lanes;
        let last = Operand { floats: &self.a.floats[start.min(self.a.floats.len())..], ..self.a };
        assert!(last.fits::<S, M>(self.groups));
        for &(d, out) in self.columns {
            assert!(d < self.d_stride && out < self.out_stride);
        }
        let tiles = (self.steps - 1) * self.d_step + self.groups * self.d_stride;
        assert!(self.d.len() / lanes >= tiles * M);
        assert!(self.out.len() / lanes >= self.a.grid.vectors * lanes * self.out_stride);
    }

    #[inline(always)]
    fn panel<S: Simd, const N: usize>(&mut self, simd: S, column: usize) {
        for v in 0..self.a.grid.vectors {
            let mut k = 0;
            while k < S::F32_LANES {
                self.tile::<S, N>(simd, column, v, k);
                k += ROWS;
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const N: usize>(&mut self, simd: S, column: usize, v: usize, k: usize) {
        let Grid { vectors, slots, .. } = self.a.grid;
        let out = S::as_mut_simd_f32s(self.out).0.as_mut_ptr();
        let d = pulp::as_arrays::<M, _>(S::as_simd_f32s(self.d).0).0.as_ptr();
        let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
        // SAFETY: `check` has made sure that the columns of each group of each step lie within `d`, the vectors of each
        // group within `a`, and that `out` has all rows and columns.
        unsafe {
            let out = out.add((v * S::F32_LANES + k) * self.out_stride);
            for r in 0..ROWS {
                for n in 0..N {
                    sums[r][n] = out.add(r * self.out_stride + self.columns[column + n].1).read();
                }
            }
            for step in 0..self.steps {
                let a_tile = step * self.a_step + v * slots + self.a.slots[0];
                let mut a = self.a.floats.as_ptr().add(a_tile * M * S::F32_LANES + k);
                let mut d = d.add(step * self.d_step);
                for _ in 0..self.groups {
                    for m in 0..M {
                        let mut right = [simd.splat_f32s(0.0); N];
                        for n in 0..N {
                            let tile = d.add(self.columns[column + n].0).cast::<S::f32s>();
                            right[n] = tile.add(m).read();
                        }
                        for r in 0..ROWS {
                            let x = simd.splat_f32s(a.add(m * S::F32_LANES + r).read());
                            for n in 0..N {
                                sums[r][n] = simd.mul_add_e_f32s(x, right[n], sums[r][n]);
                            }
                        }
                    }
                    a = a.add(vectors * slots * M * S::F32_LANES);
                    d = d.add(self.d_stride);
                }
            }
            for r in 0..ROWS {
                for n in 0..N {
                    out.add(r * self.out_stride + self.columns[column + n].1).write(sums[r][n]);
                }
            }
        }
    }
}

//! The two products that a time loop is made of, as register tiles over groups: rows times packed weights, and the sum
//! over rows of outer products.
//!
//! A *tile* of memory is the `M` vectors of a slot, of as many sequences or twice as many (see [`grid`](super::grid)); positions are counted in
//! tiles.

use super::buffer::Buffer;
use super::grid::{GROUP, Grid};
use super::packed::{Packed, abreast};
use pulp::{Simd, WithSimd};

/// Rows of the weights that are worked through for all groups before the next: as many as stay in the nearest cache.
const DEPTH: usize = 128;
/// Floats of rows up to which they are read in place. More are copied first into the order in which they are read, since
/// distances that are multiples of a page's size leave most of a cache unused.
const IN_PLACE: usize = 1 << 13;
/// The slots of a copy.
const ALL: [usize; 4] = [0, 1, 2, 3];

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

/// What a product is added to.
#[derive(Clone, Copy)]
pub(super) enum Base<'a> {
    Zeros,
    /// What stands in its place.
    Out,
    /// The vectors in the places of the columns, the same for all rows.
    Vectors(&'a [f32]),
}

/// `out = base + a · weights`.
pub(super) struct Product<'a, const M: usize> {
    pub groups: usize,
    /// Group g, column c is tile `g * out_stride + columns[c]`.
    pub out: &'a mut [f32],
    pub out_stride: usize,
    pub columns: &'a [usize],
    pub base: Base<'a>,
    pub a: Operand<'a>,
    pub weights: &'a Packed,
}

impl<const M: usize> WithSimd for Product<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.check::<S>();
        let Operand { floats, grid, slots } = self.a;
        let lanes = S::F32_LANES;
        let depth = slots.len() * self.weights.width;
        // Without a division, which would take as long as a small product.
        let chunk = if grid.vectors * depth <= DEPTH { grid.vectors } else { (DEPTH / depth).max(1) };
        let copy;
        let rows = if self.groups * grid.vectors * grid.slots * M * lanes <= IN_PLACE {
            Rows {
                floats,
                slots,
                of_vector: grid.slots,
                of_group: grid.vectors * grid.slots,
                chunk,
                groups: 1,
            }
        } else {
            copy = self.copy::<S>(chunk);
            let slots = &ALL[..slots.len()];
            Rows {
                floats: &copy,
                slots,
                of_vector: slots.len(),
                of_group: chunk * slots.len(),
                chunk,
                groups: self.groups,
            }
        };
        match grid.shared {
            1 => self.panels::<S, 1>(simd, &rows),
            _ => self.panels::<S, 2>(simd, &rows),
        }
    }
}

/// Where a product finds its rows: in place, or in a copy that is in the order in which they are read.
struct Rows<'a> {
    floats: &'a [f32],
    slots: &'a [usize],
    /// Tiles from a vector to the next, and from a group to the next.
    of_vector: usize,
    of_group: usize,
    /// Vectors that are worked through before the next panel; each such chunk of a copy has the groups one after another.
    chunk: usize,
    groups: usize,
}

impl<const M: usize> Product<'_, M> {
    /// Makes sure that the tiles stay within the slices: they read and write without looking.
    #[inline(always)]
    fn check<S: Simd>(&self) {
        let Packed { len, width, segments, columns, ref floats } = *self.weights;
        assert!(self.columns.len() == columns && self.a.slots.len() == segments);
        let Grid { vectors, shared, .. } = self.a.grid;
        assert!(shared <= 2 && width * shared == S::F32_LANES);
        assert!((vectors - 1) * width < len && len <= vectors * width);
        assert!(floats.len() >= vectors * width * segments * columns * S::F32_LANES);
        assert!(self.a.fits::<S, M>(self.groups));
        for &column in self.columns {
            assert!(column < self.out_stride);
        }
        assert!(self.out.len() / S::F32_LANES >= self.groups * self.out_stride * M);
        if let Base::Vectors(floats) = self.base {
            assert!(floats.len() / S::F32_LANES >= self.out_stride);
        }
    }

    /// The rows, chunk by chunk and in each chunk group by group; the last chunk is as long as the others.
    #[inline(always)]
    fn copy<S: Simd>(&self, chunk: usize) -> Buffer {
        let Operand { floats, grid, slots } = self.a;
        let from = pulp::as_arrays::<M, _>(S::as_simd_f32s(floats).0).0;
        let stride = chunk * slots.len();
        let tiles = grid.vectors.div_ceil(chunk) * self.groups * stride;
        let mut copy = Buffer::new(tiles * M * S::F32_LANES);
        let into = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(&mut copy).0).0;
        for group in 0..self.groups {
            for v in 0..grid.vectors {
                let from = &from[(group * grid.vectors + v) * grid.slots..][..grid.slots];
                let at = (v / chunk * self.groups + group) * stride + v % chunk * slots.len();
                for (into, &slot) in into[at..].iter_mut().zip(slots) {
                    *into = from[slot];
                }
            }
        }
        copy
    }

    /// All columns; `P` sequences share a vector.
    #[inline(always)]
    fn panels<S: Simd, const P: usize>(&mut self, simd: S, rows: &Rows<'_>) {
        let columns = self.weights.columns;
        let mut column = 0;
        while column < columns {
            match (columns - column).min(abreast(S::F32_LANES)) {
                4 => self.panel::<S, 4, P>(simd, column, rows),
                3 => self.panel::<S, 3, P>(simd, column, rows),
                2 => self.panel::<S, 2, P>(simd, column, rows),
                _ => self.panel::<S, 1, P>(simd, column, rows),
            }
            column += abreast(S::F32_LANES);
        }
    }

    #[inline(always)]
    fn panel<S: Simd, const N: usize, const P: usize>(&mut self, simd: S, column: usize, rows: &Rows<'_>) {
        let vectors = self.a.grid.vectors;
        let slots = rows.slots;
        let width = S::F32_LANES / P;
        let tail = self.weights.len - (vectors - 1) * width;
        let tile = M * S::F32_LANES;
        let depth = slots.len() * width;
        let mut at = [0; N];
        at.copy_from_slice(&self.columns[column..column + N]);
        // SAFETY: `check` has made sure that the columns of each group lie within `out`, the slots of each group's
        // vectors within `a`, of which `rows` is a copy if it is not `a` itself, that the weights have a panel for these
        // columns, with a row for each feature of each segment, and that the base has a vector for each column.
        unsafe {
            let panel = S::as_simd_f32s(&self.weights.floats).0.as_ptr().add(column * vectors * depth);
            let panel = panel.cast::<[S::f32s; N]>();
            let out = self.out.as_mut_ptr().cast::<[S::f32s; M]>();
            let mut first = 0;
            while first < vectors {
                let last = (first + rows.chunk).min(vectors);
                let mut out = out;
                let mut a = rows.floats.as_ptr().add(first * rows.groups * rows.of_vector * tile);
                for _ in 0..self.groups {
                    let mut sums = [[simd.splat_f32s(0.0); M]; N];
                    // Where a few columns of a few rows make too few sums, every other feature goes to a second set.
                    let mut others = sums;
                    match self.base {
                        Base::Zeros if first == 0 => {}
                        Base::Vectors(floats) if first == 0 => {
                            let vectors = floats.as_ptr().cast::<S::f32s>();
                            for n in 0..N {
                                sums[n] = [vectors.add(at[n]).read_unaligned(); M];
                            }
                        }
                        _ => {
                            for n in 0..N {
                                sums[n] = out.add(at[n]).read();
                            }
                        }
                    }
                    let mut weights = panel.add(first * depth);
                    for v in first..last {
                        let a = a.add((v - first) * rows.of_vector * tile);
                        for s in 0..slots.len() {
                            let a = a.add(*slots.get_unchecked(s) * tile);
                            if v + 1 == vectors && tail < width {
                                for k in 0..tail {
                                    rank_one::<S, M, N, P>(simd, &mut sums, a.add(k * P), weights.add(k));
                                }
                            } else {
                                let mut k = 0;
                                while k < width {
                                    for k in k..k + 4 {
                                        let sums = if N * M <= GROUP && k % 2 == 1 {
                                            &mut others
                                        } else {
                                            &mut sums
                                        };
                                        rank_one::<S, M, N, P>(simd, sums, a.add(k * P), weights.add(k));
                                    }
                                    k += 4;
                                }
                            }
                            weights = weights.add(width);
                        }
                    }
                    if N * M <= GROUP {
                        for n in 0..N {
                            for m in 0..M {
                                sums[n][m] = simd.add_f32s(sums[n][m], others[n][m]);
                            }
                        }
                    }
                    for n in 0..N {
                        out.add(at[n]).write(sums[n]);
                    }
                    out = out.wrapping_add(self.out_stride);
                    a = a.wrapping_add(rows.of_group * tile);
                }
                first = last;
            }
        }
    }
}

/// A vector that holds the `P` floats at `x` over and over: one for each sequence that shares it.
///
/// # Safety
/// There are so many floats.
#[inline(always)]
unsafe fn splat<S: Simd, const P: usize>(simd: S, x: *const f32) -> S::f32s {
    // SAFETY: the caller's promise; any bits are floats.
    unsafe {
        match P {
            1 => simd.splat_f32s(x.read()),
            _ => pulp::cast(simd.splat_u64s(x.cast::<u64>().read_unaligned())),
        }
    }
}

/// Adds a feature's share of each row and column.
///
/// # Safety
/// `a` is at a feature of a tile's first vector, and `weights` at a row.
#[inline(always)]
unsafe fn rank_one<S: Simd, const M: usize, const N: usize, const P: usize>(
    simd: S,
    sums: &mut [[S::f32s; M]; N],
    a: *const f32,
    weights: *const [S::f32s; N],
) {
    // SAFETY: the float stands in each of the tile's vectors.
    unsafe {
        let row = weights.read();
        for m in 0..M {
            let x = splat::<S, P>(simd, a.add(m * S::F32_LANES));
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
    /// Laid out as [`Packed`]: whole vectors of rows. Sequences that share a vector have sums of their own.
    pub out: &'a mut [f32],
    /// One segment. A step is so many tiles long.
    pub a: Operand<'a>,
    pub a_step: usize,
    /// Group g of step s, column c is tile `s * d_step + g * d_stride + columns[c]`.
    pub d: &'a [f32],
    pub d_stride: usize,
    pub d_step: usize,
    pub columns: &'a [usize],
}

/// Rows of a tile of sums.
pub(super) const ROWS: usize = 4;

impl<const M: usize> WithSimd for Outer<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.groups == 0 || self.steps == 0 {
            return;
        }
        self.check::<S>();
        let Operand { floats, grid: Grid { vectors, slots, .. }, slots: slot } = self.a;
        let (tile, tiles) = (M * S::F32_LANES, self.steps * self.groups);
        let (copy, mut d_copy);
        let (a, d_copy) = if tiles * vectors * tile <= IN_PLACE {
            let floats = &floats[slot[0] * tile..];
            (Walk { floats, of_vector: slots, of_group: vectors * slots, of_step: self.a_step }, None)
        } else {
            copy = self.copy::<S>();
            d_copy = Buffer::new(tiles * abreast(S::F32_LANES) * tile);
            let walk = Walk { floats: &copy, of_vector: tiles, of_group: 1, of_step: self.groups };
            (walk, Some(&mut *d_copy))
        };
        match self.a.grid.shared {
            1 => self.panels::<S, 1>(simd, a, d_copy),
            _ => self.panels::<S, 2>(simd, a, d_copy),
        }
    }
}

/// Tiles of rows, of each step the groups, and how many tiles it is from one to the next.
#[derive(Clone, Copy)]
struct Walk<'a> {
    floats: &'a [f32],
    of_vector: usize,
    of_group: usize,
    of_step: usize,
}

impl<const M: usize> Outer<'_, M> {
    /// Makes sure that the tiles stay within the slices: they read and write without looking.
    #[inline(always)]
    fn check<S: Simd>(&self) {
        let lanes = S::F32_LANES;
        let width = lanes >> (self.a.grid.shared - 1);
        assert!(self.a.grid.shared <= 2 && width.is_multiple_of(ROWS) && self.a.slots.len() == 1);
        let start = (self.steps - 1) * self.a_step * M * lanes;
        let last = Operand { floats: &self.a.floats[start.min(self.a.floats.len())..], ..self.a };
        assert!(last.fits::<S, M>(self.groups));
        for &column in self.columns {
            assert!(column < self.d_stride);
        }
        let tiles = (self.steps - 1) * self.d_step + self.groups * self.d_stride;
        assert!(self.d.len() / lanes >= tiles * M);
        assert!(self.out.len() / lanes >= self.a.grid.vectors * width * self.columns.len());
    }

    /// The rows: of each vector the steps, of each step the groups.
    #[inline(always)]
    fn copy<S: Simd>(&self) -> Buffer {
        let Operand { floats, grid: Grid { vectors, slots, .. }, slots: slot } = self.a;
        let from = pulp::as_arrays::<M, _>(S::as_simd_f32s(floats).0).0;
        let mut copy = Buffer::new(vectors * self.steps * self.groups * M * S::F32_LANES);
        let into = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(&mut copy).0).0;
        let mut into = into.iter_mut();
        for v in 0..vectors {
            for step in 0..self.steps {
                for group in 0..self.groups {
                    let at = step * self.a_step + (group * vectors + v) * slots + slot[0];
                    if let Some(into) = into.next() {
                        *into = from[at];
                    }
                }
            }
        }
        copy
    }

    /// All columns; `P` sequences share a vector.
    #[inline(always)]
    fn panels<S: Simd, const P: usize>(&mut self, simd: S, a: Walk<'_>, mut d_copy: Option<&mut [f32]>) {
        let columns = self.columns.len();
        let mut column = 0;
        while column < columns {
            let d_copy = d_copy.as_deref_mut();
            match (columns - column).min(abreast(S::F32_LANES)) {
                4 => self.panel::<S, 4, P>(simd, column, a, d_copy),
                3 => self.panel::<S, 3, P>(simd, column, a, d_copy),
                2 => self.panel::<S, 2, P>(simd, column, a, d_copy),
                _ => self.panel::<S, 1, P>(simd, column, a, d_copy),
            }
            column += abreast(S::F32_LANES);
        }
    }

    #[inline(always)]
    fn panel<S: Simd, const N: usize, const P: usize>(
        &mut self,
        simd: S,
        column: usize,
        a: Walk<'_>,
        d_copy: Option<&mut [f32]>,
    ) {
        let mut columns = [0; N];
        columns.copy_from_slice(&self.columns[column..column + N]);
        let d = match d_copy {
            None => Walk { floats: self.d, of_vector: 0, of_group: self.d_stride, of_step: self.d_step },
            Some(copy) => {
                let from = pulp::as_arrays::<M, _>(S::as_simd_f32s(self.d).0).0;
                let mut into = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(copy).0).0.iter_mut();
                for step in 0..self.steps {
                    for group in 0..self.groups {
                        let from = &from[step * self.d_step + group * self.d_stride..];
                        for (&column, into) in columns.iter().zip(&mut into) {
                            *into = from[column];
                        }
                    }
                }
                columns = std::array::from_fn(|n| n);
                Walk { floats: copy, of_vector: 0, of_group: N, of_step: N * self.groups }
            }
        };
        for v in 0..self.a.grid.vectors {
            let mut k = 0;
            while k < S::F32_LANES / P {
                self.tile::<S, N, P>(simd, column, (v, k), a, d, columns);
                k += ROWS;
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const N: usize, const P: usize>(
        &mut self,
        simd: S,
        column: usize,
        (v, k): (usize, usize),
        a: Walk<'_>,
        d: Walk<'_>,
        columns: [usize; N],
    ) {
        let tile = M * S::F32_LANES;
        let width = S::F32_LANES / P;
        let rows = self.a.grid.vectors * width;
        let out = S::as_mut_simd_f32s(self.out).0.as_mut_ptr();
        // SAFETY: `check` has made sure that the columns of each group of each step lie within `d`, the vectors of each
        // group within `a`, of which the walks are copies if they are not those themselves, and that `out` has a panel
        // for these columns.
        unsafe {
            let out = out.add(column * rows).cast::<[S::f32s; N]>().add(v * width + k);
            let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
            for r in 0..ROWS {
                sums[r] = out.add(r).read();
            }
            for step in 0..self.steps {
                let mut x = a.floats.as_ptr().add((v * a.of_vector + step * a.of_step) * tile + k * P);
                let mut y = d.floats.as_ptr().add(step * d.of_step * tile);
                for _ in 0..self.groups {
                    for m in 0..M {
                        let mut right = [simd.splat_f32s(0.0); N];
                        for n in 0..N {
                            right[n] = y.add(columns[n] * tile).cast::<S::f32s>().add(m).read();
                        }
                        for r in 0..ROWS {
                            let x = splat::<S, P>(simd, x.add(m * S::F32_LANES + r * P));
                            for n in 0..N {
                                sums[r][n] = simd.mul_add_e_f32s(x, right[n], sums[r][n]);
                            }
                        }
                    }
                    x = x.wrapping_add(a.of_group * tile);
                    y = y.wrapping_add(d.of_group * tile);
                }
            }
            for r in 0..ROWS {
                out.add(r).write(sums[r]);
            }
        }
    }
}

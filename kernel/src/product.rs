//! Rows times packed weights: sums of a few columns for a group at a time, which stay in registers.
//!
//! Positions are counted in tiles, the `M` vectors of a slot (see [`grid`](crate::grid)).

use crate::buffer::Buffer;
use crate::grid::{GROUP, Grid, Operand, may_share};
use crate::packed::{Packed, abreast};
use pulp::{Simd, WithSimd};

/// Rows of the weights that are worked through for all groups before the next: as many as stay in the nearest cache.
const DEPTH: usize = 128;
/// Floats of rows up to which they are read in place. More are copied first into the order in which they are read, since
/// distances that are multiples of a page's size leave most of a cache unused.
pub(crate) const IN_PLACE: usize = 1 << 13;
/// The slots of a copy.
const ALL: [usize; 4] = [0, 1, 2, 3];

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Base<'a> {
    Zeros,
    /// What stands in its place.
    Out,
    /// The vectors in the places of the columns, the same for all rows.
    Vectors(&'a [f32]),
}

/// `out = base + a · weights`.
pub(crate) struct Product<'a, const M: usize> {
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
            2 if const { may_share(S::F32_LANES, M) } => self.panels::<S, 2>(simd, &rows),
            _ => self.panels::<S, 1>(simd, &rows),
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
        assert!(shared == 1 || shared == 2 && may_share(S::F32_LANES, M));
        assert!(width * shared == S::F32_LANES);
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
                4 if const { abreast(S::F32_LANES) == 4 } => self.panel::<S, 4, P>(simd, column, rows),
                3 if const { abreast(S::F32_LANES) == 4 } => self.panel::<S, 3, P>(simd, column, rows),
                2 => self.panel::<S, 2, P>(simd, column, rows),
                _ => self.panel::<S, 1, P>(simd, column, rows),
            }
            column += abreast(S::F32_LANES);
        }
    }

    /// A few columns side by side.
    #[inline(always)]
    fn panel<S: Simd, const N: usize, const P: usize>(&mut self, simd: S, column: usize, rows: &Rows<'_>) {
        let vectors = self.a.grid.vectors;
        let depth = rows.slots.len() * (S::F32_LANES / P);
        let tile = M * S::F32_LANES;
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
                    let mut sums = self.sums_so_far::<S, N>(simd, first, out, at);
                    let weights = panel.add(first * depth);
                    self.add_vectors::<S, N, P>(simd, (first, last), rows, a, weights, &mut sums);
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

    /// What the products of the vectors from `first` on are added to: the base, or what those before have made of it.
    ///
    /// # Safety
    /// `out` is at a group's first tile, which has the tiles `at`, as the base has vectors there.
    #[inline(always)]
    unsafe fn sums_so_far<S: Simd, const N: usize>(
        &self,
        simd: S,
        first: usize,
        out: *const [S::f32s; M],
        at: [usize; N],
    ) -> [[S::f32s; M]; N] {
        let mut sums = [[simd.splat_f32s(0.0); M]; N];
        // SAFETY: the caller's promise.
        unsafe {
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
        }
        sums
    }

    /// Adds a group's products for the vectors from `first` to `last`.
    ///
    /// # Safety
    /// `a` is at the group's vector `first`, and `weights` at the panel's row for it.
    #[inline(always)]
    unsafe fn add_vectors<S: Simd, const N: usize, const P: usize>(
        &self,
        simd: S,
        (first, last): (usize, usize),
        rows: &Rows<'_>,
        a: *const f32,
        mut weights: *const [S::f32s; N],
        sums: &mut [[S::f32s; M]; N],
    ) {
        let (vectors, width) = (self.a.grid.vectors, S::F32_LANES / P);
        let tail = self.weights.len - (vectors - 1) * width;
        let tile = M * S::F32_LANES;
        // Where a few columns of a few rows make too few sums, every other feature goes to a second set.
        let mut others = [[simd.splat_f32s(0.0); M]; N];
        // SAFETY: the caller's promise: each vector has the slots of `rows`, and the panel a row for each feature.
        unsafe {
            for v in first..last {
                let a = a.add((v - first) * rows.of_vector * tile);
                for s in 0..rows.slots.len() {
                    let a = a.add(*rows.slots.get_unchecked(s) * tile);
                    if v + 1 == vectors && tail < width {
                        for k in 0..tail {
                            rank_one::<S, M, N, P>(simd, sums, a.add(k * P), weights.add(k));
                        }
                    } else {
                        let mut k = 0;
                        while k < width {
                            for k in k..k + 4 {
                                let sums =
                                    if N * M <= GROUP && k % 2 == 1 { &mut others } else { &mut *sums };
                                rank_one::<S, M, N, P>(simd, sums, a.add(k * P), weights.add(k));
                            }
                            k += 4;
                        }
                    }
                    weights = weights.add(width);
                }
            }
        }
        if N * M <= GROUP {
            for n in 0..N {
                for m in 0..M {
                    sums[n][m] = simd.add_f32s(sums[n][m], others[n][m]);
                }
            }
        }
    }
}

/// A vector that holds the `P` floats at `x` over and over: one for each sequence that shares it.
///
/// # Safety
/// There are so many floats.
#[inline(always)]
pub(crate) unsafe fn splat<S: Simd, const P: usize>(simd: S, x: *const f32) -> S::f32s {
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

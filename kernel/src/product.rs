//! Rows times packed weights: sums of a few columns for a group at a time, which stay in registers.
//!
//! Positions are counted in tiles, the `M` vectors of a slot (see [`grid`](crate::grid)).

use crate::buffer::Buffer;
use crate::grid::{Grid, Operand, may_share};
use crate::packed::{BLOCK, Packed, abreast};
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
        // Whole blocks. Small products go without a division, which would take as long as they do.
        let chunk = match grid.vectors * depth <= DEPTH {
            true => grid.vectors,
            false => {
                let of_block = BLOCK / self.weights.width;
                (DEPTH / depth / of_block).max(1) * of_block
            }
        };
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
    ///
    /// A sum takes its products in the order of the rows, whatever stands beside it. So that a processor has as many
    /// multiplications in flight as it can, small tiles go several at a time: of two groups (`G`), or of a group that is
    /// alone a few panels (`Q`).
    #[inline(always)]
    fn panels<S: Simd, const P: usize>(&mut self, simd: S, rows: &Rows<'_>) {
        let columns = self.weights.columns;
        let abreast = abreast(S::F32_LANES);
        let mut column = 0;
        if M == 1 && self.groups == 1 {
            while columns - column >= 2 * abreast {
                if const { abreast_of::<S>() == 4 } {
                    self.panel::<S, 4, P, 1, 2>(simd, column, rows);
                    column += 2 * abreast;
                } else if columns - column >= 4 * abreast {
                    self.panel::<S, 2, P, 1, 4>(simd, column, rows);
                    column += 4 * abreast;
                } else {
                    self.panel::<S, 2, P, 1, 2>(simd, column, rows);
                    column += 2 * abreast;
                }
            }
        }
        while column < columns {
            match (columns - column).min(abreast) {
                4 if const { abreast_of::<S>() == 4 } => self.panel::<S, 4, P, 1, 1>(simd, column, rows),
                3 if const { abreast_of::<S>() == 4 } => self.panel::<S, 3, P, 1, 1>(simd, column, rows),
                2 => self.panel::<S, 2, P, 1, 1>(simd, column, rows),
                _ => self.panel::<S, 1, P, 2, 1>(simd, column, rows),
            }
            column += abreast;
        }
    }

    /// A few columns side by side, or of `Q` panels; two groups at a time where `G` is 2.
    #[inline(always)]
    fn panel<S: Simd, const N: usize, const P: usize, const G: usize, const Q: usize>(
        &mut self,
        simd: S,
        column: usize,
        rows: &Rows<'_>,
    ) {
        let vectors = self.a.grid.vectors;
        let tile = M * S::F32_LANES;
        let mut first = 0;
        while first < vectors {
            let part = (first, (first + rows.chunk).min(vectors));
            // SAFETY: `check` has made sure of the slots of each group's vectors, of which `rows` is a copy if it is not
            // `a` itself; the loop ends with the groups, and `panels` has as many columns left.
            unsafe {
                let mut a = rows.floats.as_ptr().add(first * rows.groups * rows.of_vector * tile);
                let mut group = 0;
                while group < self.groups {
                    if G == 2 && group + 1 < self.groups {
                        self.tile::<S, N, P, 2, Q>(simd, column, group, part, rows, a);
                        group += 2;
                        a = a.wrapping_add(2 * rows.of_group * tile);
                    } else {
                        self.tile::<S, N, P, 1, Q>(simd, column, group, part, rows, a);
                        group += 1;
                        a = a.wrapping_add(rows.of_group * tile);
                    }
                }
            }
            first = part.1;
        }
    }

    /// The columns of a panel, or of `Q`, for the groups from `group` on, `G` of them: adds the products of the vectors
    /// from `first` to `last`.
    ///
    /// # Safety
    /// The groups are there, `Q` panels of `N` columns from `column` on too, and the rows of the first group's vector `first`
    /// stand at `a`.
    #[inline(always)]
    unsafe fn tile<S: Simd, const N: usize, const P: usize, const G: usize, const Q: usize>(
        &mut self,
        simd: S,
        column: usize,
        group: usize,
        (first, last): (usize, usize),
        rows: &Rows<'_>,
        a: *const f32,
    ) {
        let vectors = self.a.grid.vectors;
        let depth = rows.slots.len() * (S::F32_LANES / P);
        let mut at = [[0; N]; Q];
        for q in 0..Q {
            for n in 0..N {
                at[q][n] = self.columns[column + q * N + n];
            }
        }
        let mut sums = [[[[simd.splat_f32s(0.0); M]; N]; Q]; G];
        // SAFETY: `check` has made sure that the columns of each group lie within `out`, that the weights have a panel for
        // these columns, with a row for each feature of each segment, and that the base has a vector for each column; the
        // caller, that the groups are there.
        unsafe {
            let out = self.out.as_mut_ptr().cast::<[S::f32s; M]>().add(group * self.out_stride);
            let mut weights = [std::ptr::null(); Q];
            for q in 0..Q {
                let panel = S::as_simd_f32s(&self.weights.floats).0.as_ptr();
                let panel = panel.add((column + q * N) * vectors * depth).cast::<[S::f32s; N]>();
                weights[q] = panel.add(first * depth);
            }
            for g in 0..G {
                for q in 0..Q {
                    let out = out.add(g * self.out_stride);
                    sums[g][q] = self.sums_so_far::<S, N>(simd, first, out, at[q]);
                }
            }
            self.add_vectors::<S, N, P, G, Q>(simd, (first, last), rows, a, weights, &mut sums);
            for g in 0..G {
                for q in 0..Q {
                    for n in 0..N {
                        out.add(g * self.out_stride + at[q][n]).write(sums[g][q][n]);
                    }
                }
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

    /// Adds the products of `G` groups with `Q` panels for the vectors from `first` to `last`: of each [`BLOCK`] of features
    /// segment by segment, the order that [`Packed`] has.
    ///
    /// # Safety
    /// `a` is at the first group's vector `first`, and each of the `weights` at a panel's row for it.
    #[inline(always)]
    unsafe fn add_vectors<S: Simd, const N: usize, const P: usize, const G: usize, const Q: usize>(
        &self,
        simd: S,
        (first, last): (usize, usize),
        rows: &Rows<'_>,
        a: *const f32,
        mut weights: [*const [S::f32s; N]; Q],
        sums: &mut [[[[S::f32s; M]; N]; Q]; G],
    ) {
        let (vectors, width) = (self.a.grid.vectors, S::F32_LANES / P);
        let of_block = BLOCK / width;
        let tail = self.weights.len - (vectors - 1) * width;
        let tile = M * S::F32_LANES;
        let of_group = rows.of_group * tile;
        // SAFETY: the caller's promise: each vector has the slots of `rows`, and the panel a row for each feature.
        unsafe {
            let mut block = first;
            while block < last {
                let end = if of_block == 1 { block + 1 } else { (block + of_block).min(last) };
                let a = a.add((block - first) * rows.of_vector * tile);
                for s in 0..rows.slots.len() {
                    let mut a = a.add(*rows.slots.get_unchecked(s) * tile);
                    let mut v = block;
                    loop {
                        let len = if v + 1 == vectors { tail } else { width };
                        if len == width {
                            let mut k = 0;
                            while k < width {
                                for k in k..k + 4 {
                                    rank_one::<S, M, N, P, G, Q>(
                                        simd,
                                        sums,
                                        a.add(k * P),
                                        of_group,
                                        weights,
                                        k,
                                    );
                                }
                                k += 4;
                            }
                        } else {
                            for k in 0..len {
                                rank_one::<S, M, N, P, G, Q>(simd, sums, a.add(k * P), of_group, weights, k);
                            }
                        }
                        for q in 0..Q {
                            weights[q] = weights[q].add(width);
                        }
                        v += 1;
                        if v == end {
                            break;
                        }
                        a = a.wrapping_add(rows.of_vector * tile);
                    }
                }
                block = end;
            }
        }
    }
}

/// [`abreast`] as a constant.
const fn abreast_of<S: Simd>() -> usize {
    abreast(S::F32_LANES)
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

/// Adds the share of feature `k` to each sum.
///
/// # Safety
/// `a` is at the feature in the first group's first vector, `of_group` floats before that of the next, and each of the
/// `weights` has a row `k`.
#[inline(always)]
unsafe fn rank_one<
    S: Simd,
    const M: usize,
    const N: usize,
    const P: usize,
    const G: usize,
    const Q: usize,
>(
    simd: S,
    sums: &mut [[[[S::f32s; M]; N]; Q]; G],
    a: *const f32,
    of_group: usize,
    weights: [*const [S::f32s; N]; Q],
    k: usize,
) {
    // SAFETY: the float stands in each of the tile's vectors.
    unsafe {
        let mut row = [[simd.splat_f32s(0.0); N]; Q];
        for q in 0..Q {
            row[q] = weights[q].add(k).read();
        }
        for g in 0..G {
            for m in 0..M {
                let x = splat::<S, P>(simd, a.add(g * of_group + m * S::F32_LANES));
                for q in 0..Q {
                    for n in 0..N {
                        sums[g][q][n][m] = simd.mul_add_f32s(x, row[q][n], sums[g][q][n][m]);
                    }
                }
            }
        }
    }
}

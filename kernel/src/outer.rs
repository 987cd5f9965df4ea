//! The sum of outer products, over the rows of a group, the groups of a step and the steps: the gradient of weights.

use crate::buffer::Buffer;
use crate::grid::{GROUP, Grid, Operand, may_share};
use crate::packed::abreast;
use crate::product::{IN_PLACE, splat};
use pulp::{Simd, WithSimd};

/// `out[k][c] += Σ_steps Σ_rows a[k] · d[c]`.
pub(crate) struct Outer<'a, const M: usize> {
    pub groups: usize,
    pub steps: usize,
    /// Laid out as [`Packed`](crate::packed::Packed): whole vectors of rows. Sequences that share a vector have sums of
    /// their own; or those of even number have the first of two such matrices, and those of odd number the second.
    pub out: &'a mut [f32],
    /// Matrices of sums.
    pub parities: usize,
    /// One segment. A step is so many tiles long.
    pub a: Operand<'a>,
    pub a_step: usize,
    /// Group g of step s, column c is tile `s * d_step + g * d_stride + columns[c]`.
    pub d: &'a [f32],
    pub d_stride: usize,
    pub d_step: usize,
    pub columns: &'a [usize],
}

/// Floats of a few columns that stay in the nearest cache beside the rows.
const NEAR: usize = 1 << 13;
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
        let Operand { floats, grid: Grid { vectors, slots, .. }, slots: slot } = self.a;
        let (tile, tiles) = (M * S::F32_LANES, self.steps * self.groups);
        let (copy, mut d_copy);
        let (a, d_copy) = if tiles * vectors * tile <= IN_PLACE {
            let floats = &floats[slot[0] * tile..];
            (Tiles { floats, of_vector: slots, of_group: vectors * slots, of_step: self.a_step }, None)
        } else {
            copy = self.copy::<S>();
            d_copy = Buffer::new(tiles * abreast(S::F32_LANES) * tile);
            let walk = Tiles { floats: &copy, of_vector: tiles, of_group: 1, of_step: self.groups };
            (walk, Some(&mut *d_copy))
        };
        match self.a.grid.shared {
            2 if const { may_share(S::F32_LANES, M) } => self.panels::<S, 2>(simd, a, d_copy),
            _ => self.panels::<S, 1>(simd, a, d_copy),
        }
    }
}

/// Tiles of rows, of each step the groups, and how many tiles it is from one to the next.
#[derive(Clone, Copy)]
struct Tiles<'a> {
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
        let shared = self.a.grid.shared;
        assert!(shared == 1 || shared == 2 && may_share(lanes, M));
        let width = lanes >> (shared - 1);
        assert!(width.is_multiple_of(ROWS) && self.a.slots.len() == 1);
        let start = (self.steps - 1) * self.a_step * M * lanes;
        let last = Operand { floats: &self.a.floats[start.min(self.a.floats.len())..], ..self.a };
        assert!(last.fits::<S, M>(self.groups));
        for &column in self.columns {
            assert!(column < self.d_stride);
        }
        let tiles = (self.steps - 1) * self.d_step + self.groups * self.d_stride;
        assert!(self.d.len() / lanes >= tiles * M);
        assert!(self.parities == 1 || self.parities == 2 && M == GROUP);
        assert!(self.out.len() / lanes >= self.parities * self.a.grid.vectors * width * self.columns.len());
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
    fn panels<S: Simd, const P: usize>(&mut self, simd: S, a: Tiles<'_>, mut d_copy: Option<&mut [f32]>) {
        let columns = self.columns.len();
        let mut column = 0;
        while column < columns {
            let d_copy = d_copy.as_deref_mut();
            match (columns - column).min(abreast(S::F32_LANES)) {
                4 if const { abreast(S::F32_LANES) == 4 } => self.panel::<S, 4, P>(simd, column, a, d_copy),
                3 if const { abreast(S::F32_LANES) == 4 } => self.panel::<S, 3, P>(simd, column, a, d_copy),
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
        a: Tiles<'_>,
        d_copy: Option<&mut [f32]>,
    ) {
        let mut columns = [0; N];
        columns.copy_from_slice(&self.columns[column..column + N]);
        let Some(copy) = d_copy else {
            let d = Tiles { floats: self.d, of_vector: 0, of_group: self.d_stride, of_step: self.d_step };
            return self.sum::<S, N, P>(simd, column, a, d, columns, self.steps);
        };
        // So many steps at a time that their columns stay in the nearest cache.
        let most = (NEAR / (self.groups * N * M * S::F32_LANES)).max(1);
        let mut first = 0;
        while first < self.steps {
            let steps = most.min(self.steps - first);
            let from = pulp::as_arrays::<M, _>(S::as_simd_f32s(self.d).0).0;
            let mut into = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(copy).0).0.iter_mut();
            for step in first..first + steps {
                for group in 0..self.groups {
                    let from = &from[step * self.d_step + group * self.d_stride..];
                    for (&column, into) in columns.iter().zip(&mut into) {
                        *into = from[column];
                    }
                }
            }
            let d = Tiles { floats: copy, of_vector: 0, of_group: N, of_step: N * self.groups };
            let a = Tiles { floats: &a.floats[first * a.of_step * M * S::F32_LANES..], ..a };
            self.sum::<S, N, P>(simd, column, a, d, std::array::from_fn(|n| n), steps);
            first += steps;
        }
    }

    /// Adds some steps to the sums of a few columns.
    #[inline(always)]
    fn sum<S: Simd, const N: usize, const P: usize>(
        &mut self,
        simd: S,
        column: usize,
        a: Tiles<'_>,
        d: Tiles<'_>,
        columns: [usize; N],
        steps: usize,
    ) {
        for v in 0..self.a.grid.vectors {
            let mut k = 0;
            while k < S::F32_LANES / P {
                if M == GROUP && P == 1 && self.parities == 2 {
                    self.tile::<S, N, P, 2>(simd, column, (v, k), a, d, columns, steps, 0);
                    self.tile::<S, N, P, 2>(simd, column, (v, k), a, d, columns, steps, 1);
                } else {
                    self.tile::<S, N, P, 1>(simd, column, (v, k), a, d, columns, steps, 0);
                }
                k += ROWS;
            }
        }
    }

    /// A tile of sums, over every `T`th vector of each group from vector `parity` on.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn tile<S: Simd, const N: usize, const P: usize, const T: usize>(
        &mut self,
        simd: S,
        column: usize,
        (v, k): (usize, usize),
        a: Tiles<'_>,
        d: Tiles<'_>,
        columns: [usize; N],
        steps: usize,
        parity: usize,
    ) {
        let tile = M * S::F32_LANES;
        let width = S::F32_LANES / P;
        let rows = self.a.grid.vectors * width;
        let out = S::as_mut_simd_f32s(self.out).0.as_mut_ptr();
        // SAFETY: `check` has made sure that the columns of each group of each step lie within `d`, the vectors of each
        // group within `a`, of which the walks are copies if they are not those themselves, and that `out` has a panel
        // for these columns.
        unsafe {
            let out = out
                .add((parity * self.columns.len() + column) * rows)
                .cast::<[S::f32s; N]>()
                .add(v * width + k);
            let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
            for r in 0..ROWS {
                sums[r] = out.add(r).read();
            }
            for step in 0..steps {
                let mut x = a.floats.as_ptr().add((v * a.of_vector + step * a.of_step) * tile + k * P);
                let mut y = d.floats.as_ptr().add(step * d.of_step * tile);
                (x, y) = (x.add(parity * S::F32_LANES), y.add(parity * S::F32_LANES));
                for _ in 0..self.groups {
                    for m in 0..M / T {
                        let m = m * T;
                        let mut right = [simd.splat_f32s(0.0); N];
                        for n in 0..N {
                            right[n] = y.add(columns[n] * tile).cast::<S::f32s>().add(m).read();
                        }
                        for r in 0..ROWS {
                            let x = splat::<S, P>(simd, x.add(m * S::F32_LANES + r * P));
                            for n in 0..N {
                                sums[r][n] = simd.mul_add_f32s(x, right[n], sums[r][n]);
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

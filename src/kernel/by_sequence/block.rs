//! The two products that everything is made of: a matrix times a block's vectors, and the outer product of two blocks
//! summed over time and sequences.

use crate::kernel::isa::outline;
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};

/// Columns that a pass of [`project`] keeps in registers.
const TILE: usize = 8;

/// `out[j] += Σ_k a[k] · weights[k][j]`: `weights` is row-major, its rows `width` long, and column 0 of `out` is its
/// column `from`.
#[inline(always)]
pub(super) fn project<S: Simd>(
    simd: S,
    out: &mut [S::f32s],
    a: &[S::f32s],
    weights: &[f32],
    width: usize,
    from: usize,
) {
    outline(simd, Project { out: cast_slice_mut(out), a: cast_slice(a), weights, width, from });
}

/// [`project`] as a function of its own: it is called from many places.
struct Project<'a> {
    out: &'a mut [f32],
    a: &'a [f32],
    weights: &'a [f32],
    width: usize,
    from: usize,
}

impl WithSimd for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, a, weights, width, from } = self;
        project_here(simd, S::as_mut_simd_f32s(out).0, S::as_simd_f32s(a).0, weights, width, from);
    }
}

#[inline(always)]
fn project_here<S: Simd>(
    simd: S,
    out: &mut [S::f32s],
    a: &[S::f32s],
    weights: &[f32],
    width: usize,
    from: usize,
) {
    let (tiles, rest) = pulp::as_arrays_mut::<TILE, _>(out);
    let mut column = from;
    for tile in tiles {
        project_tile(simd, tile, a, weights, width, column);
        column += TILE;
    }
    let (tiles, rest) = pulp::as_arrays_mut::<4, _>(rest);
    for tile in tiles {
        project_tile(simd, tile, a, weights, width, column);
        column += 4;
    }
    for single in rest {
        project_tile(simd, std::array::from_mut(single), a, weights, width, column);
        column += 1;
    }
}

#[inline(always)]
fn project_tile<S: Simd, const N: usize>(
    simd: S,
    out: &mut [S::f32s; N],
    a: &[S::f32s],
    weights: &[f32],
    width: usize,
    column: usize,
) {
    let mut sums = *out;
    for k in 0..a.len() {
        let value = a[k];
        let row = &weights[k * width + column..][..N];
        for j in 0..N {
            sums[j] = simd.mul_add_e_f32s(simd.splat_f32s(row[j]), value, sums[j]);
        }
    }
    *out = sums;
}

/// A matrix of vectors over time: step s starts at `values[s * stride + offset]`.
#[derive(Clone, Copy)]
pub(super) struct Series<'a, V> {
    pub values: &'a [V],
    pub stride: usize,
    pub offset: usize,
    pub len: usize,
}

impl<'a, V: pulp::bytemuck::Pod> Series<'a, V> {
    /// The same, its values as floats; the rest still counts vectors.
    #[inline(always)]
    fn floats(self) -> Series<'a, f32> {
        let Self { values, stride, offset, len } = self;
        Series { values: cast_slice(values), stride, offset, len }
    }
}

impl<'a> Series<'a, f32> {
    #[inline(always)]
    fn vectors<S: Simd>(self) -> Series<'a, S::f32s> {
        let Self { values, stride, offset, len } = self;
        Series { values: S::as_simd_f32s(values).0, stride, offset, len }
    }
}

/// `out[k][j] = Σ_s Σ_lanes factor[k] · a[s][k] · d[s][j]`, `out` row-major with rows `width` long, `j` counted from
/// column `from`. `factor` is constant over time (a dropout mask); none is 1.
#[inline(always)]
pub(super) fn outer<S: Simd>(
    simd: S,
    a: Series<'_, S::f32s>,
    d: Series<'_, S::f32s>,
    factor: Option<&[S::f32s]>,
    out: &mut [f32],
    width: usize,
    from: usize,
) {
    let (a, d) = (a.floats(), d.floats());
    outline(simd, Outer { a, d, factor: factor.map(cast_slice), out, width, from });
}

/// [`outer`] as a function of its own.
struct Outer<'a> {
    a: Series<'a, f32>,
    d: Series<'a, f32>,
    factor: Option<&'a [f32]>,
    out: &'a mut [f32],
    width: usize,
    from: usize,
}

impl WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, d, factor, out, width, from } = self;
        // A closure would leave the function for which the vector instructions are enabled.
        #[allow(clippy::manual_map)]
        let factor = match factor {
            Some(factor) => Some(S::as_simd_f32s(factor).0),
            None => None,
        };
        outer_here(simd, a.vectors::<S>(), d.vectors::<S>(), factor, out, width, from);
    }
}

#[inline(always)]
fn outer_here<S: Simd>(
    simd: S,
    a: Series<'_, S::f32s>,
    d: Series<'_, S::f32s>,
    factor: Option<&[S::f32s]>,
    out: &mut [f32],
    width: usize,
    from: usize,
) {
    const K: usize = 4;
    const J: usize = 4;
    let mut k = 0;
    while k < a.len {
        let rows = K.min(a.len - k);
        let mut j = 0;
        while j < d.len {
            let columns = J.min(d.len - j);
            let sums = if rows == K && columns == J {
                outer_tile::<S, K, J>(simd, a, d, k, j)
            } else {
                let mut sums = [[simd.splat_f32s(0.0); J]; K];
                for r in 0..rows {
                    for c in 0..columns {
                        sums[r][c] = outer_tile::<S, 1, 1>(simd, a, d, k + r, j + c)[0][0];
                    }
                }
                sums
            };
            for r in 0..rows {
                for c in 0..columns {
                    let sum = sums[r][c];
                    let sum = match factor {
                        Some(factor) => simd.mul_f32s(sum, factor[k + r]),
                        None => sum,
                    };
                    out[(k + r) * width + from + j + c] = simd.reduce_sum_f32s(sum);
                }
            }
            j += columns;
        }
        k += rows;
    }
}

#[inline(always)]
fn outer_tile<S: Simd, const K: usize, const J: usize>(
    simd: S,
    a: Series<'_, S::f32s>,
    d: Series<'_, S::f32s>,
    k: usize,
    j: usize,
) -> [[S::f32s; J]; K] {
    let mut sums = [[simd.splat_f32s(0.0); J]; K];
    for step in 0..a.values.len() / a.stride {
        let left = &a.values[step * a.stride + a.offset + k..][..K];
        let right = &d.values[step * d.stride + d.offset + j..][..J];
        for r in 0..K {
            for c in 0..J {
                sums[r][c] = simd.mul_add_e_f32s(left[r], right[c], sums[r][c]);
            }
        }
    }
    sums
}

/// `out[j] = Σ_s Σ_lanes d[s][j]`.
#[inline(always)]
pub(super) fn column_sums<S: Simd>(simd: S, d: Series<'_, S::f32s>, out: &mut [f32]) {
    for j in 0..d.len {
        let mut sum = simd.splat_f32s(0.0);
        for step in 0..d.values.len() / d.stride {
            sum = simd.add_f32s(sum, d.values[step * d.stride + d.offset + j]);
        }
        out[j] = simd.reduce_sum_f32s(sum);
    }
}

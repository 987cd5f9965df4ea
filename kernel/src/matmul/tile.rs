//! A tile of sums in registers: a few rows, a few vectors of columns.

use pulp::Simd;

/// Floats of the widest vector.
pub(super) const MOST_LANES: usize = 16;

/// The sums of a tile.
pub(super) type Sums<S, const M: usize, const V: usize> = [[<S as Simd>::f32s; V]; M];

#[inline(always)]
pub(super) fn zeros<S: Simd, const M: usize, const V: usize>(simd: S) -> Sums<S, M, V> {
    [[simd.splat_f32s(0.0); V]; M]
}

/// `sums[m][v] += Σ a[m][k] · b[k][v]`, `k` after `k`.
///
/// # Safety
/// Each of `a` has `len` floats, and `b` so many rows of `V` vectors, `step` floats from one to the next.
#[inline(always)]
pub(super) unsafe fn add_products<S: Simd, const M: usize, const V: usize>(
    simd: S,
    a: [*const f32; M],
    mut b: *const f32,
    step: usize,
    len: usize,
    sums: &mut Sums<S, M, V>,
) {
    for k in 0..len {
        // SAFETY: the caller's promise.
        unsafe {
            let row = vectors::<S, V>(simd, b);
            for m in 0..M {
                add_row::<S, V>(simd, a[m].add(k).read(), row, &mut sums[m]);
            }
        }
        b = b.wrapping_add(step);
    }
}

#[inline(always)]
pub(super) fn add_row<S: Simd, const V: usize>(simd: S, x: f32, row: [S::f32s; V], sums: &mut [S::f32s; V]) {
    let x = simd.splat_f32s(x);
    for v in 0..V {
        sums[v] = simd.mul_add_f32s(x, row[v], sums[v]);
    }
}

/// `V` vectors side by side.
///
/// # Safety
/// There are so many floats at `from`.
#[inline(always)]
pub(super) unsafe fn vectors<S: Simd, const V: usize>(simd: S, from: *const f32) -> [S::f32s; V] {
    let mut row = [simd.splat_f32s(0.0); V];
    for v in 0..V {
        // SAFETY: the caller's promise.
        row[v] = unsafe { from.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
    }
    row
}

/// The same of `count` floats, and zeros after them.
///
/// # Safety
/// There are so many floats at `from`.
#[inline(always)]
pub(crate) unsafe fn some<S: Simd, const V: usize>(simd: S, from: *const f32, count: usize) -> [S::f32s; V] {
    // SAFETY: the caller's promise; the spare floats are as many as the widest vector has.
    unsafe {
        if count >= V * S::F32_LANES {
            return vectors::<S, V>(simd, from);
        }
        let mut row = [simd.splat_f32s(0.0); V];
        for v in 0..V {
            let left = count.saturating_sub(v * S::F32_LANES).min(S::F32_LANES);
            let from = from.wrapping_add(v * S::F32_LANES);
            row[v] = if left == S::F32_LANES {
                from.cast::<S::f32s>().read_unaligned()
            } else {
                let mut spare = [0.0f32; MOST_LANES];
                for i in 0..left {
                    spare[i] = from.add(i).read();
                }
                spare.as_ptr().cast::<S::f32s>().read_unaligned()
            };
        }
        row
    }
}

/// Writes the first `count` floats of a row of sums.
///
/// # Safety
/// There is room for so many floats at `into`.
#[inline(always)]
pub(crate) unsafe fn write<S: Simd, const V: usize>(row: [S::f32s; V], into: *mut f32, count: usize) {
    for v in 0..V {
        let left = count.saturating_sub(v * S::F32_LANES);
        let into = into.wrapping_add(v * S::F32_LANES);
        // SAFETY: the caller's promise; the spare floats are as many as the widest vector has.
        unsafe {
            if left >= S::F32_LANES {
                into.cast::<S::f32s>().write_unaligned(row[v]);
            } else {
                let mut spare = [0.0f32; MOST_LANES];
                spare.as_mut_ptr().cast::<S::f32s>().write_unaligned(row[v]);
                for i in 0..left {
                    into.add(i).write(spare[i]);
                }
            }
        }
    }
}

//! How gradients come together: the shares of blocks, in the order of the blocks, and those of tokens, by row of the
//! table that the tokens were read from.

use crate::buffer::Buffer;
use crate::grid::deinterleave;
use crate::layer::Rows;
use pulp::Simd;
use rayon::prelude::*;

/// The sum of all, in their order, whichever thread was first.
pub(crate) fn sum_in_order(mut partial: Vec<Buffer>) -> Buffer {
    let rest = partial.split_off(1);
    let mut total = partial.remove(0);
    const CHUNK: usize = 1 << 12;
    let add = |(index, sums): (usize, &mut [f32])| {
        for part in &rest {
            for (sum, &value) in sums.iter_mut().zip(&part[index * CHUNK..]) {
                *sum += value;
            }
        }
    };
    if total.len() > 2 * CHUNK {
        total.par_chunks_mut(CHUNK).enumerate().for_each(add);
    } else {
        total.chunks_mut(CHUNK).enumerate().for_each(add);
    }
    total
}

/// The gradient of a table of `rows`, from those of the looked-up rows, (B·T, F): each added to its row, in order.
pub fn scatter(rows: &Rows<'_>, features: usize, gradients: &[f32]) -> Vec<f32> {
    let len = rows.vocabulary * features;
    let mut sums = vec![0.0; if rows.squares { 2 * len } else { len }];
    let (table, squares) = sums.split_at_mut(len);
    for (&id, row) in rows.ids.iter().zip(gradients.chunks_exact(features)) {
        let at = id as usize * features;
        for (sum, &d) in table[at..at + features].iter_mut().zip(row) {
            *sum += d;
        }
        if let Some(squares) = squares.get_mut(at..at + features) {
            for (sum, &d) in squares.iter_mut().zip(row) {
                *sum += d * d;
            }
        }
    }
    sums
}

/// The sums of two rows of a table, `len` for each.
#[inline(always)]
pub(crate) fn two_rows(table: &mut [f32], rows: [usize; 2], len: usize) -> [*mut f32; 2] {
    assert!((rows[0].max(rows[1]) + 1) * len <= table.len());
    let table = table.as_mut_ptr();
    [table.wrapping_add(rows[0] * len), table.wrapping_add(rows[1] * len)]
}

/// Adds the floats of a vector to `sums`, those of each of the sequences that share it at a place of its own; returns the
/// sums that come next.
///
/// # Safety
/// As many sums as a vector has floats of a sequence stand at each; at the second only if two share it. They may be the
/// same.
#[inline(always)]
pub(crate) unsafe fn add_vector<S: Simd>(
    simd: S,
    shared: usize,
    d: S::f32s,
    sums: [*mut f32; 2],
) -> [*mut f32; 2] {
    // SAFETY: the caller's promise; half a vector is written to each of the halves.
    unsafe {
        if shared == 1 {
            let at = sums[0].cast::<S::f32s>();
            at.write_unaligned(simd.add_f32s(at.read_unaligned(), d));
            return sums.map(|sum| sum.wrapping_add(S::F32_LANES));
        }
        let mut halves = [simd.splat_f32s(0.0); 2];
        let [one, other] = &mut halves;
        deinterleave::<S>(d, (&raw mut *one).cast(), (&raw mut *other).cast());
        for of in 0..2 {
            let half = (&raw const halves[of]).cast::<f32>();
            let mut sum = [0.0; WIDEST / 2];
            for k in 0..S::F32_LANES / 2 {
                sum[k] = sums[of].add(k).read() + half.add(k).read();
            }
            for k in 0..S::F32_LANES / 2 {
                sums[of].add(k).write(sum[k]);
            }
        }
        [sums[0].wrapping_add(S::F32_LANES / 2), sums[1].wrapping_add(S::F32_LANES / 2)]
    }
}

/// Floats of the widest vector.
const WIDEST: usize = 16;

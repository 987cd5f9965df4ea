//! How gradients come together: the shares of blocks, in the order of the blocks, and those of tokens, by row of the
//! table that the tokens were read from.

use crate::buffer::Buffer;
use crate::grid::deinterleave;
use crate::layer::Rows;
use crate::math;
use crate::memory::{unwritten, zeros};
use crate::plan::Walk;
use crate::vectorized::SHARE;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

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
    if total.len() > 2 * CHUNK && !rest.is_empty() {
        total.par_chunks_mut(CHUNK).enumerate().for_each(add);
    } else {
        total.chunks_mut(CHUNK).enumerate().for_each(add);
    }
    total
}

/// The gradient of a table of `rows`, from those of the looked-up rows, (B·T, F): each added to its row, in order. Beside it
/// the sums of their squares, empty unless they are wanted.
pub fn scatter(rows: &Rows<'_>, features: usize, gradients: &[f32]) -> [Vec<f32>; 2] {
    let len = rows.vocabulary * features;
    let (mut table, mut squares) = (zeros(len), zeros(if rows.squares { len } else { 0 }));
    let threads = if gradients.len() < 2 * SHARE { 1 } else { rayon::current_num_threads() };
    // Parts of the table that about as many ids read, one a thread.
    let (mut parts, mut left) = (vec![], (&mut table[..], &mut squares[..]));
    for ids in shared(rows, threads) {
        let size = ids.len() * features;
        let (table, rest) = left.0.split_at_mut(size);
        let (squares, rest_of_squares) = left.1.split_at_mut(size.min(left.1.len()));
        parts.push((ids, table, squares));
        left = (rest, rest_of_squares);
    }
    let add = |(of, table, squares): (Range<usize>, &mut [f32], &mut [f32])| {
        for (&id, row) in rows.ids.iter().zip(gradients.chunks_exact(features)) {
            let id = id as usize;
            if id < of.start || id >= of.end {
                continue;
            }
            let at = (id - of.start) * features;
            for (sum, &d) in table[at..at + features].iter_mut().zip(row) {
                *sum += d;
            }
            if let Some(squares) = squares.get_mut(at..at + features) {
                for (sum, &d) in squares.iter_mut().zip(row) {
                    *sum += if rows.sizes { d.abs() } else { d * d };
                }
            }
        }
    };
    match parts.len() {
        1 => parts.into_iter().for_each(add),
        _ => parts.into_par_iter().for_each(add),
    }
    [table, squares]
}

/// The vocabulary in so many ranges that about as many ids fall into each.
fn shared(rows: &Rows<'_>, parts: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::with_capacity(parts);
    let mut start = 0;
    if parts > 1 {
        let mut counts = vec![0usize; rows.vocabulary];
        for &id in rows.ids {
            counts[id as usize] += 1;
        }
        let mut seen = 0;
        for (id, count) in counts.into_iter().enumerate() {
            seen += count;
            if ranges.len() + 1 < parts && seen * parts >= rows.ids.len() * (ranges.len() + 1) {
                ranges.push(start..id + 1);
                start = id + 1;
            }
        }
    }
    ranges.push(start..rows.vocabulary);
    ranges
}

/// The rows of `table`, `features` numbers each, that `ids` name.
pub fn gather(table: &[f32], features: usize, ids: &[u32]) -> Vec<f32> {
    let mut out = unwritten(ids.len() * features);
    if features == 0 {
        return out;
    }
    let count = (SHARE / features).max(1);
    let part = |(ids, out): (&[u32], &mut [f32])| {
        for (&id, out) in ids.iter().zip(out.chunks_exact_mut(features)) {
            out.copy_from_slice(&table[id as usize * features..][..features]);
        }
    };
    match out.len() < 2 * SHARE {
        true => part((ids, &mut out)),
        false => ids.par_chunks(count).zip(out.par_chunks_mut(count * features)).for_each(part),
    }
    out
}

/// Adds the gradients of the steps from `first` on to the rows of a table: those of its projection, of the table itself,
/// and their squares, each where there is room for it.
pub(crate) struct AddRows<'a, const M: usize> {
    pub walk: &'a Walk<'a>,
    pub first: usize,
    pub rows: Rows<'a>,
    pub slots: &'a [f32],
    pub dx: &'a [f32],
    pub projection: &'a mut [f32],
    pub table: &'a mut [f32],
    pub squares: &'a mut [f32],
}

impl<const M: usize> WithSimd for AddRows<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let plan = self.walk.plan;
        let of_features = plan.inputs.len(M) * S::F32_LANES;
        for (index, slots) in self.slots.chunks_exact(plan.slot).enumerate() {
            self.step(simd, self.first + index, slots, &self.dx[index * of_features..][..of_features]);
        }
    }
}

impl<const M: usize> AddRows<'_, M> {
    #[inline(always)]
    fn step<S: Simd>(&mut self, simd: S, step: usize, slots: &[f32], dx: &[f32]) {
        let Walk { layer, input, block, plan } = *self.walk;
        let (grid, features, gates) = (plan.slots, plan.inputs.vectors, layer.kind.gates());
        let (shared, width, stride) = (grid.shared, grid.width(simd), grid.vectors * grid.slots);
        let at = layer.at(step, input.time);
        let slots = pulp::as_arrays::<M, _>(S::as_simd_f32s(slots).0).0;
        let dx = pulp::as_arrays::<M, _>(S::as_simd_f32s(dx).0).0;
        let mut row = 0;
        while row < block.rows {
            let (group, m) = (row / shared / M, row / shared % M);
            // Of an odd sequence at the end the partner's gradient is 0, wherever it is added.
            let mut ids = [0; 2];
            for of in 0..2 {
                let sequence = block.sequence(row + of.min(shared - 1));
                ids[of] = self.rows.ids[sequence * input.time + at] as usize;
            }
            if !self.projection.is_empty() {
                let slots = &slots[group * stride..][..stride];
                let mut sums = two_rows(self.projection, ids, grid.vectors * gates * width);
                for v in 0..grid.vectors {
                    for gate in 0..gates {
                        // SAFETY: `two_rows` has made sure of so many sums.
                        sums = unsafe { add_vector(simd, shared, slots[v * grid.slots + gate][m], sums) };
                    }
                }
            }
            let dx = &dx[group * features..][..features];
            if !self.table.is_empty() {
                let mut sums = two_rows(self.table, ids, features * width);
                for v in 0..features {
                    // SAFETY: as above.
                    sums = unsafe { add_vector(simd, shared, dx[v][m], sums) };
                }
            }
            if !self.squares.is_empty() {
                let mut sums = two_rows(self.squares, ids, features * width);
                for v in 0..features {
                    let d = dx[v][m];
                    let term = if self.rows.sizes { math::abs(simd, d) } else { simd.mul_f32s(d, d) };
                    // SAFETY: as above.
                    sums = unsafe { add_vector(simd, shared, term, sums) };
                }
            }
            row += shared;
        }
    }
}

/// The sums of two rows of a table, `len` for each.
#[inline(always)]
fn two_rows(table: &mut [f32], rows: [usize; 2], len: usize) -> [*mut f32; 2] {
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
unsafe fn add_vector<S: Simd>(simd: S, shared: usize, d: S::f32s, sums: [*mut f32; 2]) -> [*mut f32; 2] {
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

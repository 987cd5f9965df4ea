//! Sums over blocks and over the rows of a table: how the gradients of tokens come together, and how that of a projected
//! table goes back through the kernel.

use super::buffer::Buffer;
use super::connection::Connection;
use super::forward::gates;
use super::grid::{GROUP, deinterleave, rows_mut};
use super::isa::outline;
use super::product::{Operand, Outer};
use super::table::{LINES, Lines};
use super::weights::{Shape, Weights};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// The sum of all, in their order, whichever thread was first.
pub(super) fn add_up(partial: &mut Vec<Buffer>) -> Buffer {
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

/// From the gradient of a projected table that of the kernel, `xᵀ · d`, as [`Connection::outer`] sums it up, and, where
/// `d_x` has room for it, that of the table itself, `d · kernelᵀ`.
pub(super) fn unproject(shape: Shape, x: &[f32], d: &[f32], packed: &Weights, d_x: &mut [f32]) -> Buffer {
    let width = shape.vectors() * shape.gates * shape.width();
    // As many parts whatever the number of threads, since their sums are added up.
    let rows = (x.len() / shape.features).div_ceil(PARTS).next_multiple_of(LINES);
    let xs = x.par_chunks(rows * shape.features).zip(d.par_chunks(rows * width));
    let run = |((x, d), d_x): ((&[f32], &[f32]), &mut [f32])| {
        let mut sum = Buffer::zeros(shape.feature_vectors() * shape.lanes * width);
        shape.dispatch(Unproject { shape, x, d, sum: &mut sum, packed, d_x });
        sum
    };
    let mut sums: Vec<Buffer> = if d_x.is_empty() {
        xs.map(|part| run((part, &mut []))).collect()
    } else {
        xs.zip(d_x.par_chunks_mut(rows * shape.features)).map(run).collect()
    };
    add_up(&mut sums)
}

/// Parts that a table is unprojected in.
const PARTS: usize = 4;

/// Some rows of it.
struct Unproject<'a> {
    shape: Shape,
    x: &'a [f32],
    d: &'a [f32],
    sum: &'a mut [f32],
    packed: &'a Weights,
    d_x: &'a mut [f32],
}

impl WithSimd for Unproject<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, x, d, sum, packed, d_x } = self;
        let groups = LINES / (GROUP * shape.shared);
        let rows = shape.grid(groups, shape.feature_vectors(), 1);
        let all = shape.grid(groups, shape.vectors() * shape.gates, 1);
        let width = all.vectors * shape.width();
        let mut x_tiles = Buffer::new(rows.len(GROUP) * S::F32_LANES);
        let mut d_tiles = Buffer::new(all.len(GROUP) * S::F32_LANES);
        let mut d_x_tiles = Buffer::new(rows.len(GROUP) * S::F32_LANES);
        let gates = gates(shape);
        let grid = shape.grid(groups, shape.vectors(), shape.gates);
        let kernel = Connection::new(&packed.kernel, &gates, None, grid);
        let columns: Vec<usize> = (0..rows.vectors.max(all.vectors)).collect();
        let mut spare = vec![0.0; shape.features];
        let lines = x.chunks(LINES * shape.features).zip(d.chunks(LINES * width));
        for (index, (x, d)) in lines.enumerate() {
            let count = d.len() / width;
            if count < LINES {
                // Zeros where there is no row.
                x_tiles.fill(0.0);
                d_tiles.fill(0.0);
            }
            Lines { x, features: shape.features, ids: None, first: 0 }.fill(simd, rows, count, &mut x_tiles);
            Lines { x: d, features: width, ids: None, first: 0 }.fill(simd, all, count, &mut d_tiles);
            let outer = Outer::<GROUP> {
                groups,
                steps: 1,
                out: sum,
                a: Operand { floats: &x_tiles, grid: rows, slots: &[0] },
                a_step: 0,
                d: &d_tiles,
                d_stride: all.vectors,
                d_step: 0,
                columns: &columns[..all.vectors],
            };
            outline(simd, outer);
            if d_x.is_empty() {
                continue;
            }
            let columns = &columns[..rows.vectors];
            kernel.backward::<S, GROUP>(simd, 1, &d_tiles, &mut d_x_tiles, rows, columns, false, &mut []);
            let d_x = &mut d_x[index * LINES * shape.features..][..count * shape.features];
            for row in (0..count).step_by(shape.shared) {
                let d_x = rows_mut(d_x, shape.features, row, shape.shared, &mut spare);
                rows.take::<S, GROUP>(simd, S::as_simd_f32s(&d_x_tiles).0, d_x, row, 0);
            }
        }
    }
}

/// The sums of two rows of a table, `len` for each.
#[inline(always)]
pub(super) fn sums_of(table: &mut [f32], rows: [usize; 2], len: usize) -> [*mut f32; 2] {
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
pub(super) unsafe fn add<S: Simd>(simd: S, shared: usize, d: S::f32s, sums: [*mut f32; 2]) -> [*mut f32; 2] {
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

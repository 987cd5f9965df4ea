//! Between rows in memory (one sequence after another) and lanes (one sequence a lane of each vector).

use pulp::Simd;

/// Which rows a block holds.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// The first row of the batch in this block.
    pub first: usize,
    /// How many rows; lanes beyond are zeros.
    pub count: usize,
}

/// Reads `width` features of each row: row r starts at `source[start + r * stride]`. Lanes without a row get zeros.
#[inline(always)]
pub(super) fn load<S: Simd>(
    simd: S,
    rows: Rows,
    source: &[f32],
    start: usize,
    stride: usize,
    into: &mut [S::f32s],
) {
    lookup(simd, rows, source, |row| start + row * stride, into);
}

/// Reads a row of a table for each sequence: that of row r starts at `table[start(r)]`.
#[inline(always)]
pub(super) fn lookup<S: Simd>(
    _: S,
    rows: Rows,
    table: &[f32],
    start: impl Fn(usize) -> usize,
    into: &mut [S::f32s],
) {
    let width = into.len();
    let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(into);
    if rows.count < S::F32_LANES {
        lanes.fill(0.0);
    }
    for lane in 0..rows.count {
        let at = start(rows.first + lane);
        for (group, &value) in lanes.chunks_exact_mut(S::F32_LANES).zip(&table[at..at + width]) {
            group[lane] = value;
        }
    }
}

/// Writes the lanes back: row r of the block (from 0) goes to `target[start + r * stride]`.
#[inline(always)]
pub(super) fn store<S: Simd>(
    _: S,
    rows: Rows,
    from: &[S::f32s],
    target: &mut [f32],
    start: usize,
    stride: usize,
) {
    let width = from.len();
    let lanes: &[f32] = pulp::bytemuck::cast_slice(from);
    for lane in 0..rows.count {
        let at = start + lane * stride;
        let row = &mut target[at..at + width];
        for (value, group) in row.iter_mut().zip(lanes.chunks_exact(S::F32_LANES)) {
            *value = group[lane];
        }
    }
}

/// A vector made of `value(lane)` for the block's rows, 0 beyond.
#[inline(always)]
pub(super) fn gather<S: Simd>(simd: S, rows: Rows, value: impl Fn(usize) -> f32) -> S::f32s {
    let mut vector = simd.splat_f32s(0.0);
    let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(std::slice::from_mut(&mut vector));
    for (lane, slot) in lanes.iter_mut().enumerate().take(rows.count) {
        *slot = value(rows.first + lane);
    }
    vector
}

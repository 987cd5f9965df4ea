//! Between rows in memory (one sequence after another) and lanes (one sequence a lane of each vector).

use pulp::Simd;

/// Which rows a block holds.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// The first row of the batch in this block.
    pub first: usize,
    /// How many rows; lanes beyond are zeros.
    pub count: usize,
}

/// The most lanes that a vector of f32 has.
pub(super) const MAX_LANES: usize = 16;

/// Reads as many features of each row as `into` is long: row r starts at `source[start + r * stride]`. Lanes without a
/// row get zeros.
#[inline(always)]
pub(super) fn load<S: Simd>(
    simd: S,
    rows: Block,
    source: &[f32],
    start: usize,
    stride: usize,
    into: &mut [S::f32s],
) {
    let mut starts = [0; MAX_LANES];
    for lane in 0..rows.count {
        starts[lane] = start + (rows.first + lane) * stride;
    }
    load_from(simd, source, &starts[..rows.count], into);
}

/// The same where lane l starts at `source[starts[l]]`.
#[inline(always)]
pub(super) fn load_from<S: Simd>(_: S, source: &[f32], starts: &[usize], into: &mut [S::f32s]) {
    let width = into.len();
    let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(into);
    if starts.len() < S::F32_LANES {
        lanes.fill(0.0);
    }
    for lane in 0..starts.len() {
        let row = &source[starts[lane]..starts[lane] + width];
        let lanes = &mut lanes[..width * S::F32_LANES];
        for k in 0..width {
            lanes[k * S::F32_LANES + lane] = row[k];
        }
    }
}

/// Writes the lanes back: row r of the block (from 0) goes to `target[start + r * stride]`.
#[inline(always)]
pub(super) fn store<S: Simd>(
    _: S,
    rows: Block,
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
        let lanes = &lanes[..width * S::F32_LANES];
        for k in 0..width {
            row[k] = lanes[k * S::F32_LANES + lane];
        }
    }
}

//! Input that is projected before the time loop, `start + x · kernel`: the rows of a table that the input is read from,
//! or, where there are too few sequences to fill the products, all its steps. And the way back of a table's gradient.

use crate::accumulate::sum_in_order;
use crate::buffer::Buffer;
use crate::gate_product::{GateProduct, Target};
use crate::grid::{GROUP, Grid, Operand, rows_mut};
use crate::isa::outline;
use crate::layer::{Input, Layer, Rows};
use crate::outer::Outer;
use crate::plan::block_rows;
use crate::weights::Weights;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Floats up to which all tokens of a few sequences are projected at once: longer ones go step by step.
const MOST: usize = 1 << 22;
/// Rows that are worked through at a time: few enough for all that belongs to them to stay in the nearest cache.
const LINES: usize = 16 * GROUP;
/// Multiplications from which several threads share the work.
const PARALLEL: usize = 1 << 17;
/// Parts of a table's gradient on its way back. As many whatever the number of threads, since their sums are added up.
const PARTS: usize = 4;

/// The table, if its rows are fewer than half the tokens of a block: then what belongs to tokens is summed by row while
/// the block runs.
pub(crate) fn short_table<'a>(layer: &Layer, input: &Input<'a>) -> Option<Rows<'a>> {
    let tokens = block_rows(layer, input.batch).min(input.batch) * input.time;
    input.rows.filter(|table| 2 * table.vocabulary <= tokens)
}

/// The table, if projecting each of its rows once is less work than projecting each token. Dropout on the input makes
/// tokens differ from their rows.
pub(crate) fn projected_table<'a>(layer: &Layer, input: &Input<'a>) -> Option<Rows<'a>> {
    short_table(layer, input).filter(|_| input.input_dropout.is_none())
}

/// `start + x · kernel` for each row of a table, or for each token: of each row the vectors of units, of each of them the
/// cell's first slots.
pub(crate) struct Projection<'a> {
    pub floats: Buffer,
    /// The row of each token; its own number if there are none.
    ids: Option<&'a [u32]>,
}

impl Projection<'_> {
    /// The row of a token.
    #[inline(always)]
    pub fn row(&self, token: usize) -> usize {
        match self.ids {
            Some(ids) => ids[token] as usize,
            None => token,
        }
    }
}

/// The projection, where one is worth its while. A backward pass (`save`) needs the inputs of steps themselves.
pub(crate) fn project<'a>(
    layer: &Layer,
    input: &Input<'a>,
    weights: &Weights,
    start: &[f32],
    save: bool,
) -> Option<Projection<'a>> {
    let layout = weights.layout;
    let tokens = input.batch * input.time;
    let (rows, ids, x_rows) = match projected_table(layer, input) {
        Some(table) => (table.vocabulary, Some(table.ids), None),
        None if !save
            && input.batch < GROUP
            && input.input_dropout.is_none()
            && tokens.saturating_mul(start.len()) <= MOST =>
        {
            (tokens, None, input.rows.map(|table| table.ids))
        }
        None => return None,
    };
    let slots = start.len() / layout.lanes / layout.vectors();
    let width = start.len() / layout.shared;
    let mut floats = Buffer::new(rows * width);
    let run = |(index, out): (usize, &mut [f32])| {
        let x = Lines { x: input.x, features: layout.features, ids: x_rows, first: index * LINES };
        layout.dispatch(Project { weights, start, x, out, slots });
    };
    if rows * layout.features * width > PARALLEL {
        floats.par_chunks_mut(LINES * width).enumerate().for_each(run);
    } else {
        floats.chunks_mut(LINES * width).enumerate().for_each(run);
    }
    Some(Projection { floats, ids })
}

/// Projects some rows.
struct Project<'a> {
    weights: &'a Weights,
    start: &'a [f32],
    x: Lines<'a>,
    out: &'a mut [f32],
    slots: usize,
}

impl WithSimd for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, start, x, out, slots } = self;
        let layout = weights.layout;
        let width = start.len() / layout.shared;
        let count = out.len() / width;
        let groups = count.div_ceil(GROUP * layout.shared);
        let rows = layout.grid(groups, layout.feature_vectors(), 1);
        let all = layout.grid(groups, layout.vectors() * slots, 1);
        let mut floats = Buffer::zeros(rows.len(GROUP) * S::F32_LANES);
        let mut projected = Buffer::new(all.len(GROUP) * S::F32_LANES);
        x.fill(simd, rows, count, &mut floats);
        if slots > layout.gates {
            // Not all are filled by the product.
            let tiles = pulp::as_arrays_mut::<GROUP, _>(S::as_mut_simd_f32s(&mut projected).0).0;
            for tiles in tiles.chunks_exact_mut(all.vectors) {
                for (tile, &start) in tiles.iter_mut().zip(S::as_simd_f32s(start).0) {
                    *tile = [start; GROUP];
                }
            }
        }
        let grid = layout.grid(groups, layout.vectors(), slots);
        let kernel = GateProduct::new(&weights.kernel, layout.input_gates(), None, layout, grid);
        let a = Operand { floats: &floats, grid: rows, slots: &[0] };
        kernel.forward::<S, GROUP>(simd, 1, a, Some(start), &mut projected, &mut []);
        let mut spare = vec![0.0; if count.is_multiple_of(layout.shared) { 0 } else { width }];
        for row in (0..count).step_by(layout.shared) {
            let out = rows_mut(out, width, row, layout.shared, &mut spare);
            all.take::<S, GROUP>(simd, S::as_simd_f32s(&projected).0, out, row, 0);
        }
    }
}

/// From the gradient of a projected table that of the kernel, `xᵀ · d`, as [`GateProduct::add_gradient`] sums it up, and,
/// where `d_x` has room for it, that of the table itself, `d · kernelᵀ`.
pub(crate) fn backward(packed: &Weights, x: &[f32], d: &[f32], d_x: &mut [f32]) -> Buffer {
    let layout = packed.layout;
    let width = layout.vectors() * layout.gates * layout.width();
    let rows = (x.len() / layout.features).div_ceil(PARTS).next_multiple_of(LINES);
    let xs = x.par_chunks(rows * layout.features).zip(d.par_chunks(rows * width));
    let run = |((x, d), d_x): ((&[f32], &[f32]), &mut [f32])| {
        let mut sum = Buffer::zeros(layout.feature_vectors() * layout.lanes * width * layout.parities);
        layout.dispatch(ProjectBack { x, d, sum: &mut sum, packed, d_x });
        sum
    };
    let sums: Vec<Buffer> = if d_x.is_empty() {
        xs.map(|part| run((part, &mut []))).collect()
    } else {
        xs.zip(d_x.par_chunks_mut(rows * layout.features)).map(run).collect()
    };
    sum_in_order(sums)
}

/// The way back of some rows.
struct ProjectBack<'a> {
    x: &'a [f32],
    d: &'a [f32],
    sum: &'a mut [f32],
    packed: &'a Weights,
    d_x: &'a mut [f32],
}

impl WithSimd for ProjectBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, d, sum, packed, d_x } = self;
        let layout = packed.layout;
        let groups = LINES / (GROUP * layout.shared);
        let rows = layout.grid(groups, layout.feature_vectors(), 1);
        let all = layout.grid(groups, layout.vectors() * layout.gates, 1);
        let width = all.vectors * layout.width();
        let mut x_tiles = Buffer::new(rows.len(GROUP) * S::F32_LANES);
        let mut d_tiles = Buffer::new(all.len(GROUP) * S::F32_LANES);
        let mut d_x_tiles = Buffer::new(rows.len(GROUP) * S::F32_LANES);
        let grid = layout.grid(groups, layout.vectors(), layout.gates);
        let kernel = GateProduct::new(&packed.kernel, layout.input_gates(), None, layout, grid);
        let columns: Vec<usize> = (0..rows.vectors.max(all.vectors)).collect();
        let mut spare = vec![0.0; layout.features];
        let lines = x.chunks(LINES * layout.features).zip(d.chunks(LINES * width));
        for (index, (x, d)) in lines.enumerate() {
            let count = d.len() / width;
            if count < LINES {
                // Zeros where there is no row.
                x_tiles.fill(0.0);
                d_tiles.fill(0.0);
            }
            Lines { x, features: layout.features, ids: None, first: 0 }.fill(simd, rows, count, &mut x_tiles);
            Lines { x: d, features: width, ids: None, first: 0 }.fill(simd, all, count, &mut d_tiles);
            let outer = Outer::<GROUP> {
                groups,
                steps: 1,
                out: sum,
                parities: layout.parities,
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
            let target = Target { floats: &mut d_x_tiles, grid: rows, columns, adds: false };
            kernel.backward::<S, GROUP>(simd, 1, &d_tiles, target, &mut []);
            let d_x = &mut d_x[index * LINES * layout.features..][..count * layout.features];
            for row in (0..count).step_by(layout.shared) {
                let d_x = rows_mut(d_x, layout.features, row, layout.shared, &mut spare);
                rows.take::<S, GROUP>(simd, S::as_simd_f32s(&d_x_tiles).0, d_x, row, 0);
            }
        }
    }
}

/// Some rows of input, one after another or looked up.
struct Lines<'a> {
    x: &'a [f32],
    features: usize,
    ids: Option<&'a [u32]>,
    first: usize,
}

impl Lines<'_> {
    /// Puts `count` of them into a grid, [`GROUP`] vectors to a slot.
    #[inline(always)]
    fn fill<S: Simd>(&self, simd: S, grid: Grid, count: usize, into: &mut [f32]) {
        let into = S::as_mut_simd_f32s(into).0;
        let mut row = 0;
        while row < count {
            let rows = [self.row(row), if row + 1 < count { self.row(row + 1) } else { &[] }];
            grid.put::<S, GROUP>(simd, rows, into, row, 0);
            row += grid.shared;
        }
    }

    #[inline(always)]
    fn row(&self, row: usize) -> &[f32] {
        let at = match self.ids {
            Some(ids) => ids[self.first + row] as usize,
            None => self.first + row,
        };
        &self.x[at * self.features..][..self.features]
    }
}

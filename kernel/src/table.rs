//! Input that is projected before the steps need it: the rows of a table that it is read from, or, where there are too
//! few sequences to fill the products, all its steps.

use super::buffer::Buffer;
use super::connection::Connection;
use super::forward::{block_rows, gates};
use super::grid::{GROUP, Grid, rows_mut};
use super::pass::{Input, Layer, Rows};
use super::product::Operand;
use super::weights::{Shape, Weights};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// The table, if its rows are fewer than half the tokens of a block: then what belongs to tokens is summed by row while
/// the block runs.
pub(super) fn short<'a>(layer: &Layer, input: &Input<'a>) -> Option<Rows<'a>> {
    let tokens = block_rows(layer).min(input.batch) * input.time;
    input.rows.filter(|table| 2 * table.vocabulary <= tokens)
}

/// The table, if projecting each of its rows once is less work than projecting each token. Dropout on the input makes
/// tokens differ from their rows.
pub(super) fn projected<'a>(layer: &Layer, input: &Input<'a>) -> Option<Rows<'a>> {
    short(layer, input).filter(|_| input.input_dropout.is_none())
}

/// `start + row · kernel` for each row of a table: of each row the vectors of units, of each of them the cell's first
/// slots.
pub(super) struct Table<'a> {
    pub floats: Buffer,
    /// The row of each token; its own number if there are none.
    ids: Option<&'a [u32]>,
}

impl Table<'_> {
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
pub(super) fn project<'a>(
    shape: Shape,
    layer: &Layer,
    input: &Input<'a>,
    weights: &Weights,
    start: &[f32],
    save: bool,
) -> Option<Table<'a>> {
    let tokens = input.batch * input.time;
    let (rows, ids, x_rows) = match projected(layer, input) {
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
    let slots = start.len() / shape.lanes / shape.vectors();
    let width = start.len() / shape.shared;
    let mut floats = Buffer::new(rows * width);
    let run = |(index, out): (usize, &mut [f32])| {
        let x = Lines { x: input.x, features: shape.features, ids: x_rows, first: index * LINES };
        shape.dispatch(Project { shape, weights, start, x, out, slots });
    };
    if rows * shape.features * width > 1 << 17 {
        floats.par_chunks_mut(LINES * width).enumerate().for_each(run);
    } else {
        floats.chunks_mut(LINES * width).enumerate().for_each(run);
    }
    Some(Table { floats, ids })
}

/// Floats up to which all tokens of a few sequences are projected at once: longer ones go step by step.
const MOST: usize = 1 << 22;

/// Lines of a table that are worked through at a time: few enough for all that belongs to them to stay in the nearest
/// cache.
pub(super) const LINES: usize = 16 * GROUP;

/// Some lines of it.
struct Project<'a> {
    shape: Shape,
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
        let Self { shape, weights, start, x, out, slots } = self;
        let width = start.len() / shape.shared;
        let count = out.len() / width;
        let groups = count.div_ceil(GROUP * shape.shared);
        let rows = shape.grid(groups, shape.feature_vectors(), 1);
        let all = shape.grid(groups, shape.vectors() * slots, 1);
        let mut floats = Buffer::zeros(rows.len(GROUP) * S::F32_LANES);
        let mut projected = Buffer::new(all.len(GROUP) * S::F32_LANES);
        x.fill(simd, rows, count, &mut floats);
        if slots > shape.gates {
            // Not all are filled by the product.
            let tiles = pulp::as_arrays_mut::<GROUP, _>(S::as_mut_simd_f32s(&mut projected).0).0;
            for tiles in tiles.chunks_exact_mut(all.vectors) {
                for (tile, &start) in tiles.iter_mut().zip(S::as_simd_f32s(start).0) {
                    *tile = [start; GROUP];
                }
            }
        }
        let gates = gates(shape);
        let kernel =
            Connection::new(&weights.kernel, &gates, None, shape.grid(groups, shape.vectors(), slots));
        let a = Operand { floats: &floats, grid: rows, slots: &[0] };
        kernel.forward::<S, GROUP>(simd, 1, a, Some(start), &mut projected, &mut []);
        let mut spare = vec![0.0; if count.is_multiple_of(shape.shared) { 0 } else { width }];
        for row in (0..count).step_by(shape.shared) {
            let out = rows_mut(out, width, row, shape.shared, &mut spare);
            all.take::<S, GROUP>(simd, S::as_simd_f32s(&projected).0, out, row, 0);
        }
    }
}

/// Some rows of input, one after another or looked up.
pub(super) struct Lines<'a> {
    pub x: &'a [f32],
    pub features: usize,
    pub ids: Option<&'a [u32]>,
    pub first: usize,
}

impl Lines<'_> {
    /// Puts `count` of them into a grid, [`GROUP`] vectors to a slot.
    #[inline(always)]
    pub fn fill<S: Simd>(&self, simd: S, grid: Grid, count: usize, into: &mut [f32]) {
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

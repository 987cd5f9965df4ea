//! Input from a table: when to project the whole of it, and the projection.

use super::net::{Shape, Weights};
use super::product::Product;
use super::{Block, block_rows};
use crate::kernel::buffer::Buffer;
use crate::kernel::isa::dispatch_for;
use crate::kernel::pass::{Input, Layer};
use rayon::prelude::*;

/// Whether the rows of the table are fewer than half the tokens of a block, so that projecting each row once is less
/// work than projecting each token. Dropout on the input makes tokens differ from their rows.
pub(super) fn projects(layer: &Layer, input: &Input<'_>) -> bool {
    let rows = Block { first: 0, rows: block_rows(layer).min(input.batch) }.rows;
    let few = |vocabulary: usize| 2 * vocabulary <= rows * input.time;
    input.input_dropout.is_none() && input.rows.is_some_and(|table| few(table.vocabulary))
}

/// `start + row · kernel` for each row of the table, as the first slots of a cell: (V, start slots · padded).
pub(super) fn project(
    shape: Shape,
    layer: &Layer,
    input: &Input<'_>,
    weights: &Weights,
    start: &[f32],
) -> Option<Buffer> {
    let table = input.rows.filter(|_| projects(layer, input))?;
    let mut projected = Buffer::new(table.vocabulary * start.len());
    let columns: Vec<usize> = (0..shape.gates * shape.vectors).collect();
    const CHUNK: usize = 64;
    let run = |(index, out): (usize, &mut [f32])| {
        for row in out.chunks_exact_mut(start.len()) {
            row.copy_from_slice(start);
        }
        dispatch_for(
            layer.units,
            Product {
                rows: out.len() / start.len(),
                out,
                columns: &columns,
                out_stride: start.len() / shape.lanes,
                a: &input.x[index * CHUNK * layer.features..],
                segments: &[0],
                a_stride: layer.features,
                weights: &weights.kernel[0],
            },
        );
    };
    let work = table.vocabulary * layer.features * start.len();
    let chunks = projected.par_chunks_mut(CHUNK * start.len());
    if work > 1 << 20 {
        chunks.enumerate().for_each(run);
    } else {
        projected.chunks_mut(CHUNK * start.len()).enumerate().for_each(run);
    }
    Some(projected)
}

//! Input from a table: when to project the whole of it, and the projection.

use super::block_rows;
use super::net::{Shape, Weights};
use super::product::Product;
use crate::kernel::buffer::Buffer;
use crate::kernel::isa::dispatch_for;
use crate::kernel::pass::{Input, Layer, Rows};
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

/// `start + row · kernel` for each row of the table, as the first slots of a cell: (V, start slots · padded).
pub(super) fn project(
    shape: Shape,
    layer: &Layer,
    input: &Input<'_>,
    weights: &Weights,
    start: &[f32],
) -> Option<Buffer> {
    let table = projected(layer, input)?;
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

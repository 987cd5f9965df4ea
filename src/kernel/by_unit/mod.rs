//! Units in lanes: a vector holds several units of one sequence. A block of sequences runs through all its steps on one
//! thread; each step is a few matrix products of the block's rows with weights that were packed once a batch.
//!
//! The input is projected before the steps need it: step by step where the block has rows enough to fill a tile, over
//! many steps at once where it has not. Input that comes from a table shorter than the tokens of a block is projected
//! row by row of the table, once a batch, and looked up; its gradient is summed by row of the table and goes back
//! through the kernel once.

mod backward;
mod forward;
mod net;
mod product;
mod table;

pub(super) use backward::backward;
pub(super) use forward::forward;

use super::buffer::Buffer;
use super::isa;
use super::pass::{Input, Layer};
use std::sync::OnceLock;

/// Sequences of a block: few enough for its steps to stay in the cache, enough to fill the tiles.
const ROWS: usize = 16;
/// The same where the packed weights outgrow the nearer caches: each pass over them should serve more rows.
const ROWS_LARGE: usize = 32;
/// The larger of both.
const MAX_ROWS: usize = ROWS_LARGE;
/// Units from which the weights are large.
const LARGE: usize = 128;

/// Whether this loop is the better one: enough of each vector is filled, or there are too few sequences for the other.
pub(super) fn suits(layer: &Layer, input: &Input<'_>) -> bool {
    if let Some(forced) = forced() {
        return forced;
    }
    let lanes = isa::lanes_for(layer.units);
    let filled = |count: usize| count as f64 / count.next_multiple_of(lanes) as f64;
    filled(layer.units) >= 0.6 * filled(input.batch)
}

/// The environment variable `CANDLE_RECURRENT_LOOP` (`units` or `sequences`) decides instead: for tests and for reports
/// of bugs.
fn forced() -> Option<bool> {
    static FORCED: OnceLock<Option<bool>> = OnceLock::new();
    *FORCED.get_or_init(|| match std::env::var("CANDLE_RECURRENT_LOOP").as_deref() {
        Ok("units") => Some(true),
        Ok("sequences") => Some(false),
        _ => None,
    })
}

fn block_rows(layer: &Layer) -> usize {
    if layer.units < LARGE { ROWS } else { ROWS_LARGE }
}

/// What the blocks' forward passes left.
pub(super) struct Saved {
    blocks: Vec<Buffer>,
}

/// The sequences of a block.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    rows: usize,
}

impl Block {
    fn of(layer: &Layer, input: &Input<'_>, index: usize) -> Self {
        let first = index * block_rows(layer);
        Self { first, rows: block_rows(layer).min(input.batch - first) }
    }
}

/// How a block's memory is cut, in floats.
#[derive(Clone, Copy)]
struct Plan {
    /// The inputs of a step, (rows, F); none where the table is projected.
    inputs: usize,
    /// The states, (S, rows, padded).
    state: usize,
    /// The slots, (slots, rows, padded).
    slots: usize,
    /// Steps kept: all for a backward pass, else some that are used over and over.
    steps: usize,
}

impl Plan {
    fn floats(self) -> usize {
        // States first: they and the slots consist of whole vectors.
        self.steps * (self.inputs + self.state + self.slots)
    }

    /// States before each step, slots, inputs.
    fn cut(self, memory: &mut [f32]) -> (&mut [f32], &mut [f32], &mut [f32]) {
        let (states, rest) = memory.split_at_mut(self.steps * self.state);
        let (slots, inputs) = rest.split_at_mut(self.steps * self.slots);
        (states, slots, inputs)
    }
}

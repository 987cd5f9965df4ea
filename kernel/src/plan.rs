//! What the forward and the backward pass of a block share: which sequences it has, how its memory is cut, and which
//! outputs are masked.

use crate::buffer::Buffer;
use crate::cell::Cell;
use crate::grid::{GROUP, Grid};
use crate::lane_layout::LaneLayout;
use crate::layer::{Input, Layer};
use crate::memory::budget;

/// Sequences of a block: few enough for its steps to stay in the cache.
const ROWS: usize = 16;
/// The same where the packed weights outgrow the nearer caches: each pass over them should serve more rows.
const ROWS_LARGE: usize = 32;
/// Units from which the weights are large.
const LARGE: usize = 128;
/// Steps that the forward pass makes ready at a time.
pub(crate) const AHEAD: usize = 8;

/// What the backward pass needs of a forward pass.
pub struct Saved {
    /// Of each block the memory of all steps, or, where the backward pass computes them again, the states before each
    /// stretch of steps.
    pub(crate) blocks: Vec<Buffer>,
    /// Steps that the backward pass has in memory at a time: all, or those of a stretch.
    pub(crate) stretch: usize,
}

impl Saved {
    /// The memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| size_of::<f32>() * block.len()).sum()
    }
}

/// The fewest sequences that a batch is cut into blocks for.
const ROWS_SMALL: usize = 8;

/// Sequences of a block, but for the last: a batch that fills one alone is two, for two threads.
pub(crate) fn block_rows(layer: &Layer, batch: usize) -> usize {
    let most = if layer.units < LARGE { ROWS } else { ROWS_LARGE };
    batch.div_ceil(2).next_multiple_of(ROWS_SMALL).clamp(ROWS_SMALL, most)
}

/// Whether the batch fills a group; if not, its sequences go one by one.
pub(crate) fn fills_group(input: &Input<'_>) -> bool {
    input.batch >= GROUP
}

/// The sequences of a block.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub first: usize,
    pub rows: usize,
}

impl Block {
    pub fn of(layer: &Layer, input: &Input<'_>, index: usize) -> Self {
        let rows = block_rows(layer, input.batch);
        let first = index * rows;
        Self { first, rows: rows.min(input.batch - first) }
    }

    /// The sequence of a row. Rows that only fill up a group are copies of the last sequence, so that their numbers are
    /// as finite as the others.
    #[inline(always)]
    pub fn sequence(self, row: usize) -> usize {
        self.first + row.min(self.rows - 1)
    }

    /// For each sequence the first step of the walk that is not masked.
    pub fn first_valid(self, layer: &Layer, input: &Input<'_>) -> Vec<usize> {
        let Some(mask) = input.mask else { return vec![0; self.rows] };
        let of_row = |row: usize| {
            let valid =
                |&step: &usize| mask[(self.first + row) * input.time + layer.at(step, input.time)] != 0;
            (0..input.time).find(valid).unwrap_or(input.time)
        };
        (0..self.rows).map(of_row).collect()
    }
}

/// Whether a sequence's output at a step is its h, rather than 0: not before its first valid step (`seen`), nor at a
/// masked step with `zero_output_for_mask`.
#[inline(always)]
pub(crate) fn shows(layer: &Layer, input: &Input<'_>, row: usize, step: usize, seen: bool) -> bool {
    let Some(mask) = input.mask else { return true };
    match layer.zero_output_for_mask {
        true => mask[row * input.time + layer.at(step, input.time)] != 0,
        false => seen,
    }
}

/// How a block's memory is cut: the states before each step and after the last, the slots and the inputs of each step.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub states: Grid,
    pub slots: Grid,
    pub inputs: Grid,
    /// Floats of a step's states, slots and inputs; no inputs are kept where they were projected before the loop.
    pub state: usize,
    pub slot: usize,
    pub input: usize,
    /// Floats of a step's h: of one slot of the states.
    pub h: usize,
    /// Steps that are in memory at a time.
    pub held: usize,
}

impl Plan {
    /// For a block of `rows` sequences, `M` vectors a slot, with `held` steps in memory at a time.
    pub fn new<C: Cell, const M: usize>(
        layout: LaneLayout,
        rows: usize,
        projected: bool,
        held: usize,
    ) -> Self {
        let grid = |vectors, slots| layout.grid(rows.div_ceil(M * layout.shared), vectors, slots);
        let floats = |grid: Grid| grid.len(M) * layout.lanes;
        let states = grid(layout.vectors(), C::STATES);
        let slots = grid(layout.vectors(), C::SLOTS);
        let inputs = grid(layout.feature_vectors(), 1);
        Self {
            states,
            slots,
            inputs,
            state: floats(states),
            slot: floats(slots),
            input: if projected { 0 } else { floats(inputs) },
            h: floats(Grid { slots: 1, ..states }),
            held,
        }
    }

    /// Floats of the block's memory.
    pub fn floats(&self) -> usize {
        self.state + self.held * self.step()
    }

    /// Floats of a step.
    fn step(&self) -> usize {
        self.state + self.slot + self.input
    }

    /// Steps to be held on the way back through `time` of them, in each of so many `blocks`: all, or, where that takes more
    /// memory than [`recompute_beyond`](crate::recompute_beyond()) allows, as many as make the least memory of the states
    /// between the stretches and the steps of one.
    pub fn stretch(&self, blocks: usize, time: usize) -> usize {
        let bytes = (blocks * size_of::<f32>()).saturating_mul(time.saturating_mul(self.step()));
        let stretch =
            (time.saturating_mul(self.state) / self.step()).isqrt().next_multiple_of(AHEAD).max(AHEAD);
        if bytes <= budget() || stretch >= time { time } else { stretch }
    }

    /// States, slots, inputs.
    pub fn cut<'a>(&self, memory: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32], &'a mut [f32]) {
        let (states, rest) = memory.split_at_mut((self.held + 1) * self.state);
        let (slots, inputs) = rest.split_at_mut(self.held * self.slot);
        (states, slots, inputs)
    }
}

/// A block on its way through a layer.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub layer: &'a Layer,
    pub input: &'a Input<'a>,
    pub block: Block,
    pub plan: Plan,
}

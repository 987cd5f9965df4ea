//! Whole-sequence forward and backward passes of SimpleRNN, LSTM and GRU on plain `f32` slices.
//!
//! A vector holds several units of one sequence, or of two where the units are few. The batch is cut into *blocks* of sequences; a block runs through all
//! its time steps on one thread, so that its state never leaves the nearer caches. A step is a few matrix products with
//! weights that were packed once a batch, and the cell's own arithmetic between them. Within a block the sequences stand
//! in *groups* ([`grid`]), four vectors of a group side by side: the products and the cells work on groups, at distances
//! in memory that the compiler knows.
//!
//! Input that comes from a table shorter than the tokens of a block is projected row by row of the table, once a batch,
//! and looked up; its gradient is summed by row of the table and goes back through the kernel once ([`table`]).
//!
//! Blocks depend on the batch alone, and what they add up (weight gradients) is added in their order, so that any number
//! of threads gives the same bytes.
//!
//! Loops count rather than iterate: what takes a closure may not be inlined into the function for which the vector
//! instructions are enabled, and would then run without them.
//!
//! Nothing here knows of tensors or files: `candle-recurrent` wraps it in Candle's custom ops.

#![allow(unsafe_code, clippy::needless_range_loop)]

mod activation;
mod awake;
mod backward;
mod buffer;
mod cell;
mod connection;
mod forward;
mod grid;
mod gru;
mod isa;
mod lstm;
mod math;
mod packed;
mod pass;
mod product;
mod simple_rnn;
mod sums;
mod table;
mod weights;

pub use activation::Activation;
pub use awake::awake;
pub use backward::backward;
pub use cell::Kind;
pub use forward::{Saved, forward};
pub use isa::instruction_set;
pub use pass::{Dropout, Input, Layer, Rows, scatter};

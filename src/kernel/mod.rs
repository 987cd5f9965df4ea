//! Whole-sequence forward and backward passes of SimpleRNN, LSTM and GRU on plain `f32` slices.
//!
//! The batch is cut into blocks of as many sequences as a vector register has lanes, one sequence a lane. A block runs
//! through all its time steps on one thread; the state never leaves the cache. Blocks depend on the batch alone, and what
//! they add up (weight gradients) is added in their order, so that any number of threads gives the same bytes.
//!
//! Loops count rather than iterate: what takes a closure may not be inlined into the function for which the vector
//! instructions are enabled, and would then run without them.
//!
//! Nothing here knows of tensors or files; [`crate::nn`] wraps it in Candle's custom ops.

#![allow(clippy::needless_range_loop)]

mod activation;
mod buffer;
mod by_sequence;
mod by_unit;
mod cell;
mod gru;
mod isa;
mod lstm;
mod math;
mod pass;
mod simple_rnn;

pub(crate) use activation::Activation;
pub(crate) use cell::Kind;
pub use isa::instruction_set;
pub(crate) use pass::{Dropout, Input, Layer, Rows, Saved, backward, forward, scatter};

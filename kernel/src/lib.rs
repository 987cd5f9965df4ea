//! Whole-sequence forward and backward passes of SimpleRNN, LSTM and GRU on plain `f32` slices.
//!
//! A vector holds several units of one sequence, or of two where the units are few. The batch is cut into *blocks* of
//! sequences; a block runs through all its time steps on one thread, so that its state never leaves the nearer caches. A
//! step is a few matrix products with weights that were packed once a batch, and the cell's own arithmetic between them.
//! Within a block the sequences stand in *groups* (`grid.rs`), four vectors of a group side by side: the products and the
//! cells work on groups, at distances in memory that the compiler knows.
//!
//! The files, from the bottom up; each uses those above it only:
//!
//! | file | what it is |
//! |---|---|
//! | `isa` | the vector instructions of this machine, chosen at run time |
//! | `math` | exp, sigmoid and tanh on vectors |
//! | `activation` | the activations |
//! | `buffer` | memory that is kept from batch to batch |
//! | `grid` | where the numbers of a block lie in memory, with a picture |
//! | `packed` | weights in the order in which a product reads them |
//! | `product`, `outer` | rows times packed weights; the sum of outer products |
//! | `cell`; `simple_rnn`, `lstm`, `gru` | what a cell is; the equations of each |
//! | `layer` | what goes into a layer's passes and what comes out |
//! | `cells` | a step of a layer's cell on all groups |
//! | `lane_layout` | how units and features lie in the lanes of vectors |
//! | `weights` | the weights of a layer, packed |
//! | `plan` | what both passes of a block share: its sequences, how its memory is cut |
//! | `dropout` | the dropout masks of a block |
//! | `gate_product` | an operand times the weights of some gates, with dropout: forward, backward, gradient |
//! | `accumulate` | how gradients are added up, in an order of their own |
//! | `projection` | input that is projected before the time loop |
//! | `gradients` | the sums of the backward pass, and the gradients that come of them |
//! | `forward`, `backward` | the time loops |
//! | `vectorized` | plain loops that the compiler makes vectors of |
//! | `pooling`, `global_max`, `normalization`, `elementwise` | what stands around recurrent layers; on their own |
//! | `squares`, `transposed`, `margins`, `repeats`, `copied` | the sum of squares; numbers that change their places |
//! | `logarithm` | the logarithm in plain operations; on its own |
//! | `matmul` | products of matrices, and of the windows of a convolution, of any size |
//! | `windows` | where the windows of a convolution lie, and what meets a step of its input |
//! | `dense`, `dot`, `convolution`, `depthwise` | dense and convolutional layers, products of rows: forward, and their gradients |
//! | `conv_lstm/` | a ConvLSTM: its time loop with both convolutions, its cell, and the way back |
//! | `exponential` | exponentials of a row, for softmax; on its own |
//! | `sample` | normalisations within a sample |
//! | `attention` | scores, their softmax, and the means that it weighs |
//! | `memory` | how much memory is kept; on its own |
//! | `awake` | keeps Rayon's threads awake between batches; on its own |
//!
//! Blocks depend on the batch and the layer alone, and what they add up (weight gradients) is added in their order, so
//! that any number of threads gives the same bytes.
//!
//! Loops count rather than iterate: what takes a closure may not be inlined into the function for which the vector
//! instructions are enabled, and would then run without them.
//!
//! Nothing here knows of tensors or files: `candle-recurrent` wraps it in Candle's custom ops.

#![allow(unsafe_code, clippy::needless_range_loop, clippy::manual_memcpy)]

mod accumulate;
mod activation;
pub mod attention;
mod awake;
mod backward;
mod buffer;
mod cell;
mod cells;
mod conv_lstm;
mod convolution;
mod copied;
mod dense;
mod depthwise;
mod dot;
mod dropout;
pub mod elementwise;
mod exponential;
mod forward;
mod gate_product;
mod global_max;
mod gradients;
mod grid;
mod gru;
mod isa;
mod lane_layout;
mod layer;
mod logarithm;
mod lstm;
mod margins;
mod math;
mod matmul;
mod memory;
pub mod normalization;
mod outer;
mod packed;
mod plan;
pub mod pooling;
mod product;
mod projection;
mod repeats;
pub mod sample;
mod simple_rnn;
mod squares;
mod transposed;
mod vectorized;
mod weights;
mod windows;

pub use accumulate::{gather, scatter};
pub use activation::Activation;
pub use awake::awake;
pub use backward::backward;
pub use cell::Kind;
pub use conv_lstm::{ConvLstm, ConvLstmGradients, ConvLstmInput, ConvLstmSaved};
pub use convolution::{Convolution, ConvolutionGradients};
pub use copied::copy;
pub use dense::{Dense, DenseGradients, column_sums};
pub use depthwise::Depthwise;
pub use dot::Dot;
pub use exponential::exp;
pub use forward::forward;
pub use isa::instruction_set;
pub use layer::{Dropout, Gradients, Input, Layer, Rows};
pub use logarithm::logarithm;
pub use margins::Margins;
pub use memory::{keep_memory, recompute_beyond, unwritten, zeros};
pub use plan::Saved;
pub use repeats::Repeats;
pub use squares::{sum_of_squares, sum_of_squares_back};
pub use transposed::transpose;
pub use windows::Axis;

//! Files of Keras's and PyTorch's, read and run.

#[path = "../common/mod.rs"]
mod common;
mod compiled;
mod fixtures;
mod hostile;
mod layers;
mod named;
mod refusals;
mod support;
mod texts;
mod torch;
mod trained;
mod wild;

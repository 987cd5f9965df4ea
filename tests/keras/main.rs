//! Files of Keras's, read and run.

#[path = "../common/mod.rs"]
mod common;
mod fixtures;
mod hostile;
mod layers;
mod named;
mod refusals;
mod support;
mod texts;
mod trained;
mod wild;

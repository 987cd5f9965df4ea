//! Files of Keras's, read and run.

mod fixtures;
mod hostile;
mod refusals;
mod support;
mod wild;

//! Files of Keras's, read and run.

mod support;
mod wild;

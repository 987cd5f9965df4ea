//! Keras's own files: `.keras`, `.h5` and `.weights.h5` of Keras 1.1 to 3.15 become a [`ModelConfig`] and [`Weights`].
//!
//! What a file is follows from its first bytes, never from its name. Nothing in a file is executed or unpickled.
//!
//! | part | what it does |
//! |---|---|
//! | `read/container.rs` | which kind of file it is |
//! | `read/archive.rs` | the zip around a `.keras` |
//! | `read/hdf5.rs` | groups, attributes and arrays of an HDF5 file |
//! | `read/dialect/` | the configurations of each Keras version in the form of [`ModelConfig`] |
//! | `read/assign/` | arrays of the file to variables of the model |
//! | `layout/` | one `.safetensors` in PyTorch's and candle-nn's names |

mod layout;
mod read;

pub use layout::{LaidOut, Layout};
pub use read::{Kind, Loaded, kind};

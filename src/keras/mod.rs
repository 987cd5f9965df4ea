//! Keras's own files: `.keras`, `.h5` and `.weights.h5` of Keras 1.1 to 3.15 become a
//! [`ModelConfig`](crate::model::ModelConfig) and [`Weights`](crate::model::Weights).
//!
//! What a file is follows from its first bytes, never from its name. Nothing in a file is executed; the pickle in
//! a PyTorch file is read as data.
//!
//! | part | what it does |
//! |---|---|
//! | `read/container.rs` | which kind of file it is |
//! | `read/archive.rs` | the zip around a `.keras` |
//! | `read/hdf5.rs` | groups, attributes and arrays of an HDF5 file |
//! | `read/dialect/` | the configurations of each Keras version in the form of [`ModelConfig`](crate::model::ModelConfig) |
//! | `read/assign/` | arrays of the file to variables of the model |
//! | `read/training/` | what a model was compiled with and its optimiser's state, of each Keras version |
//! | `recipe.rs` | between that and a recipe of this crate |
//! | `training/` | what Keras 3.15's `compile` knows, which reading and writing share |
//! | `names.rs` | Keras's names and rules that reading and writing share |
//! | `backends.rs` | what Keras 3 does not compute alike on all its backends |
//! | `hard_sigmoid.rs` | which of Keras's two functions of that name weights were made for |
//! | `layout/` | weights alone in PyTorch's and candle-nn's names: a `.safetensors`, or PyTorch's own file |
//! | `write/` | a model as a `.keras` or `.weights.h5` of Keras 3.15 |

mod backends;
mod hard_sigmoid;
mod layout;
mod names;
mod open;
mod order;
mod read;
mod recipe;
mod training;
mod write;

pub use layout::{LaidOut, Layout, weights_from_safetensors, weights_from_torch};
pub use read::{ConfigSource, Kind, Loaded, Options, kind, load, load_config, load_config_with, load_with};
pub use training::{OptimizerState, Training};
pub use write::{Written, to_keras, to_keras_with, to_weights_h5};

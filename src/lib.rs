//! Keras's recurrent layers for Candle.
pub use candle_recurrent_kernel::{awake, instruction_set};

mod error;
pub use error::{Error, Result};

pub mod checkpoint;
pub mod data;
#[cfg(feature = "hub")]
pub mod hub;
pub mod keras;
pub mod layers;
pub mod model;
#[cfg(feature = "plot")]
pub mod plot;
mod quietly;
mod random;
pub mod text;
pub mod train;
pub mod zoo;

/// The code in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

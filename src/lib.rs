//! Keras's recurrent layers for Candle.
pub use candle_recurrent_kernel::{awake, instruction_set};

mod error;
pub use error::{Error, Result};

pub mod checkpoint;
pub mod data;
#[cfg(feature = "hub")]
pub mod hub;
pub mod keras;
pub mod model;
pub mod nn;
#[cfg(feature = "plot")]
pub mod plot;
mod quietly;
pub mod text;
pub mod train;
pub mod zoo;

/// The candidate most like `name`, if one is like it at all: for "did you mean".
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
        .filter(|&(likeness, _)| likeness >= 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The code in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

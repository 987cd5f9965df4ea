//! What turns raw inputs into what a model computes with (`keras/src/layers/preprocessing/`): texts and categories to
//! ids, numbers to bins or to a common scale.
//!
//! The vocabularies are arguments: nothing is learnt here and no file is opened.

mod category_encoding;
mod discretization;
mod encode;
mod hash;
mod hashing;
mod index_lookup;
mod integer_lookup;
mod normalization;
mod string_lookup;
mod text_vectorization;

pub use category_encoding::{CategoryEncoding, CategoryEncodingConfig};
pub use discretization::{Discretization, DiscretizationConfig};
pub use encode::OutputMode;
pub use hash::Salt;
pub use hashing::{Hashing, HashingConfig, MaskValue};
pub use integer_lookup::{IntegerLookup, IntegerLookupConfig, OovMethod};
pub use normalization::{Normalization, NormalizationConfig, Numbers};
pub use string_lookup::{StringLookup, StringLookupConfig};
pub use text_vectorization::{Split, Standardize, TextVectorization, TextVectorizationConfig, Widths};

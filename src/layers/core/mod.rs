//! Inputs, embeddings, dense layers, masking, rescaling, and layers that only move numbers (`keras/src/layers/core/`,
//! `reshaping/`).

mod dense;
mod einsum_dense;
mod embedding;
mod equation;
mod flatten;
mod input;
mod masking;
mod permute;
mod repeat_vector;
mod rescaling;
mod reshape;

pub use dense::{Dense, DenseConfig};
pub use einsum_dense::{EinsumDense, EinsumDenseConfig, OutputShape};
pub use embedding::{Embedding, EmbeddingConfig};
pub use flatten::{Flatten, FlattenConfig};
pub use input::InputLayerConfig;
pub use masking::{Masking, MaskingConfig};
pub use permute::{Permute, PermuteConfig};
pub use repeat_vector::{RepeatVector, RepeatVectorConfig};
pub use rescaling::{Rescaling, RescalingConfig};
pub use reshape::{Reshape, ReshapeConfig};

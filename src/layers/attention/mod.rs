//! Layers that look at several places at once (`keras/src/layers/attention/`).

#[allow(clippy::module_inception)]
mod attention;

pub use attention::{Attention, AttentionConfig, AttentionMasks, ScoreMode};

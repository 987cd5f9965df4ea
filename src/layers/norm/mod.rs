//! Layers that normalise (`keras/src/layers/normalization/`).

mod batch_normalization;
mod group_normalization;
mod layer_normalization;
mod statistics;
mod unit_normalization;

pub use batch_normalization::{BatchNormalization, BatchNormalizationConfig};
pub use group_normalization::{GroupNormalization, GroupNormalizationConfig};
pub use layer_normalization::{LayerNormalization, LayerNormalizationConfig};
pub use unit_normalization::{UnitNormalization, UnitNormalizationConfig};

//! Layers that act in training only (`keras/src/layers/regularization/`).

mod activity_regularization;
mod alpha_dropout;
mod dropout;
mod gaussian_dropout;
mod gaussian_noise;
mod noise_shape;
mod spatial_dropout;
#[cfg(test)]
mod tests;

pub use activity_regularization::{ActivityRegularization, ActivityRegularizationConfig};
pub use alpha_dropout::{AlphaDropout, AlphaDropoutConfig};
pub use dropout::{Dropout, DropoutConfig};
pub use gaussian_dropout::{GaussianDropout, GaussianDropoutConfig};
pub use gaussian_noise::{GaussianNoise, GaussianNoiseConfig};
pub use spatial_dropout::{SpatialDropout, SpatialDropout1d, SpatialDropout1dConfig, SpatialDropoutConfig};

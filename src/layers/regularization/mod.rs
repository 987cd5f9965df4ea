//! Layers that act in training only (`keras/src/layers/regularization/`).

mod activity_regularization;
mod dropout;
mod gaussian_noise;
mod spatial_dropout1d;
#[cfg(test)]
mod tests;

pub use activity_regularization::{ActivityRegularization, ActivityRegularizationConfig};
pub use dropout::{Dropout, DropoutConfig};
pub use gaussian_noise::{GaussianNoise, GaussianNoiseConfig};
pub use spatial_dropout1d::{SpatialDropout1d, SpatialDropout1dConfig};

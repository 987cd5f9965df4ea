//! Keras's losses, one file each, on tensors of any rank with masks and sample weights.

mod binary_crossentropy;
mod binary_focal_crossentropy;
mod categorical_crossentropy;
mod categorical_focal_crossentropy;
mod categorical_hinge;
mod cosine_similarity;
mod criterion;
mod engine;
mod heads;
mod hinge;
mod huber;
mod kl_divergence;
mod log_cosh;
mod mean_absolute_error;
mod mean_absolute_percentage_error;
mod mean_squared_error;
mod mean_squared_logarithmic_error;
mod pinball;
mod poisson;
mod reduction;
mod registry;
mod rowwise;
mod sparse_categorical_crossentropy;
mod squared_hinge;

pub use binary_crossentropy::BinaryCrossentropy;
pub use binary_focal_crossentropy::BinaryFocalCrossentropy;
pub use categorical_crossentropy::CategoricalCrossentropy;
pub use categorical_focal_crossentropy::{Alpha, CategoricalFocalCrossentropy};
pub use categorical_hinge::CategoricalHinge;
pub use cosine_similarity::CosineSimilarity;
pub use engine::BatchLoss;
pub use hinge::Hinge;
pub use huber::Huber;
pub use kl_divergence::KLDivergence;
pub use log_cosh::LogCosh;
pub use mean_absolute_error::MeanAbsoluteError;
pub use mean_absolute_percentage_error::MeanAbsolutePercentageError;
pub use mean_squared_error::MeanSquaredError;
pub use mean_squared_logarithmic_error::MeanSquaredLogarithmicError;
pub use pinball::Pinball;
pub use poisson::Poisson;
pub use reduction::Reduction;
pub use registry::Loss;
pub use sparse_categorical_crossentropy::SparseCategoricalCrossentropy;
pub use squared_hinge::SquaredHinge;

use super::output::Output;
use crate::Result;
use crate::layers::Activation;
use candle_core::Tensor;

/// Binary cross-entropy of logits: the mean over the batch of `max(x, 0) - x z + log(1 + exp(-|x|))` for logits x and
/// targets z (Keras's `binary_crossentropy` on TensorFlow, where the sigmoid's logits are known), as a scalar tensor.
///
/// `logits` (n, 1) or (n); `targets` as many values from 0 to 1, which are constants: no gradient flows into them.
///
/// # Errors
/// No value at all, or another number of targets than of logits.
pub fn binary_crossentropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    Ok(batch_loss(logits, targets)?.loss)
}

/// [`binary_crossentropy`] with its value.
///
/// # Errors
/// As [`binary_crossentropy`].
pub fn batch_loss(logits: &Tensor, targets: &Tensor) -> Result<BatchLoss> {
    let output = Output { values: logits.clone(), activation: Some(Activation::Sigmoid), mask: None };
    Loss::from(BinaryCrossentropy::default()).batch(&output, targets, None)
}

#[cfg(test)]
mod tests;

//! Activations as layers (`keras/src/layers/activations/`).

mod activation;
mod elu;
mod leaky_relu;
mod prelu;
mod relu;
mod softmax;
#[cfg(test)]
mod tests;

pub use activation::ActivationConfig;
pub use elu::{Elu, EluConfig};
pub use leaky_relu::{LeakyRelu, LeakyReluConfig};
pub use prelu::{PRelu, PReluConfig};
pub use relu::{Relu, ReluConfig};
pub use softmax::{Softmax, SoftmaxConfig};

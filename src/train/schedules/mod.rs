//! Learning rates that change from step to step: Keras's schedules, one file each
//! (`keras/src/optimizers/schedules/learning_rate_schedule.py`).
//!
//! | class | the rate |
//! |---|---|
//! | [`ExponentialDecay`] | falls by a factor every so many steps |
//! | [`PiecewiseConstantDecay`] | stays, until the next boundary |
//! | [`PolynomialDecay`] | goes to another one, by a power |
//! | [`InverseTimeDecay`] | falls as one over the steps |
//! | [`CosineDecay`] | warms up, then falls as half a cosine |
//! | [`CosineDecayRestarts`] | falls as half a cosine, over and over |
//!
//! [`Schedule`] is any of them, [`LearningRate`] a number or one of them. In JSON they stand as Keras serialises them.

mod cosine_decay;
mod cosine_decay_restarts;
mod exponential_decay;
mod float;
mod inverse_time_decay;
mod learning_rate;
mod piecewise_constant_decay;
mod polynomial_decay;
mod registry;
mod rule;

pub use cosine_decay::CosineDecay;
pub use cosine_decay_restarts::CosineDecayRestarts;
pub use exponential_decay::ExponentialDecay;
pub use inverse_time_decay::InverseTimeDecay;
pub use learning_rate::LearningRate;
pub use piecewise_constant_decay::PiecewiseConstantDecay;
pub use polynomial_decay::PolynomialDecay;
pub use registry::Schedule;

#[cfg(test)]
mod tests;

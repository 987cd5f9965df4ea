//! Keras's optimisers, one file each, and the engine that they share.
//!
//! An [`Optimizer`] trains named variables by one of the classes, [`Adam`] say, with the options that all of them take
//! ([`OptimizerConfig`]). Steps are Keras's to the digit: the same formulas in the same order, bias corrections and
//! schedules computed in f32.
//!
//! | class | steps by |
//! |---|---|
//! | [`RmsProp`] | the mean square of gradients |
//! | [`Adam`], [`AdamW`], [`Nadam`] | the means of gradients and of their squares; with weight decay; with Nesterov's momentum |
//! | [`Adamax`] | the mean of gradients and the greatest one |
//! | [`Sgd`] | gradients, momentum |
//! | [`Adagrad`], [`Adadelta`] | the sum of squares; the mean square against that of steps |
//! | [`Lion`] | the sign of a mean of gradients |
//! | [`Ftrl`] | the leader, regularised |
//!
//! A formula is written once (`Formula::apply`), over numbers that are f32 in a fused pass over the variable, and tensors
//! where the variable is of another type or on another device.

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod adamw;
mod config;
mod engine;
mod formula;
mod ftrl;
mod fused;
mod gradient;
mod kept;
mod lion;
mod nadam;
mod number;
mod registry;
mod rmsprop;
mod sgd;
mod state;
mod tensors;

pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adamax::Adamax;
pub use adamw::AdamW;
pub use engine::Optimizer;
pub use ftrl::Ftrl;
pub use lion::Lion;
pub use nadam::Nadam;
pub use registry::{OptimizerClass, OptimizerConfig};
pub use rmsprop::RmsProp;
pub use sgd::Sgd;
pub use state::KerasVariable;

#[cfg(test)]
mod tests;

//! What a trained forecaster says: the steps after a file's end, and how good its forecasts of the past are beside the naive
//! ones.

mod ahead;
mod backtest;
mod forecaster;
#[cfg(feature = "plot")]
mod picture;

pub use ahead::{Ahead, StepAhead};
pub use backtest::{Backtest, Compared, ComparedFigures};
pub use forecaster::Forecaster;

//! Layers of several inputs (`keras/src/layers/merging/`).

mod concatenate;
mod dot;
mod elementwise;

pub use concatenate::{Concatenate, ConcatenateConfig};
pub use dot::{Dot, DotConfig};
pub(crate) use elementwise::choose;
pub use elementwise::{
    Add, AddConfig, Average, AverageConfig, Maximum, MaximumConfig, Minimum, MinimumConfig, Multiply,
    MultiplyConfig, Subtract, SubtractConfig,
};

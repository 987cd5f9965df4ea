//! Reading: a file to a model's configuration and variables.

mod container;

pub use container::{Kind, kind};

use crate::model::{ModelConfig, Weights};

/// What a file held.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The layers.
    pub config: ModelConfig,
    /// The variables, exactly those of `config`, in f32.
    pub weights: Weights,
    /// What a user should know though the model can be used, a line each: weights that are not finite, for example.
    pub warnings: Vec<String>,
}

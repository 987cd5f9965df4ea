//! What Keras 3's backends compute differently.

use crate::model::ModelConfig;
use crate::{Error, Result};

/// Refuses a model that gives other numbers in Keras 3 on TensorFlow than in any other Keras; `instead` is what to do.
///
/// # Errors
/// [`Error::Layer`].
pub(super) fn check_backends(config: &ModelConfig, instead: &str) -> Result<()> {
    config.place()?.check_keras3().map_err(|error| match error {
        Error::Layer { layer, what } => Error::layer(layer, format!("{what}; {instead}")),
        error => error,
    })
}

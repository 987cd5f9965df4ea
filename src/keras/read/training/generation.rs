//! Which of Keras's families of optimisers wrote a configuration: they keep other variables, and some have other formulas.

use super::super::dialect::Version;
use serde_json::Value;

/// A family of optimisers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// Keras 1 and 2 beside TensorFlow, and tf.keras up to TensorFlow 1.12.
    Old,
    /// tf.keras up to 2.10 (`optimizer_v2`), and `optimizers.legacy` since.
    Legacy,
    /// tf.keras 2.11 to 2.15.
    TfKeras,
    /// Keras 3.
    Keras3,
}

impl Generation {
    /// By the version and an optimiser's configuration.
    pub fn find(version: &Version, optimizer: &Value) -> Self {
        // Keras 3 was called so before it was one.
        let is_core =
            optimizer.get("module").and_then(Value::as_str).is_some_and(|it| it.starts_with("keras_core"));
        let has = |key: &str| optimizer.pointer(&format!("/config/{key}"));
        match () {
            () if version.major >= 3 || is_core => Self::Keras3,
            () if has("is_legacy_optimizer") == Some(&Value::Bool(true)) => Self::Legacy,
            () if ["is_legacy_optimizer", "jit_compile", "use_ema"].iter().any(|key| has(key).is_some()) => {
                Self::TfKeras
            }
            () if has("name").is_some() => Self::Legacy,
            // A bare name, of those who had no other form.
            () if optimizer.is_string() && version.major == 2 && version.minor >= Some(11) => Self::TfKeras,
            () => Self::Old,
        }
    }

    /// What to call it in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "the Keras that wrote the file",
            Self::Legacy | Self::TfKeras => "tf.keras",
            Self::Keras3 => "Keras 3",
        }
    }
}

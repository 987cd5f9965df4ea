//! The types that a layer keeps its weights in and computes with: Keras's dtype policies.

use super::{Context, Quantised, Source};
use crate::keras::names::is_model;
use crate::{Error, Result};
use serde_json::Value;

/// A policy's name: `mixed_float16`, or of a quantised layer its mode and what it was made of, `int8_from_float32`.
fn name(dtype: &Value) -> Option<String> {
    match dtype {
        Value::String(name) => Some(name.clone()),
        Value::Object(policy) => {
            let config = policy.get("config")?;
            let text = |key: &str| config.get(key).and_then(Value::as_str);
            match (text("mode"), text("source_name").or_else(|| text("name"))) {
                (Some(mode), Some(source)) => Some(format!("{mode}_from_{source}")),
                (_, Some(name)) => Some(name.to_string()),
                (Some(mode), None) => Some(format!("{mode}_from_float32")),
                (None, None) => None,
            }
        }
        _ => None,
    }
}

impl Context {
    /// Notes the policy of the layer `source`, of the class `class` in the file.
    pub(super) fn take_policy(&mut self, class: &str, config: &Value, source: &mut Source) -> Result<()> {
        // A model's own says nothing of its layers', and an input's is that of its numbers.
        if is_model(class) || class == "InputLayer" {
            return Ok(());
        }
        let Some(policy) = config.get("dtype").and_then(name) else { return Ok(()) };
        let (mode, float) =
            policy.split_once("_from_").map_or((None, policy.as_str()), |(a, b)| (Some(a), b));
        if ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"].contains(&float) {
            self.narrow.insert(float.into());
        }
        if float == "float64" && !self.wide {
            self.wide = true;
            self.warnings.push(
                "all is computed in float32; with the dtype policy float64 of the file, Keras computes with more digits"
                    .into(),
            );
        }
        let Some(mode) = mode else { return Ok(()) };
        let fail = |what: String| Err(Error::layer(source.name.as_str(), format!("{class}: {what}")));
        source.quantised = match (mode, class) {
            ("int8", "Dense") => Some(Quantised::Int8 { by_row: false }),
            ("int8", "Embedding") => Some(Quantised::Int8 { by_row: true }),
            ("int8", _) => {
                return fail("is quantised to int8, which is read of Dense and Embedding only".into());
            }
            (mode, _) => {
                return fail(format!(
                    "is quantised to {mode}, which is not read (int8 is); save the model before `quantize`"
                ));
            }
        };
        if class == "Dense" {
            self.quantised = true;
        }
        Ok(())
    }

    /// What a user should know of the types.
    pub(super) fn warn_policies(&mut self) {
        if !self.narrow.is_empty() {
            let names: Vec<&str> = self.narrow.iter().map(String::as_str).collect();
            self.warnings.push(format!(
                "all is computed in float32; with the dtype policy {} of the file, Keras computes with fewer digits, so \
                 that its answers may differ by 1e-3 (float16) or 1e-2 (bfloat16) of their size",
                names.join(", ")
            ));
        }
        if self.quantised {
            self.warnings.push(
                "the model is quantised to int8: its weights are read as the floats that they stand for, but the inputs of \
                 its Dense layers are not rounded to int8 as Keras rounds them, so that Keras's answers may differ by a few \
                 hundredths of their size"
                    .into(),
            );
        }
    }
}

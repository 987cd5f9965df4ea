//! Keras 3 writes down how masks are computed: operations such as `NotEqual` beside the layers, and calls with
//! `mask=…`. A model here computes its masks itself, so these operations are left out: but only where they are the
//! masks that the layers would hand on anyway.

use super::graph::{Call, Reference};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// The operations of a model that compute masks.
pub(super) struct Masks<'a>(HashSet<&'a str>);

/// What Keras's own layers compute masks with.
const OPERATIONS: [&str; 14] = [
    "NotEqual",
    "Any",
    "All",
    "LogicalAnd",
    "LogicalOr",
    "Concatenate",
    "ExpandDims",
    "Cast",
    "OnesLike",
    "Reshape",
    "BroadcastTo",
    "Squeeze",
    "Flip",
    "Tile",
];

impl<'a> Masks<'a> {
    pub fn find(layers: &'a [(String, &'a Value, Vec<Call>)]) -> Self {
        // An operation is no layer: its configuration holds nothing but its name and its own arguments.
        let is_operation = |value: &Value| {
            let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
            OPERATIONS.contains(&class) && value.pointer("/config/trainable").is_none()
        };
        // The inputs of layers that begin a mask, with the value that they mask.
        let mut begins: HashMap<&Reference, f64> = HashMap::new();
        for (_, value, calls) in layers {
            let config = value.get("config").unwrap_or(&Value::Null);
            let masked = match value.get("class_name").and_then(Value::as_str) {
                Some("Embedding") if config.get("mask_zero") == Some(&Value::Bool(true)) => 0.0,
                Some("Masking") => config.get("mask_value").and_then(Value::as_f64).unwrap_or(0.0),
                _ => continue,
            };
            let inputs = calls.iter().filter_map(|call| call.inputs.first());
            begins.extend(inputs.map(|input| (input, masked)));
        }
        let mut parts: HashSet<&str> = HashSet::new();
        // In the order of the file an operation stands after its inputs, but nothing says so.
        loop {
            let before = parts.len();
            for (name, value, calls) in layers.iter().filter(|(_, value, _)| is_operation(value)) {
                let is_mask = |call: &Call| {
                    let begun = call.inputs.first().and_then(|input| begins.get(input));
                    let constant = call.constants.iter().find_map(constant);
                    let begins_here = value.get("class_name").is_some_and(|class| class == "NotEqual")
                        && call.inputs.len() == 1
                        && begun.is_some_and(|masked| constant.is_some_and(|constant| constant == *masked));
                    begins_here
                        || !call.inputs.is_empty()
                            && call.inputs.iter().all(|input| parts.contains(input.layer.as_str()))
                };
                if !calls.is_empty() && calls.iter().all(is_mask) {
                    parts.insert(name);
                }
            }
            if parts.len() == before {
                return Self(parts);
            }
        }
    }

    /// Whether `layer` is such an operation.
    pub fn is_part(&self, layer: &str) -> bool {
        self.0.contains(layer)
    }
}

/// A constant argument as a number.
fn constant(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_object()?.values().find_map(Value::as_f64))
}

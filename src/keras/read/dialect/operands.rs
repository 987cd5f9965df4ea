//! What is read of an operation, whichever Keras wrote it, and the parts of its JSON that all of them have.

use super::call::Reference;
use crate::layers::{Index, Key, OperationConfig, non_finite};
use serde_json::{Value, json};

/// What was read of an operation: its arguments, and the tensors that it is called on.
pub(super) struct Found {
    pub config: OperationConfig,
    pub inputs: Vec<Reference>,
}

/// Something in the place of an operand.
pub(super) enum Operand {
    Tensor(Reference),
    Constant(Value),
}

impl Found {
    /// An operation on these operands.
    pub fn new(op: &str, operands: Vec<Operand>) -> Self {
        let (mut config, mut inputs) = (OperationConfig::new(op), vec![]);
        let has_constants = operands.iter().any(|operand| matches!(operand, Operand::Constant(_)));
        for operand in operands {
            let constant = match operand {
                Operand::Constant(value) => value,
                Operand::Tensor(reference) => {
                    inputs.push(reference);
                    Value::Null
                }
            };
            if has_constants {
                config.operands.push(constant);
            }
        }
        Self { config, inputs }
    }

    /// The same with an argument.
    pub fn with(self, name: &str, value: impl Into<Value>) -> Self {
        Self { config: self.config.with(name, value), ..self }
    }
}

/// That an operation cannot be read.
pub(super) fn unknown(what: &str) -> String {
    let near = crate::error::nearest(what, OperationConfig::names());
    let near = near.map(|near| format!("; the nearest that is, is {near}")).unwrap_or_default();
    format!("stands for `{what}`, an operation outside any layer, which is not supported{near}")
}

/// The items of a list, or of a tuple.
pub(super) fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(list) => Some(list),
        Value::Object(object) if object.get("class_name").is_some_and(|class| class == "__tuple__") => {
            object.get("items")?.as_array().map(Vec::as_slice)
        }
        _ => None,
    }
}

/// Numbers, or lists of them.
pub(super) fn is_constant(value: &Value) -> bool {
    match value {
        Value::Array(list) => !list.is_empty() && list.iter().all(is_constant),
        value => {
            value.is_number()
                || value.is_boolean()
                || value.as_str().is_some_and(|word| non_finite(word).is_some())
        }
    }
}

/// A value as it may be shown in an error.
pub(super) fn short(value: &Value) -> String {
    let mut shown = value.to_string();
    if shown.chars().count() > 60 {
        shown = shown.chars().take(60).chain(['…']).collect();
    }
    shown
}

/// A key of Keras 3's or of tf.keras's JSON: slices are objects there, with or without a class.
pub(super) fn key_of(value: &Value) -> std::result::Result<Key, String> {
    let index = |value: &Value| {
        let object = value.get("config").filter(|config| config.is_object()).unwrap_or(value);
        let bound = |name: &str| match object.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(bound) => bound.as_i64().map(Some),
        };
        Some(match (value, value.get("class_name").and_then(Value::as_str)) {
            (Value::Null, _) => Index::NewAxis,
            (Value::Number(at), _) => Index::At(at.as_i64()?),
            (Value::String(dots), _) if dots == "..." => Index::Ellipsis,
            (_, Some("__ellipsis__")) => Index::Ellipsis,
            (Value::Object(_), None | Some("__slice__" | "slice")) => {
                Index::Slice { start: bound("start")?, stop: bound("stop")?, step: bound("step")? }
            }
            _ => return None,
        })
    };
    let list = items(value).unwrap_or(std::slice::from_ref(value));
    let indices: Option<Vec<Index>> = list.iter().map(index).collect();
    let what = || {
        format!(
            "its key {} is not made of numbers and slices alone, which is not supported",
            short(&json!(value))
        )
    };
    indices.filter(|indices| !indices.is_empty()).map(Key).ok_or_else(what)
}

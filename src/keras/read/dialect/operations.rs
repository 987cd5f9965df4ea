//! Operations between layers as Keras 3 writes them: classes of `keras.ops`, whose operands and constants stand in the
//! arguments of the call.

use super::call::{Call, reference};
use super::fields::Fields;
use super::operands::{Found, Operand, is_constant, items, key_of, short, unknown};
use super::{Context, Layer, Source, node_def, tensorflow};
use crate::layers::{Operands, Row, operation_row};
use crate::{Error, Result};
use serde_json::{Map, Value};

/// Whether it stands for an operation rather than a layer, whichever Keras wrote it.
pub(super) fn is(value: &Value) -> bool {
    let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
    tensorflow::CLASSES.contains(&class) || of_keras3(value)
}

/// Whether it is a class of `keras.ops`, or the class of a function among the activations.
pub(super) fn of_keras3(value: &Value) -> bool {
    // An operation is no layer: its configuration holds nothing but its name and its own arguments.
    let is_bare = value.pointer("/config/trainable").is_none();
    match value.get("module").and_then(Value::as_str) {
        Some(module) => {
            module.contains(".ops.") || module == "keras.ops" || module.contains(".activations") && is_bare
        }
        // In an `.h5`, where classes stand without their module.
        None => {
            let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
            is_bare && value.pointer("/inbound_nodes/0/args").is_some() && operation_row(class).is_some()
        }
    }
}

impl Context {
    /// An operation with its one call.
    pub fn operation(&self, value: &Value, name: &str) -> Result<(Layer, Vec<Call>)> {
        let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
        let fail = |what: String| Error::layer(name, what);
        let [node] =
            value.get("inbound_nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
        else {
            let what = "stands for an operation outside any layer, which must be called exactly once";
            return Err(fail(what.into()));
        };
        let found = match class {
            _ if of_keras3(value) => keras3(value, class, node),
            "TensorFlowOpLayer" => node_def::read(value, node),
            _ => tensorflow::read(value, node),
        };
        let Found { config, inputs } = found.map_err(fail)?;
        let config = serde_json::to_value(config).map_err(|error| fail(error.to_string()))?;
        let layer = Layer { class: "Operation", config, source: Source::new(name, &Value::Null), tail: None };
        let names = (0..inputs.len()).map(|position| format!("#{position}")).collect();
        Ok((layer, vec![Call { inputs, names, ..Call::default() }]))
    }

    /// Refuses an operation where no layer can stand for it.
    pub fn no_operation(fields: &Fields) -> Error {
        fields.error(
            "stands for an operation outside any layer, which is not supported outside a functional model",
        )
    }
}

fn keras3(value: &Value, class: &str, node: &Value) -> std::result::Result<Found, String> {
    let row = operation_row(class).ok_or_else(|| unknown(class))?;
    let args = node.get("args").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut kwargs = node.get("kwargs").and_then(Value::as_object).cloned().unwrap_or_default();
    let (operands, rest) = match (class, args) {
        ("GetItem", [xs, key]) => (std::slice::from_ref(xs), Some(key.clone())),
        ("GetItem", [xs]) => (std::slice::from_ref(xs), kwargs.shift_remove("key")),
        _ => (args, None),
    };
    let operands = match (row.operands(), operands) {
        (Operands::List, [list]) => {
            items(list).ok_or_else(|| format!("{class}: its operands are no list"))?
        }
        (_, operands) => operands,
    };
    let operands =
        operands.iter().map(|value| operand(class, value)).collect::<std::result::Result<_, _>>()?;
    let mut found = Found::new(class, operands);
    if class == "GetItem" {
        let key = rest.ok_or("GetItem: its key is missing")?;
        found = found.with("key", key_of(&key)?.to_string());
    }
    let empty = Map::new();
    let config = value.get("config").and_then(Value::as_object).unwrap_or(&empty);
    let own = config.iter().filter(|(name, _)| !["name", "trainable"].contains(&name.as_str()));
    for (name, value) in own.chain(&kwargs) {
        if let Some(value) = argument(row, name, value)? {
            found = found.with(name, value);
        }
    }
    Ok(found)
}

/// An argument in this crate's form; nothing where it says nothing.
fn argument(row: &Row, name: &str, value: &Value) -> std::result::Result<Option<Value>, String> {
    // Only there `None` is another axis than none given.
    let says_all = name == "axis" && matches!(row.op, "Softmax" | "LogSoftmax" | "Normalize");
    if value.is_null() && !says_all || name == "dtype" && row.argument(name).is_none() {
        return Ok(None);
    }
    if row.argument(name).is_none() {
        return Err(format!("{}: its argument `{name}` is {value}, which is not supported", row.op));
    }
    Ok(Some(items(value).map_or_else(|| value.clone(), |items| items.to_vec().into())))
}

fn operand(class: &str, value: &Value) -> std::result::Result<Operand, String> {
    let kind = value.get("class_name").and_then(Value::as_str);
    let constant = match kind {
        Some("__keras_tensor__") => {
            let history = value.pointer("/config/keras_history").and_then(Value::as_array);
            let found = history.and_then(|history| reference(history));
            return found
                .map(Operand::Tensor)
                .ok_or_else(|| format!("{class}: an operand cannot be understood"));
        }
        Some("__numpy__" | "__tensor__") => value.pointer("/config/value").cloned(),
        None if is_constant(value) => Some(value.clone()),
        _ => None,
    };
    constant
        .filter(is_constant)
        .map(Operand::Constant)
        .ok_or_else(|| format!("{class}: its operand {} is neither a tensor nor a number", short(value)))
}

//! Operations as Keras 3.15 writes them: a class of `keras.ops`, its constants in the arguments of the call.

use crate::layers::{Index, Key, Operands, OperationConfig, Row, operation_row};
use crate::{Error, Result};
use serde_json::{Map, Value, json};

/// Arguments that Keras takes when it calls the operation.
const OF_CALL: [(&str, &str); 2] = [("Pad", "constant_values"), ("GetItem", "key")];

fn is_of_call(op: &str, name: &str) -> bool {
    OF_CALL.contains(&(op, name))
}

fn read(layer: &Value) -> Result<(String, OperationConfig, &'static Row)> {
    let name = layer.pointer("/config/name").and_then(Value::as_str).unwrap_or_default();
    let mut config = layer.get("config").cloned().unwrap_or_default();
    if let Some(config) = config.as_object_mut() {
        config.shift_remove("name");
    }
    let mut config: OperationConfig =
        crate::json::from_value(&config).map_err(|wrong| Error::layer(name, wrong.to_string()))?;
    let row = operation_row(&config.op)
        .ok_or_else(|| Error::layer(name, format!("op `{}` is unknown", config.op)))?;
    // Keras's operations are no layers: they are neither frozen nor trained.
    config.arguments.retain(|name, _| row.argument(name).is_some());
    Ok((name.to_string(), config, row))
}

/// An operation as a serialised object.
pub(super) fn keras_operation(layer: &Value) -> Result<Value> {
    let (name, config, row) = read(layer)?;
    // An operation of Keras's takes no open size; the layer of that name keeps the batch.
    if row.op == "Reshape"
        && let Some([Value::Null, sizes @ ..]) =
            config.arguments.get("newshape").and_then(Value::as_array).map(Vec::as_slice)
    {
        return Ok(json!({"module": "keras.layers", "class_name": "Reshape", "registered_name": null,
            "config": {"name": name, "dtype": "float32", "target_shape": sizes}}));
    }
    let mut arguments = Map::from_iter([("name".to_string(), Value::from(name))]);
    let own = config.arguments.into_iter().filter(|(name, _)| !is_of_call(row.op, name));
    arguments.extend(own);
    Ok(json!({"module": row.module, "class_name": row.op, "config": arguments, "registered_name": row.op}))
}

/// Makes a graph of each row of layers that holds an operation.
pub(super) fn as_graph(model: &mut Value) {
    let is_graph = model.get("output_layers").is_some_and(|outputs| !outputs.is_null());
    let Some(layers) = model.get_mut("layers").and_then(Value::as_array_mut) else { return };
    for layer in layers.iter_mut() {
        if let Some(config) = layer.get_mut("config").filter(|config| config.get("layers").is_some()) {
            as_graph(config);
        }
    }
    let class =
        |layer: &Value| layer.get("class_name").and_then(Value::as_str).unwrap_or_default().to_string();
    if is_graph || !layers.iter().any(|layer| class(layer) == "Operation") {
        return;
    }
    if layers.first().is_some_and(|first| class(first) != "InputLayer") {
        // Such a row begins with an Embedding.
        let input = json!({"class_name": "InputLayer",
            "config": {"name": "input_layer", "batch_shape": [null, null], "dtype": "int32"}});
        layers.insert(0, input);
    }
    let names: Vec<Value> =
        layers.iter().map(|layer| layer.pointer("/config/name").cloned().unwrap_or_default()).collect();
    for (layer, before) in layers.iter_mut().skip(1).zip(&names) {
        layer["inbound_nodes"] = json!([[[before, 0, 0]]]);
    }
    let ends = [names.first().cloned(), names.last().cloned()].map(|name| json!([[name, 0, 0]]));
    let [inputs, outputs] = ends;
    model["input_layers"] = inputs;
    model["output_layers"] = outputs;
}

/// Its call on `tensors`.
pub(super) fn operation_call(layer: &Value, tensors: Vec<Value>) -> Result<Value> {
    let (name, config, row) = read(layer)?;
    let mut tensors = tensors.into_iter();
    let mut operands: Vec<Value> = vec![];
    for constant in &config.operands {
        operands.push(match constant {
            Value::Null => tensors.next().unwrap_or_default(),
            // NumPy reads the words for what is not finite, and JSON has none.
            list @ (Value::Array(_) | Value::String(_)) => array(list),
            number => number.clone(),
        });
    }
    operands.extend(tensors);
    if row.operands() == Operands::List {
        operands = vec![operands.into()];
    }
    let mut kwargs = Map::new();
    for (argument, value) in config.arguments.iter().filter(|(name, _)| is_of_call(row.op, name)) {
        match row.op {
            "GetItem" => {
                let key = value.as_str().unwrap_or_default().parse::<Key>();
                let Key(indices) = key.map_err(|what| Error::layer(name.as_str(), what))?;
                operands.push(indices.iter().map(index).collect());
            }
            _ => {
                kwargs.insert(argument.clone(), value.clone());
            }
        }
    }
    Ok(json!({"args": operands, "kwargs": kwargs}))
}

/// A list of numbers as NumPy's array.
fn array(list: &Value) -> Value {
    fn all(value: &Value, of: &dyn Fn(&Value) -> bool) -> bool {
        value.as_array().map_or_else(|| of(value), |list| list.iter().all(|item| all(item, of)))
    }
    let dtype = match () {
        () if all(list, &Value::is_boolean) => "bool",
        () if all(list, &|value| value.is_i64() || value.is_u64()) => "int32",
        () => "float32",
    };
    json!({"class_name": "__numpy__", "config": {"value": list, "dtype": dtype}})
}

fn index(index: &Index) -> Value {
    match index {
        Index::At(at) => json!(at),
        Index::NewAxis => Value::Null,
        Index::Ellipsis => json!({"class_name": "__ellipsis__", "config": {}}),
        Index::Slice { start, stop, step } => {
            json!({"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}})
        }
    }
}

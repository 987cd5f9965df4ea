//! A model's JSON as Keras 3.15 writes it into `config.json`.

use super::attention;
use super::groups::is_graph;
use super::operation::{keras_operation, operation_call};
use super::rules;
use crate::keras::hard_sigmoid::HardSigmoid;
use crate::keras::names::{OWN_ARGUMENTS, begins_mask, call_arguments, is_model, takes_states};
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Calls of a layer and their inputs.
const INPUT_LAYER: &str = "InputLayer";

/// The whole `config.json`; what is not as it was in `model` is added to `notes`.
///
/// # Errors
/// Where the JSON is no model's.
pub(super) fn keras_model(model: &Value, notes: &mut Vec<String>) -> Result<Value> {
    let mut model = model.clone();
    let has_masks = begins_mask(&model);
    if has_masks {
        check_masks(&model)?;
        free_names(&mut model, notes);
    }
    check_softmax(&model, has_masks)?;
    let model = &model;
    let graph = is_graph(model);
    let mut config = model_config(model, graph)?;
    if !graph {
        let first = config.pointer("/layers/0/class_name").and_then(Value::as_str).map(str::to_string);
        if first.as_deref() == Some("Embedding") {
            // Keras builds a model from its input's shape.
            let input = json!({"name": "input_layer", "batch_shape": [null, null], "dtype": "int32"});
            let input = json!({"class_name": INPUT_LAYER, "config": input});
            if let Some(layers) = config.get_mut("layers").and_then(Value::as_array_mut) {
                layers.insert(0, keras_layer(&input)?);
            }
        }
    }
    let keras = object_of(graph, config);
    if has_masks {
        attention::check_unmasked(model, &keras)?;
    }
    Ok(keras)
}

fn check_softmax(model: &Value, has_masks: bool) -> Result<()> {
    for layer in model.get("layers").and_then(Value::as_array).into_iter().flatten() {
        attention::check_softmax(layer, has_masks)?;
        if let Some(config) = layer.get("config") {
            check_softmax(config, has_masks)?;
        }
    }
    Ok(())
}

/// The text of a `config.json`: numbers that JSON has no word for as Python writes them.
pub(super) fn text(model: &Value) -> String {
    let mut text = model.to_string();
    for word in ["NaN", "Infinity", "-Infinity"] {
        text = text.replace(&format!("\"mask_value\":\"{word}\""), &format!("\"mask_value\":{word}"));
    }
    text
}

/// Refuses a recurrent layer that heeds a mask while it is given initial states: Keras 3 would not, and give other
/// numbers.
fn check_masks(model: &Value) -> Result<()> {
    let layers = model.get("layers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for layer in layers {
        if let Some(config) = layer.get("config") {
            check_masks(config)?;
        }
        if layer.pointer("/config/mask_join").is_some_and(|join| join != "any") {
            return Err(Error::layer(
                name_of(layer),
                "joins the masks of its inputs as Keras before 3.4 did, and Keras 3.15 has another rule, so a file of \
                 Keras 3 cannot hold this model; write a model folder instead",
            ));
        }
        let calls =
            layer.get("inbound_nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let states = calls.iter().any(|call| call.as_array().is_some_and(|tensors| tensors.len() > 1));
        let heeds = layer.get("mask_with_states") != Some(&Value::Bool(false));
        if states && heeds && takes_states(layer) {
            return Err(Error::layer(
                name_of(layer),
                "is given initial states in a model with masks: Keras 3 ignores the mask of such a call, which Keras 1 \
                 and 2 heed, so a file of Keras 3 cannot hold this model; write a model folder instead",
            ));
        }
    }
    Ok(())
}

/// What Keras computes masks with. When it calls the layers of a graph again, it numbers these operations from the start,
/// and a layer of the same name is an error.
const OPERATIONS: [&str; 8] = [
    "not_equal",
    "any",
    "logical_or",
    "expand_dims",
    "zeros_like",
    "ones_like",
    "concatenate",
    "convert_to_tensor",
];

fn is_name_of_operation(name: &str) -> bool {
    OPERATIONS.iter().any(|operation| {
        name.strip_prefix(operation).is_some_and(|rest| {
            rest.is_empty()
                || rest
                    .strip_prefix('_')
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
    })
}

/// Gives the layers of graphs that are called as Keras's operations of masks other names.
fn free_names(model: &mut Value, notes: &mut Vec<String>) {
    let graph = is_graph(model);
    let Some(layers) = model.get_mut("layers").and_then(Value::as_array_mut) else { return };
    for config in layers.iter_mut().filter_map(|layer| layer.get_mut("config")) {
        free_names(config, notes);
    }
    let names: HashSet<String> = layers.iter().map(|layer| name_of(layer).to_string()).collect();
    let taken = names.iter().filter(|name| graph && is_name_of_operation(name));
    let renamed: HashMap<&str, String> = taken
        .map(|name| {
            let mut free = format!("layer_{name}");
            while names.contains(&free) {
                free.insert_str(0, "layer_");
            }
            (name.as_str(), free)
        })
        .collect();
    let new = |value: &mut Value| {
        if let Some(name) = value.as_str().and_then(|name| renamed.get(name)) {
            *value = name.as_str().into();
        }
    };
    for layer in layers.iter_mut() {
        let name = name_of(layer).to_string();
        if let Some(free) = renamed.get(name.as_str()) {
            notes.push(format!(
                "layer {name}: called {free}, for Keras has an operation of masks of that name"
            ));
        }
        layer.pointer_mut("/config/name").into_iter().for_each(new);
        let calls = layer.get_mut("inbound_nodes").and_then(Value::as_array_mut).into_iter().flatten();
        let tensors = calls.filter_map(Value::as_array_mut).flatten();
        tensors.filter_map(|tensor| tensor.get_mut(0)).for_each(new);
    }
    for key in ["input_layers", "output_layers"] {
        let ends = model.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten();
        ends.filter_map(|tensor| tensor.get_mut(0)).for_each(new);
    }
}

/// A model as a serialised object.
fn object_of(graph: bool, config: Value) -> Value {
    match graph {
        true => json!({"module": "keras.src.models.functional", "class_name": "Functional", "config": config,
            "registered_name": "Functional"}),
        false => {
            json!({"module": "keras", "class_name": "Sequential", "config": config, "registered_name": null})
        }
    }
}

fn model_config(model: &Value, graph: bool) -> Result<Value> {
    let list = |key: &str| {
        let list = model.get(key).and_then(Value::as_array);
        list.ok_or_else(|| Error::argument("model config", format!("a model needs its `{key}`")))
    };
    let mut config = Map::new();
    config.insert("name".into(), model.get("name").cloned().unwrap_or(Value::Null));
    config.insert("trainable".into(), true.into());
    let layers = list("layers")?;
    if !graph {
        config.insert("dtype".into(), "float32".into());
        config.insert("layers".into(), layers.iter().map(keras_layer).collect::<Result<_>>()?);
        return Ok(config.into());
    }
    let nested: Vec<&str> = layers.iter().filter(|layer| is_nested_graph(layer)).map(name_of).collect();
    config.insert("layers".into(), layers.iter().map(graph_layer).collect::<Result<_>>()?);
    for key in ["input_layers", "output_layers"] {
        let tensors = list(key)?.iter().map(|tensor| end(tensor, &nested)).collect::<Result<Vec<_>>>()?;
        // One tensor stands alone, so that the model takes or gives an array and no list.
        let tensors = match <[Value; 1]>::try_from(tensors) {
            Ok([one]) => one,
            Err(several) => several.into(),
        };
        config.insert(key.into(), tensors);
    }
    Ok(config.into())
}

fn is_nested_graph(layer: &Value) -> bool {
    matches!(class_of(layer), "Functional" | "Model")
        || class_of(layer) == "Sequential" && layer.get("config").is_some_and(is_graph)
}

fn class_of(layer: &Value) -> &str {
    layer.get("class_name").and_then(Value::as_str).unwrap_or_default()
}

fn name_of(layer: &Value) -> &str {
    layer.pointer("/config/name").and_then(Value::as_str).unwrap_or_default()
}

/// A model's input or output. There Keras counts the calls of a nested Functional from 1.
fn end(tensor: &Value, nested: &[&str]) -> Result<Value> {
    let (layer, call, index) = reference(tensor)?;
    let first = u64::from(nested.contains(&layer));
    Ok(json!([layer, call + first, index]))
}

fn reference(tensor: &Value) -> Result<(&str, u64, u64)> {
    let parts = tensor.as_array().map(Vec::as_slice).unwrap_or_default();
    if let [layer, call, index] = parts
        && let (Some(layer), Some(call), Some(index)) = (layer.as_str(), call.as_u64(), index.as_u64())
    {
        return Ok((layer, call, index));
    }
    Err(Error::argument("model config", format!("{tensor} is no tensor: expected [layer, call, output]")))
}

/// A layer as a serialised object.
fn keras_layer(layer: &Value) -> Result<Value> {
    let class = class_of(layer);
    let Some(config) = layer.get("config").and_then(Value::as_object) else {
        return Err(Error::layer(class, "a layer needs its `config`"));
    };
    if class == "Operation" {
        return keras_operation(layer);
    }
    if is_model(class) {
        let graph = is_nested_graph(layer);
        let is_frozen = config.get("trainable") == Some(&Value::Bool(false));
        let mut config = Value::Object(config.clone());
        if is_frozen {
            rules::freeze(&mut config);
        }
        let mut config = model_config(&config, graph)?;
        config["trainable"] = (!is_frozen).into();
        return Ok(object_of(graph, config));
    }
    if class == "SeparableConv1D" && config.get("padding").is_some_and(|padding| padding == "causal") {
        let what = "padding `causal` of a SeparableConv1D is Keras 2's alone, so a file of Keras 3 cannot hold this model; \
                    write a model folder instead";
        return Err(Error::layer(name_of(layer), what));
    }
    let mut config = config.clone();
    if class == "RNN" {
        rules::hand_to_cells(&mut config);
    }
    rules::freeze_within(&mut config);
    rules::name_modules(&mut config);
    for key in ["layer", "backward_layer", "cell"] {
        match config.get_mut(key) {
            Some(inner) if inner.is_object() => *inner = keras_layer(inner)?,
            Some(Value::Null) => {
                config.shift_remove(key);
            }
            _ => {}
        }
    }
    if let Some(cells) = config.get_mut("cells").and_then(Value::as_array_mut) {
        for cell in cells {
            *cell = keras_layer(cell)?;
        }
    }
    for key in ["activation", "recurrent_activation"] {
        if config.get(key).and_then(Value::as_str) == Some(HardSigmoid::Keras2.name()) {
            config.insert(key.into(), HardSigmoid::Keras3.name().into());
        }
    }
    for key in call_arguments(class).iter().chain(&OWN_ARGUMENTS) {
        config.shift_remove(*key);
    }
    complete(class, &mut config);
    config.entry("dtype").or_insert("float32".into());
    // Keras exports it by another name than the class has.
    let class = if class == "GroupedQueryAttention" { "GroupQueryAttention" } else { class };
    Ok(json!({"module": "keras.layers", "class_name": class, "config": config, "registered_name": null}))
}

/// What Keras wants to be told of layers before the numbers.
fn complete(class: &str, config: &mut Map<String, Value>) {
    match class {
        "TextVectorization" | "StringLookup" | "IntegerLookup" => {
            // Both with the special tokens or both without. Read from a file the weights may have zeros behind them.
            let words = config.get("vocabulary").and_then(Value::as_array).map(Vec::len);
            if let (Some(words), Some(Value::Array(weights))) = (words, config.get_mut("idf_weights")) {
                weights.truncate(words);
            }
            if class == "TextVectorization" {
                config.entry("ngrams").or_insert(Value::Null);
            }
        }
        "Hashing" | "Discretization" if config.get("output_mode").is_none_or(|mode| mode == "int") => {
            config.insert("dtype".into(), "int64".into());
        }
        _ => {}
    }
}

/// A layer of a graph, with its calls.
fn graph_layer(layer: &Value) -> Result<Value> {
    let mut keras = keras_layer(layer)?;
    let calls = layer.get("inbound_nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let calls: Value = calls.iter().map(|call| node(layer, call)).collect::<Result<_>>()?;
    if let Some(keras) = keras.as_object_mut() {
        keras.insert("name".into(), name_of(layer).into());
        keras.insert("inbound_nodes".into(), calls);
    }
    Ok(keras)
}

/// One call of a layer: the tensors it is given, of a recurrent layer the first as its input and the others as its
/// states.
fn node(layer: &Value, call: &Value) -> Result<Value> {
    let tensors = call.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut tensors: Vec<Value> = tensors.iter().map(keras_tensor).collect::<Result<_>>()?;
    if class_of(layer) == "Operation" {
        return operation_call(layer, tensors);
    }
    if tensors.len() > 1 && takes_states(layer) {
        let states = tensors.split_off(1);
        return Ok(json!({"args": tensors, "kwargs": {"initial_state": states_of(layer, states)}}));
    }
    let argument = |key: &&str| Some((key.to_string(), layer.pointer(&format!("/config/{key}"))?.clone()));
    let named: Map<String, Value> = call_arguments(class_of(layer)).iter().filter_map(argument).collect();
    if attention::takes_roles(class_of(layer)) {
        return Ok(attention::call(layer, tensors, named));
    }
    Ok(match tensors.len() {
        1 => json!({"args": tensors, "kwargs": named}),
        _ => json!({"args": [tensors], "kwargs": named}),
    })
}

/// Initial states as Keras groups them: those of stacked cells in a list for each cell that has two.
fn states_of(layer: &Value, states: Vec<Value>) -> Value {
    let cells = layer.pointer("/config/cell/config/cells").and_then(Value::as_array);
    let Some(cells) = cells else { return states.into() };
    let mut states = states.into_iter();
    let grouped = cells.iter().map(|cell| match class_of(cell) {
        "LSTMCell" => Value::Array(states.by_ref().take(2).collect()),
        _ => states.next().unwrap_or(Value::Null),
    });
    Value::Array(grouped.collect())
}

/// A tensor by where it comes from. Keras works its shape out again when it calls the layers.
fn keras_tensor(tensor: &Value) -> Result<Value> {
    let (layer, call, index) = reference(tensor)?;
    Ok(json!({"class_name": "__keras_tensor__",
        "config": {"shape": [null], "dtype": "float32", "keras_history": [layer, call, index]}}))
}

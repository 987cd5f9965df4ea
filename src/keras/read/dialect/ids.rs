//! Which inputs hold ids: Keras lets an Embedding read floats, and its files say `float32` of most such inputs.

use serde_json::Value;
use std::collections::HashSet;

/// Sets the `dtype` of each InputLayer of a graph by who reads it.
pub(super) fn mark(layers: &mut [Value]) {
    let mut read: HashSet<String> = HashSet::new();
    for layer in layers.iter() {
        let calls = layer["inbound_nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        for call in calls.iter().filter_map(Value::as_array) {
            for (place, input) in call.iter().enumerate() {
                if let (true, Some(name)) = (reads(layer, place), input.get(0).and_then(Value::as_str)) {
                    read.insert(name.into());
                }
            }
        }
    }
    for layer in layers.iter_mut().filter(|layer| layer["class_name"] == "InputLayer") {
        let is_read = layer["config"]["name"].as_str().is_some_and(|name| read.contains(name));
        layer["config"]["dtype"] = if is_read { "int32" } else { "float32" }.into();
    }
}

/// Whether a canonical layer reads its input number `place` as ids.
pub(super) fn reads(layer: &Value, place: usize) -> bool {
    let config = &layer["config"];
    match layer["class_name"].as_str() {
        Some("Embedding") => true,
        Some("TimeDistributed") => reads(&config["layer"], place),
        Some("Sequential") => match config["layers"].as_array().map(Vec::as_slice) {
            Some([first, second, ..]) if first["class_name"] == "InputLayer" => reads(second, place),
            Some([first, ..]) => reads(first, place),
            _ => false,
        },
        Some("Functional") => {
            let name = &config["input_layers"][place][0];
            let layers = config["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let input = layers.iter().find(|layer| &layer["config"]["name"] == name);
            input.is_some_and(|input| input["config"]["dtype"] == "int32")
        }
        _ => false,
    }
}

//! Which inputs hold ids: Keras lets an Embedding read floats, and its files say `float32` of most such inputs.

use serde_json::Value;
use std::collections::HashMap;

/// Sets the `dtype` of each InputLayer of a graph by who reads it.
pub(super) fn mark(layers: &mut [Value]) {
    let mut read: HashMap<String, &'static str> = HashMap::new();
    for layer in layers.iter() {
        let calls = layer["inbound_nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        for call in calls.iter().filter_map(Value::as_array) {
            for (place, input) in call.iter().enumerate() {
                if let (Some(dtype), Some(name)) =
                    (read_as(layer, place), input.get(0).and_then(Value::as_str))
                {
                    // Numbers of any sign are ids as well.
                    let known = read.entry(name.into()).or_insert(dtype);
                    *known = if *known == "int32" { dtype } else { known };
                }
            }
        }
    }
    for layer in layers.iter_mut().filter(|layer| layer["class_name"] == "InputLayer") {
        let dtype = layer["config"]["name"].as_str().and_then(|name| read.get(name).copied());
        set(layer, dtype);
    }
}

/// Sets the `dtype` of an InputLayer that is read as this, unless the file says that it takes texts.
pub(super) fn set(input: &mut Value, read_as: Option<&'static str>) {
    let dtype = &mut input["config"]["dtype"];
    if *dtype != "string" {
        *dtype = read_as.unwrap_or("float32").into();
    }
}

/// As what a canonical layer reads its input number `place`, if not as floats.
pub(super) fn read_as(layer: &Value, place: usize) -> Option<&'static str> {
    let config = &layer["config"];
    match layer["class_name"].as_str() {
        Some("Embedding") => Some("int32"),
        Some("TextVectorization") => Some("string"),
        Some("StringLookup") if config["invert"] != true => Some("string"),
        Some("StringLookup" | "IntegerLookup" | "Hashing") => Some("int64"),
        Some("CategoryEncoding") if place == 0 => Some("int64"),
        Some("TimeDistributed") => read_as(&config["layer"], place),
        Some("Sequential") => match config["layers"].as_array().map(Vec::as_slice) {
            Some([first, second, ..]) if first["class_name"] == "InputLayer" => read_as(second, place),
            Some([first, ..]) => read_as(first, place),
            _ => None,
        },
        Some("Functional") => {
            let name = &config["input_layers"][place][0];
            let layers = config["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let input = layers.iter().find(|layer| &layer["config"]["name"] == name);
            let dtype = input.and_then(|input| input["config"]["dtype"].as_str());
            ["int32", "int64", "string"].into_iter().find(|known| dtype == Some(known))
        }
        _ => None,
    }
}

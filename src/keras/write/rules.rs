//! Frozen layers, regularisers and constraints as Keras 3 writes them.

use serde_json::{Map, Value};

fn is_regularizer(key: &str) -> bool {
    key.ends_with("_regularizer")
}

fn is_constraint(key: &str) -> bool {
    key.ends_with("_constraint")
}

/// Freezes all that a model holds: Keras goes by the layers' own flags where the model is a Sequential.
pub(super) fn freeze(model: &mut Value) {
    let layers = model.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten();
    for layer in layers {
        if layer.get("class_name").is_none_or(|class| class != "InputLayer") {
            layer["config"]["trainable"] = false.into();
        }
    }
}

/// Freezes what a frozen wrapper holds: Keras goes by the flags of the layers within when it reads a file.
pub(super) fn freeze_within(wrapper: &mut Map<String, Value>) {
    if wrapper.get("trainable") != Some(&Value::Bool(false)) {
        return;
    }
    for key in ["layer", "backward_layer", "cell"] {
        let Some(inner) = wrapper.get_mut(key).filter(|inner| inner.is_object()) else { continue };
        match inner.pointer_mut("/config/cells").and_then(Value::as_array_mut) {
            Some(cells) => cells.iter_mut().for_each(|cell| cell["config"]["trainable"] = false.into()),
            None => inner["config"]["trainable"] = false.into(),
        }
    }
}

/// Gives the rules of an RNN's variables to its cells, where Keras has them.
pub(super) fn hand_to_cells(rnn: &mut Map<String, Value>) {
    let is_rule = |key: &str| is_regularizer(key) && key != "activity_regularizer" || is_constraint(key);
    let keys: Vec<String> = rnn.keys().filter(|key| is_rule(key)).cloned().collect();
    for key in keys {
        let Some(rule) = rnn.shift_remove(&key) else { continue };
        let Some(cell) = rnn.get_mut("cell") else { continue };
        match cell.pointer_mut("/config/cells").and_then(Value::as_array_mut) {
            Some(cells) => cells.iter_mut().for_each(|cell| cell["config"][&key] = rule.clone()),
            None => cell["config"][&key] = rule,
        }
    }
}

/// Names the module of each regulariser and constraint, as Keras 3 does.
pub(super) fn name_modules(layer: &mut Map<String, Value>) {
    for (key, rule) in layer.iter_mut() {
        let module = match key {
            key if is_regularizer(key) => "keras.regularizers",
            key if is_constraint(key) => "keras.constraints",
            _ => continue,
        };
        if let Some(rule) = rule.as_object_mut() {
            rule.insert("module".into(), module.into());
            rule.insert("registered_name".into(), Value::Null);
        }
    }
}

//! Values as the versions of Keras serialise them, made plain.

use serde_json::{Map, Value};

/// Numbers and lists of NumPy and of tensors, and Python's tuples, as plain numbers and lists; all else as it is.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(object) => match wrapped(object) {
            Some(inner) => plain(inner),
            None => Value::Object(object.iter().map(|(key, value)| (key.clone(), plain(value))).collect()),
        },
        value => value.clone(),
    }
}

/// What is within `{"type": "ndarray", "value": …}`, `{"class_name": "__numpy__", "config": {"value": …}}` and the like.
fn wrapped(object: &Map<String, Value>) -> Option<&Value> {
    match object.get("class_name").and_then(Value::as_str) {
        Some("__numpy__" | "__ndarray__" | "__tensor__") => object.get("config")?.get("value"),
        Some("__tuple__") => object.get("items").or_else(|| object.get("config")?.get("items")),
        Some(_) => None,
        None if object.contains_key("type") || object.contains_key("dtype") => object.get("value"),
        None => None,
    }
}

/// A number, also a list of one.
pub(super) fn number(value: &Value) -> Option<f64> {
    match plain(value) {
        Value::Number(number) => number.as_f64().filter(|number| number.is_finite()),
        Value::Array(list) => match list.as_slice() {
            [one] => number(one),
            _ => None,
        },
        _ => None,
    }
}

/// The class and the arguments of a serialised object.
pub(super) fn object(value: &Value) -> Option<(&str, &Map<String, Value>)> {
    let class = value.get("class_name")?.as_str()?;
    Some((class, value.get("config")?.as_object()?))
}

/// Whether what a value is made of may be somebody's own code: what it says of its module is not one of Keras's, or it is
/// registered under a package.
pub(super) fn is_foreign(value: &Value) -> bool {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let own = ["keras", "keras_core", "tf_keras", "tensorflow", "builtins"];
    let is_own = |module: &str| own.contains(&module.split('.').next().unwrap_or_default());
    let registered =
        text("registered_name").is_some_and(|name| name.contains('>') && !name.starts_with("Custom>"));
    registered || text("module").is_some_and(|module| !is_own(module))
}

/// A value as a sentence shows it.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.chars().count() > 60 {
        true => text.chars().take(60).chain(['…']).collect(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numpys_numbers_are_made_plain() {
        let given = json!({ "a": { "type": "ndarray", "value": [1, 2] }, "b": { "class_name": "__tuple__", "items": [3] },
            "c": { "class_name": "__numpy__", "config": { "value": 0.5, "dtype": "float32" } } });
        assert_eq!(plain(&given), json!({ "a": [1, 2], "b": [3], "c": 0.5 }));
        assert_eq!(number(&json!({ "type": "float32", "value": [0.25] })), Some(0.25));
    }
}

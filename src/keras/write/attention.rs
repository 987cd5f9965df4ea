//! What attention layers ask for beyond their JSON: the roles of what they are called with, and masks as Keras 3 has them.

use crate::keras::read::reread;
use crate::{Error, Result};
use serde_json::{Map, Value, json};

/// Whether a layer of this class is called on a query, a value and a key rather than on a list of them.
pub(super) fn takes_roles(class: &str) -> bool {
    matches!(class, "MultiHeadAttention" | "GroupedQueryAttention")
}

/// The parts of such a layer: the name among its variables, and its group in a `.weights.h5`.
pub(super) fn parts(class: &str) -> [(&'static str, &'static str); 5] {
    match class {
        "MultiHeadAttention" => [
            ("query", "query_dense"),
            ("key", "key_dense"),
            ("gate", "_gate_dense"),
            ("value", "value_dense"),
            ("attention_output", "output_dense"),
        ],
        _ => [
            ("query", "_query_dense"),
            ("key", "_key_dense"),
            ("gate", "_gate_dense"),
            ("value", "_value_dense"),
            ("attention_output", "_output_dense"),
        ],
    }
}

/// A call of such a layer on `tensors`: the query, the value and the key by position, a mask by its name.
pub(super) fn call(layer: &Value, mut tensors: Vec<Value>, mut named: Map<String, Value>) -> Value {
    if layer.pointer("/config/attention_mask") == Some(&Value::Bool(true))
        && let Some(mask) = tensors.pop()
    {
        named.insert("attention_mask".into(), mask);
    }
    json!({ "args": tensors, "kwargs": named })
}

/// Refuses a layer whose numbers at steps that see nothing are Keras 2's, where Keras 3 gives 0.
///
/// # Errors
/// [`Error::Layer`].
pub(super) fn check_softmax(layer: &Value, has_masks: bool) -> Result<()> {
    let is_old = layer.pointer("/config/masked_softmax").is_some_and(|softmax| softmax != "keras3");
    let get = |key: &str| layer.pointer("/config").and_then(|config| config.get(key));
    let by_hand = get("attention_mask") == Some(&Value::Bool(true));
    if !is_old || !(has_masks || by_hand) {
        return Ok(());
    }
    // Otherwise it gives the mean of all places, as Keras 2 does.
    let is_zeroed = get("dropout").and_then(Value::as_f64).is_some_and(|rate| rate > 0.0)
        || get("return_attention_scores") == Some(&Value::Bool(true))
        || get("attention_axes").is_some_and(|axes| !axes.is_null() && axes != &json!([1]));
    if is_zeroed || by_hand {
        let name = layer.pointer("/config/name").and_then(Value::as_str).unwrap_or_default();
        let what = "is of Keras 2, which has other numbers than Keras 3 where a step sees nothing, so a file of Keras 3 \
                    cannot hold this model; write a model folder instead";
        return Err(Error::layer(name, what));
    }
    Ok(())
}

/// Refuses a model in whose file Keras 3 would find masks that its layers do not see, or the other way round: there a
/// MultiHeadAttention takes the masks off what it is called on. `keras` is the whole of its `config.json`. For models with
/// masks.
///
/// # Errors
/// [`Error::Layer`].
pub(super) fn check_unmasked(model: &Value, keras: &Value) -> Result<()> {
    if !keras.to_string().contains("\"MultiHeadAttention\"") {
        return Ok(());
    }
    let read = reread(keras).map_err(|error| match error {
        Error::Layer { layer, what } => {
            Error::layer(layer, format!("Keras 3 would run the model in another way: {what}"))
        }
        error => error,
    })?;
    same(model, &read)
}

fn same(model: &Value, read: &Value) -> Result<()> {
    let layers =
        |model: &'_ Value| model.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
    for (own, read) in layers(model).iter().zip(&layers(read)) {
        let config = |layer: &Value| layer.get("config").cloned().unwrap_or_default();
        let (own, read) = (config(own), config(read));
        if own.get("unmasked") != read.get("unmasked") {
            let name = own.get("name").and_then(Value::as_str).unwrap_or_default();
            let what = "does not see the same masks in Keras 3, where a MultiHeadAttention takes them off what it is called \
                        on, so a file of Keras 3 cannot hold this model; write a model folder instead";
            return Err(Error::layer(name, what));
        }
        same(&own, &read)?;
    }
    Ok(())
}

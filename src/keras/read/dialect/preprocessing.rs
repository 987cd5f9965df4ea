//! Layers before the numbers: texts, categories, bins, a common scale.
//!
//! A vocabulary is a list in the configuration, or a file in the archive of the model (see `assets.rs`); a path to another
//! file is never followed.

use super::fields::{Arguments, Fields};
use crate::Result;
use serde_json::Value;

/// The classes.
pub(super) fn is_preprocessing(class: &str) -> bool {
    matches!(
        class,
        "TextVectorization"
            | "StringLookup"
            | "IntegerLookup"
            | "Hashing"
            | "Normalization"
            | "Discretization"
            | "CategoryEncoding"
    )
}

/// Class and arguments of one of them.
pub(super) fn preprocessing(fields: &Fields) -> Result<(&'static str, Arguments)> {
    let new = Arguments::new;
    if fields.flag(&["ragged"])? == Some(true) {
        return Err(fields.error(
            "`ragged` is true, which gives rows of different lengths, and these are not supported; set \
             output_sequence_length instead",
        ));
    }
    match fields.text(&["encoding"])?.map(str::to_lowercase).as_deref() {
        None | Some("utf-8" | "utf8" | "utf_8" | "ascii") => {}
        Some(other) => return Err(fields.error(format!("`encoding` is {other:?}, expected utf-8"))),
    }
    let mode = fields.get(&["output_mode"]).cloned();
    let given = |names: &[&str]| fields.get(names).cloned();
    Ok(match fields.class {
        "TextVectorization" => {
            let named = |name: &'static str| {
                match fields.raw(&[name]) {
                Some(Value::Object(_)) => Err(fields.error(format!(
                    "`{name}` is a function, Python code that is not executed; only Keras's own, by their names, can be \
                     had"
                ))),
                value => Ok(value.cloned()),
            }
            };
            let arguments = new()
                .put("max_tokens", given(&["max_tokens"]))
                .put("standardize", named("standardize")?)
                .put("split", named("split")?)
                .put("ngrams", list(given(&["ngrams"])))
                .put("output_mode", mode)
                .put("output_sequence_length", given(&["output_sequence_length"]))
                .put("pad_to_max_tokens", fields.flag(&["pad_to_max_tokens"])?)
                .put("vocabulary", vocabulary(fields)?)
                .put("idf_weights", list(given(&["idf_weights"])));
            ("TextVectorization", arguments)
        }
        "StringLookup" | "IntegerLookup" => {
            let arguments = new()
                .put("max_tokens", given(&["max_tokens", "max_values"]))
                .put("num_oov_indices", fields.count(&["num_oov_indices"])?)
                .put("mask_token", given(&["mask_token", "mask_value"]))
                .put("oov_token", fields.raw(&["oov_token", "oov_value"]).cloned())
                .put("invert", fields.flag(&["invert"])?)
                .put("output_mode", mode)
                .put("pad_to_max_tokens", fields.flag(&["pad_to_max_tokens"])?)
                .put("vocabulary", vocabulary(fields)?)
                .put("idf_weights", list(given(&["idf_weights"])))
                .put("salt", list(given(&["salt"])));
            match fields.class {
                "StringLookup" => ("StringLookup", arguments),
                _ => ("IntegerLookup", arguments.put("oov_method", given(&["oov_method"]))),
            }
        }
        "Hashing" => {
            let arguments = new()
                .put("num_bins", Some(fields.need_count(&["num_bins"])?))
                .put("mask_value", given(&["mask_value"]))
                .put("salt", list(given(&["salt"])))
                .put("output_mode", mode);
            ("Hashing", arguments)
        }
        "Normalization" => {
            // The means of a layer that was adapted are variables.
            let arguments = new()
                .put("axis", list(fields.raw(&["axis"]).cloned()))
                .put("mean", list(given(&["mean"])))
                .put("variance", list(given(&["variance"])))
                .put("invert", fields.flag(&["invert"])?);
            ("Normalization", arguments)
        }
        "Discretization" => {
            let boundaries = list(given(&["bin_boundaries", "bins"])).filter(Value::is_array).ok_or_else(|| {
                fields.error(
                    "its `bin_boundaries` are not in the configuration, where alone they are looked for; make the layer with \
                     them and save it again",
                )
            })?;
            ("Discretization", new().put("bin_boundaries", Some(boundaries)).put("output_mode", mode))
        }
        _ => {
            let arguments = new()
                .put("num_tokens", Some(fields.need_count(&["num_tokens", "max_tokens"])?))
                .put("output_mode", mode);
            ("CategoryEncoding", arguments)
        }
    })
}

/// The words that the configuration lists, if it does.
fn vocabulary(fields: &Fields) -> Result<Option<Value>> {
    match list(fields.get(&["vocabulary"]).cloned()) {
        Some(Value::String(path)) => Err(fields.error(format!(
            "its `vocabulary` is the path {path:?}; files outside the model are not opened: save the model where Keras \
             puts the words into it, as .keras"
        ))),
        words => Ok(words),
    }
}

/// A list, also one that Keras has wrapped in an object as a tuple.
fn list(value: Option<Value>) -> Option<Value> {
    match value {
        Some(Value::Object(object)) => object.get("items").or_else(|| object.get("value")).cloned(),
        value => value,
    }
}

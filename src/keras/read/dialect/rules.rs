//! What files say of training: frozen layers, regularisers and constraints, under the names of every Keras.

use super::Context;
use super::fields::{Fields, number};
use serde_json::{Map, Value, json};

/// A variable's part of the arguments' names, and Keras 1's letter for it.
const STEMS: [(&str, &str); 9] = [
    ("kernel", "W"),
    ("recurrent", "U"),
    ("bias", "b"),
    ("embeddings", "W"),
    ("gamma", "gamma"),
    ("beta", "beta"),
    ("alpha", "alpha"),
    ("depthwise", "depthwise"),
    ("pointwise", "pointwise"),
];

impl Context {
    /// The layer's `trainable`, regularisers and constraints, in this crate's form. What is code of somebody's is left
    /// out with a warning: it changes no answer of the model.
    pub(super) fn training_rules(&mut self, fields: &Fields) -> Map<String, Value> {
        let mut rules = Map::new();
        // Keras 3 goes by the flags of the layers within these when it reads a file.
        let is_shell = matches!(
            fields.class,
            "Bidirectional"
                | "TimeDistributed"
                | "RNN"
                | "ConvLSTM2D"
                | "MultiHeadAttention"
                | "GroupedQueryAttention"
                | "GroupQueryAttention"
        );
        let is_frozen = fields.flag(&["trainable"]).ok().flatten() == Some(false);
        if is_frozen && (self.own || self.major < 3 || !is_shell) {
            rules.insert("trainable".into(), false.into());
        }
        let mut put = |name: String, value: &Value, read: fn(&Value) -> Option<Value>| {
            match read(value) {
            Some(Value::Null) => {}
            Some(rule) => {
                rules.insert(name, rule);
            }
            None => self.warnings.push(format!(
                "layer {}: its {name} is not one that is read here and is left out; training would go without it",
                fields.name
            )),
        }
        };
        for (stem, letter) in STEMS {
            for (kind, read) in [("regularizer", regularizer as fn(&Value) -> _), ("constraint", constraint)]
            {
                let (name, old) = (format!("{stem}_{kind}"), format!("{letter}_{kind}"));
                // Keras 1's W is a kernel, but of an Embedding its table.
                let is_old = letter != "W" || (fields.class == "Embedding") == (stem == "embeddings");
                let old = if is_old { old.as_str() } else { name.as_str() };
                if let Some(value) = fields.get(&[&name, old]) {
                    put(name, value, read);
                }
            }
        }
        // A layer of that class has its factors among its own arguments.
        if fields.class != "ActivityRegularization"
            && !super::attention::takes_roles(fields.class)
            && let Some(value) = fields.get(&["activity_regularizer"])
        {
            put("activity_regularizer".into(), value, regularizer);
        }
        rules
    }
}

/// The arguments of a serialised rule: Keras 1 had them beside the name.
fn parts(value: &Value) -> Option<(&str, &Map<String, Value>)> {
    let object = value.as_object()?;
    match (object.get("class_name"), object.get("config")) {
        (Some(Value::String(class)), Some(Value::Object(config))) => {
            // A class of somebody's may have the name of one of Keras's.
            super::custom_class(value).is_none().then_some((class.as_str(), config))
        }
        _ => Some((object.get("name")?.as_str()?, object)),
    }
}

/// A regulariser in this crate's form: null where it does nothing, none where it is not one of Keras's.
fn regularizer(value: &Value) -> Option<Value> {
    let empty = Map::new();
    let (class, config) = match value {
        Value::String(name) => (name.as_str(), &empty),
        value => parts(value)?,
    };
    let factor = |name: &str| match config.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => number(value).map(Some),
    };
    let rule = |class: &str, config: Value| Some(json!({ "class_name": class, "config": config }));
    match class {
        "L1" | "l1" => rule("L1", json!({ "l1": factor("l1")?.unwrap_or(0.01) })),
        "L2" | "l2" => rule("L2", json!({ "l2": factor("l2")?.unwrap_or(0.01) })),
        "L1L2" | "l1_l2" | "L1L2Regularizer" | "WeightRegularizer" | "ActivityRegularizer" => {
            let default = if config.is_empty() && class == "l1_l2" { 0.01 } else { 0.0 };
            let (l1, l2) = (factor("l1")?.unwrap_or(default), factor("l2")?.unwrap_or(default));
            match (l1 == 0.0, l2 == 0.0) {
                (true, true) => Some(Value::Null),
                (false, true) => rule("L1", json!({ "l1": l1 })),
                (true, false) => rule("L2", json!({ "l2": l2 })),
                (false, false) => rule("L1L2", json!({ "l1": l1, "l2": l2 })),
            }
        }
        "OrthogonalRegularizer" | "orthogonal_regularizer" => {
            let mode = config.get("mode").cloned().unwrap_or("rows".into());
            let factor = factor("factor")?.unwrap_or(0.01);
            rule("OrthogonalRegularizer", json!({ "factor": factor, "mode": mode }))
        }
        _ => None,
    }
}

/// The same for a constraint.
fn constraint(value: &Value) -> Option<Value> {
    let empty = Map::new();
    let (class, config) = match value {
        Value::String(name) => (name.as_str(), &empty),
        value => parts(value)?,
    };
    let bound = |names: [&str; 2], default: f64| {
        let found = names.iter().find_map(|name| config.get(*name)).filter(|value| !value.is_null());
        found.map_or(Some(default), number)
    };
    let axis = || match config.get("axis") {
        None | Some(Value::Null) => Some(json!(0)),
        Some(axes @ Value::Array(list)) if list.iter().all(Value::is_i64) => Some(axes.clone()),
        Some(axis) => number(axis).map(|axis| json!(axis as i64)),
    };
    let rule = |class: &str, config: Value| Some(json!({ "class_name": class, "config": config }));
    match class {
        "MaxNorm" | "max_norm" | "maxnorm" => {
            rule("MaxNorm", json!({ "max_value": bound(["max_value", "m"], 2.0)?, "axis": axis()? }))
        }
        "NonNeg" | "non_neg" | "nonneg" => rule("NonNeg", json!({})),
        "UnitNorm" | "unit_norm" | "unitnorm" => rule("UnitNorm", json!({ "axis": axis()? })),
        "MinMaxNorm" | "min_max_norm" => {
            let (min, max) = (bound(["min_value", "low"], 0.0)?, bound(["max_value", "high"], 1.0)?);
            let rate = bound(["rate", "rate"], 1.0)?;
            let config = json!({ "min_value": min, "max_value": max, "rate": rate, "axis": axis()? });
            rule("MinMaxNorm", config)
        }
        _ => None,
    }
}

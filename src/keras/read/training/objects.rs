//! Losses and metrics of any Keras in Keras 3.15's words.

use super::value::{is_foreign, object, plain, shown};
use crate::keras::training::{Kind, find, knows, name_of};
use serde_json::{Map, Value, json};

/// Reads losses or metrics, however they are arranged; what is not known is null, and said in `unknown`.
pub(super) fn read(value: &Value, kind: Kind, unknown: &mut Vec<String>) -> Value {
    Reader { kind, unknown }.any(&plain(value))
}

/// The class of Keras 3's that averages a function of that name.
const AVERAGED: [(&str, &str); 18] = [
    ("accuracy", "Accuracy"),
    ("binary_accuracy", "BinaryAccuracy"),
    ("categorical_accuracy", "CategoricalAccuracy"),
    ("sparse_categorical_accuracy", "SparseCategoricalAccuracy"),
    ("top_k_categorical_accuracy", "TopKCategoricalAccuracy"),
    ("sparse_top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy"),
    ("binary_crossentropy", "BinaryCrossentropy"),
    ("categorical_crossentropy", "CategoricalCrossentropy"),
    ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"),
    ("mean_squared_error", "MeanSquaredError"),
    ("mean_absolute_error", "MeanAbsoluteError"),
    ("mean_absolute_percentage_error", "MeanAbsolutePercentageError"),
    ("mean_squared_logarithmic_error", "MeanSquaredLogarithmicError"),
    ("kl_divergence", "KLDivergence"),
    ("poisson", "Poisson"),
    ("hinge", "Hinge"),
    ("squared_hinge", "SquaredHinge"),
    ("categorical_hinge", "CategoricalHinge"),
];

struct Reader<'a> {
    kind: Kind,
    unknown: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn what(&self) -> &'static str {
        if self.kind == Kind::Loss { "loss" } else { "metrics" }
    }

    fn any(&mut self, value: &Value) -> Value {
        match value {
            Value::String(name) => self.named(name),
            Value::Array(list) => {
                // A place in a list of losses is an output's.
                let keeps_place = self.kind == Kind::Loss;
                let read = list.iter().map(|value| self.any(value));
                read.filter(|value| keeps_place || !value.is_null()).collect()
            }
            Value::Object(map) if map.contains_key("class_name") => self.object(value),
            Value::Object(map) => {
                let by_output = map.iter().map(|(output, value)| (output.clone(), self.any(value)));
                Value::Object(by_output.filter(|(_, value)| !value.is_null()).collect())
            }
            Value::Null => Value::Null,
            other => self.not_known(&shown(other)),
        }
    }

    fn not_known(&mut self, name: &str) -> Value {
        let one = if self.kind == Kind::Loss { "loss" } else { "metric" };
        self.unknown.push(format!(
            "{}: `{name}` is no {one} of Keras 3's but somebody's own, whose code is not in the file",
            self.what()
        ));
        Value::Null
    }

    fn named(&mut self, name: &str) -> Value {
        match name_of(self.kind, name) {
            Some(name) => name.into(),
            None => self.not_known(name),
        }
    }

    fn object(&mut self, value: &Value) -> Value {
        let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
        if class == "function" {
            let name = value.get("config").and_then(Value::as_str).unwrap_or_default();
            return if is_foreign(value) { self.not_known(name) } else { self.named(name) };
        }
        let Some((class, config)) = object(value).filter(|_| !is_foreign(value)) else {
            return self.not_known(class);
        };
        let wrappers = ["MeanMetricWrapper", "SumOverBatchSizeMetricWrapper", "LossFunctionWrapper"];
        if wrappers.contains(&class) {
            return self.wrapped(class, config);
        }
        match find(self.kind, class) {
            Some(class) => self.arguments(class, config),
            None => self.not_known(class),
        }
    }

    /// A function with a wrapper that averages it.
    fn wrapped(&mut self, wrapper: &str, config: &Map<String, Value>) -> Value {
        let function = config.get("fn").unwrap_or(&Value::Null);
        let name = match function {
            Value::String(name) => name.as_str(),
            other if is_foreign(other) => "",
            other => other.get("config").and_then(Value::as_str).unwrap_or_default(),
        };
        let now = name_of(self.kind, name);
        let class = now.as_ref().and_then(|now| AVERAGED.iter().find(|(function, _)| function == now));
        // A function may be called as its class is.
        let class = class.map(|(_, class)| *class).or_else(|| {
            let plain = now.as_ref()?.replace('_', "");
            find(self.kind, &plain)
        });
        match class.filter(|class| find(self.kind, class).is_some()) {
            Some(class) => self.arguments(class, config),
            None if name.is_empty() => {
                let label = config.get("name").and_then(Value::as_str).unwrap_or(wrapper).to_string();
                self.not_known(&label)
            }
            None => self.not_known(name),
        }
    }

    /// The arguments that Keras 3 has.
    fn arguments(&mut self, class: &str, config: &Map<String, Value>) -> Value {
        let mut arguments = Map::new();
        for (key, value) in config {
            let value = match (key.as_str(), value.as_str()) {
                ("reduction", Some("auto")) => "sum_over_batch_size".into(),
                ("dtype", None) => value.pointer("/config/name").cloned().unwrap_or(Value::Null),
                _ => value.clone(),
            };
            match key.as_str() {
                "fn" => {}
                key if knows(self.kind, class, key) => drop(arguments.insert(key.into(), value)),
                // An F1Score's is 1.
                "beta" if class == "F1Score" => {}
                _ if value.is_null() => {}
                key => self.unknown.push(format!(
                    "{}: {class} has an argument `{key}` ({}), which Keras 3 does not have",
                    self.what(),
                    shown(&value)
                )),
            }
        }
        json!({ "class_name": class, "config": arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(kind: Kind, value: Value) -> (Value, usize) {
        let mut unknown = vec![];
        let value = read(&value, kind, &mut unknown);
        (value, unknown.len())
    }

    #[test]
    fn wrappers_of_tf_keras_become_the_classes_they_average() {
        let wrapper = |name: &str, function: Value| json!({ "class_name": "MeanMetricWrapper", "config": { "name": name, "dtype": "float32", "fn": function } });
        let given = json!([[
            wrapper("accuracy", json!("binary_accuracy")),
            wrapper("mae", json!("mean_absolute_error"))
        ]]);
        let (read, unknown) = reads(Kind::Metric, given);
        assert_eq!(unknown, 0);
        assert_eq!(
            read[0][0],
            json!({ "class_name": "BinaryAccuracy", "config": { "name": "accuracy", "dtype": "float32" } })
        );
        assert_eq!(read[0][1]["class_name"], "MeanAbsoluteError");
        let function = json!({ "class_name": "function", "config": "r2", "module": "builtins" });
        assert_eq!(reads(Kind::Metric, json!(["mse", wrapper("r2", function)])), (json!(["mse"]), 1));
    }

    #[test]
    fn losses_keep_what_keras_3_knows() {
        let loss = json!({ "class_name": "SparseCategoricalCrossentropy",
            "config": { "reduction": "auto", "name": "a", "from_logits": true, "ignore_class": null } });
        let (read, unknown) = reads(Kind::Loss, loss);
        assert_eq!(unknown, 0);
        let expected = json!({ "reduction": "sum_over_batch_size", "name": "a", "from_logits": true, "ignore_class": null });
        assert_eq!(read["config"], expected);
        assert_eq!(reads(Kind::Loss, json!({ "a": "mse", "b": "my_loss" })), (json!({ "a": "mse" }), 1));
        assert_eq!(reads(Kind::Loss, json!(["mse", "my_loss"])), (json!(["mse", null]), 1));
        assert_eq!(reads(Kind::Loss, json!("cosine_proximity")).0, "cosine_similarity");
        assert_eq!(reads(Kind::Loss, json!({ "class_name": "Mine>Loss", "config": {} })), (Value::Null, 1));
    }
}

//! Activations: a name, a serialised function, or a whole layer in the place of one.

use super::fields::{Arguments, Fields};
use super::{Context, custom_class};
use crate::Result;
use crate::layers::Activation;
use serde_json::{Map, Value};

/// Activations of Keras's that may be missing here (`keras/src/activations`).
const KERAS: [&str; 12] = [
    "celu",
    "glu",
    "hard_shrink",
    "hard_tanh",
    "log_sigmoid",
    "soft_shrink",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh_shrink",
    "threshold",
];

/// What stood in the place of an activation.
pub(super) enum Found {
    /// One of ours, by name.
    Named(&'static str),
    /// A layer with parameters of its own, to follow the layer that had it.
    Layer(&'static str, Value),
}

impl Context {
    /// The activation under one of `names`; none where the file does not say.
    pub fn activation(&self, fields: &Fields, names: &[&str]) -> Result<Option<Found>> {
        match fields.raw(names) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(Found::Named("linear"))),
            Some(value) => self.read_activation(fields, value).map(Some),
        }
    }

    /// The same where only a named one will do.
    pub fn plain_activation(&self, fields: &Fields, names: &[&str]) -> Result<Option<&'static str>> {
        match self.activation(fields, names)? {
            None => Ok(None),
            Some(Found::Named(name)) => Ok(Some(name)),
            Some(Found::Layer(class, _)) => Err(fields.error(format!(
                "its `{}` is a {class} layer with parameters, which is not supported inside this layer",
                names.first().unwrap_or(&"activation")
            ))),
        }
    }

    fn read_activation(&self, fields: &Fields, value: &Value) -> Result<Found> {
        let Value::Object(object) = value else {
            let Some(name) = value.as_str() else {
                return Err(fields.error(format!("its activation is {value}, expected a name")));
            };
            return self.named(fields, name);
        };
        if let Some(custom) = custom_class(value) {
            return Err(fields.error(format!(
                "its activation `{custom}` is code of its author's, which is not in the file"
            )));
        }
        let class = object.get("class_name").and_then(Value::as_str).unwrap_or_default();
        match (class, object.get("config")) {
            ("function", Some(Value::String(name))) => self.named(fields, name),
            ("Activation", Some(Value::Object(config))) => {
                let inner = Fields::new(fields.name, "Activation", config);
                Ok(self.activation(&inner, &["activation"])?.unwrap_or(Found::Named("linear")))
            }
            (class, Some(Value::Object(config))) => {
                let inner = Fields::new(fields.name, class, config);
                let found = self.activation_layer(&inner)?.ok_or_else(|| {
                    fields.error(format!("its activation is a `{class}`, which is not supported"))
                })?;
                inner.get(&["trainable"]);
                inner.check_all_known()?;
                Ok(found)
            }
            _ => Err(fields.error("its activation is serialised in a form that is not known")),
        }
    }

    fn named(&self, fields: &Fields, name: &str) -> Result<Found> {
        let name = match name {
            // Before Keras 3 another function had this name.
            "hard_sigmoid" if self.major < 3 => "hard_sigmoid_keras2",
            "softmax_v2" => "softmax",
            "relu_v2" => "relu",
            name => name,
        };
        let known = Activation::ALL.iter().find(|known| known.name() == name).copied();
        let activation = known.map_or_else(|| name.parse::<Activation>(), Ok).map_err(|_| {
            fields.error(match KERAS.contains(&name) {
                true => format!("its activation `{name}` is one of Keras's that is not supported yet"),
                false => format!(
                    "its activation `{name}` is none of Keras's but a function of its author's, which is not in the file"
                ),
            })
        })?;
        Ok(Found::Named(activation.name()))
    }

    /// A layer that is an activation, as one of our names where one says the same.
    pub fn activation_layer(&self, fields: &Fields) -> Result<Option<Found>> {
        let number = |names: &[&str]| fields.number(names);
        let layer =
            |class: &'static str, arguments: Arguments| Ok(Some(Found::Layer(class, arguments.done())));
        match fields.class {
            "LeakyReLU" => {
                let slope = number(&["negative_slope", "alpha"])?.unwrap_or(0.3);
                layer("LeakyReLU", Arguments::new().put("negative_slope", Some(slope)))
            }
            "ReLU" => {
                // An infinite bound is none.
                let max = fields.any_number(&["max_value"])?.filter(|max| *max != f64::INFINITY);
                if max.is_some_and(|max| !max.is_finite()) {
                    number(&["max_value"])?;
                }
                let slope = number(&["negative_slope"])?.unwrap_or(0.0);
                let threshold = number(&["threshold"])?.unwrap_or(0.0);
                if (max, slope, threshold) == (None, 0.0, 0.0) {
                    return Ok(Some(Found::Named("relu")));
                }
                let arguments = Arguments::new()
                    .put("max_value", max)
                    .put("negative_slope", Some(slope))
                    .put("threshold", Some(threshold));
                layer("ReLU", arguments)
            }
            "ThresholdedReLU" => {
                let theta = number(&["theta"])?.unwrap_or(1.0);
                layer("ReLU", Arguments::new().put("threshold", Some(theta)))
            }
            "ELU" => match number(&["alpha"])?.unwrap_or(1.0) {
                1.0 => Ok(Some(Found::Named("elu"))),
                alpha => layer("ELU", Arguments::new().put("alpha", Some(alpha))),
            },
            "Softmax" => match fields.raw(&["axis"]) {
                // TensorFlow's softmax, to which Keras 2 hands it on, takes None for the last axis.
                Some(Value::Null) if self.major >= 3 && !self.own => Err(fields.error(
                    "`axis` is None, which in Keras 3 takes all samples of a batch together; give the axes of a sample",
                )),
                Some(Value::Array(axes)) if axes.len() != 1 => {
                    layer("Softmax", Arguments::new().put("axis", Some(fields.need_integers(&["axis"])?)))
                }
                _ => match fields.axis(&["axis"])?.unwrap_or(-1) {
                    -1 => Ok(Some(Found::Named("softmax"))),
                    axis => layer("Softmax", Arguments::new().put("axis", Some(axis))),
                },
            },
            _ => Ok(None),
        }
    }
}

/// The arguments of a layer that is an activation by name.
pub(super) fn activation_arguments(name: &str) -> Value {
    let mut arguments = Map::from_iter([("name".to_string(), Value::Null)]);
    arguments.insert("activation".into(), name.into());
    Value::Object(arguments)
}

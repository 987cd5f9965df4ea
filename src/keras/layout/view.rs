//! A layer as it stands in a model's JSON, with the path of its variables.

use crate::model::ModelConfig;
use crate::{Error, Result};
use serde_json::{Map, Value};

/// A layer of the model, of a wrapper, or a cell.
#[derive(Clone)]
pub(in crate::keras) struct View<'a> {
    /// Keras's name of the class.
    pub class: &'a str,
    /// The prefix of its variables: `lstm`, `bidirectional.forward_layer`, `model_1.dense`.
    pub path: String,
    /// Its arguments, the name among them.
    pub config: &'a Map<String, Value>,
}

/// The model in JSON: see the crate's `ModelConfig`.
pub(in crate::keras) fn model_json(config: &ModelConfig) -> Result<Value> {
    serde_json::to_value(config).map_err(|error| Error::argument("model config", error))
}

/// The layers of a model or of a nested model's config, their variables under `path` (empty at the top).
pub(in crate::keras) fn layers<'a>(model: &'a Value, path: &str) -> Result<Vec<View<'a>>> {
    let list = model.get("layers").and_then(Value::as_array);
    let list = list.ok_or_else(|| Error::layer(path, "a model needs its list of `layers`"))?;
    let prefix = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    list.iter().map(|layer| View::new(layer, prefix(name_of(layer)))).collect()
}

fn name_of(layer: &Value) -> &str {
    layer.pointer("/config/name").and_then(Value::as_str).unwrap_or_default()
}

impl<'a> View<'a> {
    fn new(layer: &'a Value, path: String) -> Result<Self> {
        let class = layer.get("class_name").and_then(Value::as_str);
        let config = layer.get("config").and_then(Value::as_object);
        match (class, config) {
            (Some(class), Some(config)) => Ok(Self { class, path, config }),
            _ => Err(Error::layer(path, "a layer needs `class_name` and `config`")),
        }
    }

    /// The layer's own name.
    pub fn name(&self) -> &'a str {
        self.text("name").unwrap_or_default()
    }

    /// A text argument.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.config.get(key).and_then(Value::as_str)
    }

    /// A flag, which where it is left out is false.
    pub fn flag(&self, key: &str) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The layer or cell that the argument `key` holds; its variables are `PATH.key.…`.
    pub fn inner(&self, key: &str) -> Result<Self> {
        match self.config.get(key) {
            Some(layer) if layer.is_object() => Self::new(layer, format!("{}.{key}", self.path)),
            _ => Err(Error::layer(self.path.as_str(), format!("a {} needs its `{key}`", self.class))),
        }
    }

    /// What runs backwards in a Bidirectional: `backward_layer`, or the layer itself once more.
    pub fn backward(&self) -> Result<Self> {
        let key = if self.config.get("backward_layer").is_some_and(Value::is_object) {
            "backward_layer"
        } else {
            "layer"
        };
        Ok(Self { path: format!("{}.backward_layer", self.path), ..self.inner(key)? })
    }

    /// What runs forwards in a Bidirectional.
    pub fn forward(&self) -> Result<Self> {
        Ok(Self { path: format!("{}.forward_layer", self.path), ..self.inner("layer")? })
    }

    /// The cells of a StackedRNNCells.
    pub fn cells(&self) -> Result<Vec<Self>> {
        let cells = self.config.get("cells").and_then(Value::as_array);
        let cells = cells.ok_or_else(|| Error::layer(self.path.as_str(), "it needs its `cells`"))?;
        let view = |(index, cell)| Self::new(cell, format!("{}.cells_{index}", self.path));
        cells.iter().enumerate().map(view).collect()
    }

    /// The layers of a nested model.
    pub fn layers(&self) -> Result<Vec<Self>> {
        let list = self.config.get("layers").and_then(Value::as_array);
        let list = list.ok_or_else(|| Error::layer(self.path.as_str(), "it needs its `layers`"))?;
        let view = |layer| Self::new(layer, format!("{}.{}", self.path, name_of(layer)));
        list.iter().map(view).collect()
    }
}

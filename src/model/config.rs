//! A model as data: the layer list, in Keras's class and field names.

use super::class::{Class, InputConfig};
use super::place::Placed;
use crate::error::{in_words, object_in_words};
use crate::nn::Activation;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A shape whose open axes (the batch, a free length) are `None`.
pub type Shape = Vec<Option<usize>>;

/// What a model is: its name and its layers, in the order they run or as a graph.
///
/// In JSON it reads as Keras's Sequential configuration does:
/// `{"name": "lstm", "layers": [{"class_name": "LSTM", "config": {"name": "lstm", "units": 8}}, …]}`. Fields left out
/// have Keras's defaults. A graph has `input_layers` and `output_layers` as well, and each layer says in `inbound_nodes`
/// what it is called on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The model's name.
    pub name: String,
    /// The layers.
    pub layers: Vec<LayerConfig>,
    /// The inputs of a graph, in order; empty where the layers run one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_layers: Vec<TensorRef>,
    /// The outputs of a graph, in order; empty where the layers run one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_layers: Vec<TensorRef>,
}

/// A tensor in a graph: a layer's name, which call of the layer, and which of the tensors that it gives. In JSON
/// `["lstm", 0, 0]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRef(pub String, pub usize, pub usize);

/// A layer: its name and its class with the class's arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawLayer", into = "RawLayer")]
pub struct LayerConfig {
    /// The layer's name; its variables are `NAME.kernel` and so on.
    pub name: String,
    /// The class and its arguments.
    pub class: Class,
    /// In a graph, what each call of the layer is given: its inputs, then a recurrent layer's initial states.
    pub inbound_nodes: Vec<Vec<TensorRef>>,
    /// Whether a recurrent layer that is given initial states heeds its input's mask: true in Keras 1 and 2, and where
    /// left out. Keras 3 hands the mask only to a call on one tensor (`keras/src/layers/layer.py`); with initial states
    /// the layer walks every step, and the mask goes on to the next layer all the same.
    pub mask_with_states: bool,
}

/// A layer as it stands in JSON: the name is among the arguments.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLayer {
    class_name: String,
    config: serde_json::Map<String, serde_json::Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inbound_nodes: Vec<Vec<TensorRef>>,
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    mask_with_states: bool,
}

fn yes() -> bool {
    true
}

impl TryFrom<RawLayer> for LayerConfig {
    type Error = Error;

    fn try_from(raw: RawLayer) -> Result<Self> {
        let RawLayer { class_name, mut config, inbound_nodes, mask_with_states } = raw;
        let name = match config.shift_remove("name") {
            Some(serde_json::Value::String(name)) if !name.is_empty() => name,
            Some(other) => {
                return Err(Error::layer(class_name, format!("`name` must be a text, not {other}")));
            }
            None => return Err(Error::layer(class_name, "its `config` needs a `name`")),
        };
        if !Class::NAMES.contains(&class_name.as_str()) {
            let hint = crate::nearest(&class_name, Class::NAMES.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| format!("known are {}", Class::NAMES.join(", ")));
            return Err(Error::layer(name, format!("class `{class_name}` is unknown; {hint}")));
        }
        if matches!(class_name.as_str(), "Sequential" | "Functional") {
            // A model has its name among its own fields.
            config.insert("name".into(), name.as_str().into());
        }
        let read = |config| {
            let tagged =
                serde_json::json!({ "class_name": class_name, "config": serde_json::Value::Object(config) });
            serde_json::from_value(tagged)
        };
        let class = read(config.clone()).map_err(|error| {
            let what = object_in_words::<Class>(&config, &error, read);
            Error::layer(name.as_str(), format!("{class_name}: {what}"))
        })?;
        Ok(Self { name, class, inbound_nodes, mask_with_states })
    }
}

impl From<LayerConfig> for RawLayer {
    fn from(layer: LayerConfig) -> Self {
        let mut config = serde_json::Map::new();
        config.insert("name".into(), layer.name.into());
        // A class serialises to its name and an object of its arguments: nothing in it can fail.
        let tagged = serde_json::to_value(&layer.class).unwrap_or_default();
        if let Some(arguments) = tagged.get("config").and_then(|value| value.as_object()) {
            let others = arguments.iter().filter(|(key, _)| *key != "name");
            config.extend(others.map(|(key, value)| (key.clone(), value.clone())));
        }
        Self {
            class_name: layer.class.name().into(),
            config,
            inbound_nodes: layer.inbound_nodes,
            mask_with_states: layer.mask_with_states,
        }
    }
}

impl LayerConfig {
    /// A layer of a model whose layers run one after another.
    pub fn new(name: impl Into<String>, class: Class) -> Self {
        Self { name: name.into(), class, inbound_nodes: vec![], mask_with_states: true }
    }
}

/// Full names and shapes of variables.
pub type NamedShapes = Vec<(String, Vec<usize>)>;

impl ModelConfig {
    /// A model whose layers run one after another.
    pub fn sequential(name: impl Into<String>, layers: Vec<LayerConfig>) -> Self {
        Self { name: name.into(), layers, input_layers: vec![], output_layers: vec![] }
    }

    /// From JSON.
    ///
    /// # Errors
    /// If it is no such JSON, a class, field or activation is unknown, or the layers do not fit each other.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self =
            serde_json::from_str(json).map_err(|error| Error::argument("model config", in_words(&error)))?;
        config.place()?;
        Ok(config)
    }

    /// Whether the layers form a graph rather than a row.
    pub fn is_graph(&self) -> bool {
        !self.input_layers.is_empty() || !self.output_layers.is_empty()
    }

    /// The shapes of the model's inputs, in order, as its InputLayers have them.
    pub fn input_shapes(&self) -> Vec<Shape> {
        self.input_configs().into_iter().map(|input| input.batch_shape).collect()
    }

    /// The InputLayers in the order of the model's inputs.
    pub(super) fn input_configs(&self) -> Vec<InputConfig> {
        let inputs: Vec<&LayerConfig> = if self.is_graph() {
            let find = |reference: &TensorRef| self.layers.iter().find(|layer| layer.name == reference.0);
            self.input_layers.iter().filter_map(find).collect()
        } else {
            self.layers.iter().take(1).collect()
        };
        let config = |layer: &LayerConfig| match &layer.class {
            Class::InputLayer(config) => Some(config.clone()),
            _ => None,
        };
        inputs.into_iter().filter_map(config).collect()
    }

    /// Every variable's full name and shape, in Keras's order.
    ///
    /// # Errors
    /// If the layers do not fit each other.
    pub fn variables(&self) -> Result<NamedShapes> {
        Ok(self.layer_variables()?.into_iter().flat_map(|(_, variables)| variables).collect())
    }

    /// The same layer by layer, in the order of the layers; within a layer in the order of Keras's `layer.weights`,
    /// trained ones first.
    ///
    /// # Errors
    /// If the layers do not fit each other.
    pub fn layer_variables(&self) -> Result<Vec<(&LayerConfig, NamedShapes)>> {
        let named = |placed: Placed<'_>| {
            let name = &placed.layer.name;
            placed.variables.into_iter().map(|(path, v)| (format!("{name}.{path}"), v.shape)).collect()
        };
        let layers = self.place()?.layers.into_iter();
        Ok(layers
            .map(|placed| (placed.layer, placed))
            .map(|(layer, placed)| (layer, named(placed)))
            .collect())
    }

    /// Names of the variables that an optimiser does not train: moving statistics.
    pub(super) fn untrained(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for placed in self.place()?.layers {
            let untrained = placed.variables.iter().filter(|(_, variable)| !variable.trainable);
            names.extend(untrained.map(|(path, _)| format!("{}.{path}", placed.layer.name)));
        }
        Ok(names)
    }

    /// The layer that gives the model's first output, looked for within models too.
    fn last(&self) -> Option<&LayerConfig> {
        let mut model = self;
        loop {
            let last = match model.output_layers.first() {
                Some(reference) => model.layers.iter().find(|layer| layer.name == reference.0),
                None => model.layers.last(),
            };
            match last.map(|layer| &layer.class) {
                Some(Class::Sequential(inner) | Class::Functional(inner)) => model = inner,
                _ => return last,
            }
        }
    }

    /// Whether a layer carries its states on from batch to batch.
    pub fn is_stateful(&self) -> bool {
        self.layers.iter().any(|layer| layer.class.is_stateful())
    }

    /// The number of token ids that the first Embedding knows, if the model begins with one.
    pub fn vocab_size(&self) -> Option<usize> {
        self.layers.iter().find_map(|layer| match &layer.class {
            Class::Embedding(config) => Some(config.input_dim),
            _ => None,
        })
    }

    /// Checks that the model ends as [`Model::logits`](super::Model::logits) and training need it.
    ///
    /// # Errors
    /// If the last layer is no Dense of one unit with a sigmoid, nor a sigmoid of one number.
    pub fn check_binary_classifier(&self) -> Result<()> {
        let placement = self.place()?;
        let Some(last) = self.last() else { return Ok(()) };
        let fail = |what: &str| Err(Error::layer(last.name.as_str(), what));
        match &last.class {
            Class::Dense(dense) if dense.units == 1 && dense.activation == Activation::Sigmoid => {}
            Class::Activation(config) if config.activation == Activation::Sigmoid => {}
            _ => {
                return fail(
                    "a binary classifier must end with a Dense layer of 1 unit and activation sigmoid",
                );
            }
        }
        match placement.output_shapes().as_slice() {
            [shape] if matches!(shape.as_slice(), [_, Some(1)]) => Ok(()),
            [_] => fail(
                "gives one value a step where a classifier gives one a text: set return_sequences to false in the last \
                 recurrent layer",
            ),
            _ => fail("a binary classifier has one output"),
        }
    }

    /// The length of a sequence, where the model fixes it.
    pub fn max_len(&self) -> Option<usize> {
        self.layers.iter().find_map(|layer| match &layer.class {
            Class::InputLayer(config) => config.batch_shape.get(1).copied().flatten(),
            _ => None,
        })
    }

    /// Makes the model read `max_len` ids below `vocab_size`.
    pub fn set_text_shape(&mut self, vocab_size: usize, max_len: usize) {
        for layer in &mut self.layers {
            match &mut layer.class {
                Class::InputLayer(config) if config.batch_shape.len() == 2 => {
                    config.batch_shape[1] = Some(max_len);
                }
                Class::Embedding(config) => config.input_dim = vocab_size,
                _ => {}
            }
        }
    }
}

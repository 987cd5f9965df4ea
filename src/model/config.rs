//! A model as data: the layer list, in Keras's class and field names.

use crate::nn::{
    Activation, DenseConfig, DropoutConfig, EmbeddingConfig, GruConfig, LstmConfig, SimpleRnnConfig, Variable,
};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A shape whose open axes (the batch, a free length) are `None`.
pub type Shape = Vec<Option<usize>>;

/// What a model is: its name and its layers, in the order they run.
///
/// In JSON it reads as Keras's Sequential configuration does:
/// `{"name": "lstm", "layers": [{"class_name": "LSTM", "config": {"name": "lstm", "units": 8}}, …]}`. Fields left out
/// have Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The model's name.
    pub name: String,
    /// The layers.
    pub layers: Vec<LayerConfig>,
}

/// A layer: its name and its class with the class's arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawLayer", into = "RawLayer")]
pub struct LayerConfig {
    /// The layer's name; its variables are `NAME.kernel` and so on.
    pub name: String,
    /// The class and its arguments.
    pub class: Class,
}

/// The classes of layers, by Keras's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "class_name", content = "config")]
#[non_exhaustive]
pub enum Class {
    /// The input's shape.
    InputLayer(InputConfig),
    /// Ids to vectors.
    Embedding(EmbeddingConfig),
    /// Elman's recurrent layer.
    SimpleRNN(SimpleRnnConfig),
    /// Long short-term memory.
    LSTM(LstmConfig),
    /// Gated recurrent unit.
    GRU(GruConfig),
    /// Dropout of single elements.
    Dropout(DropoutConfig),
    /// A fully connected layer.
    Dense(DenseConfig),
}

/// Class names, for "did you mean".
const CLASSES: [&str; 7] = ["InputLayer", "Embedding", "SimpleRNN", "LSTM", "GRU", "Dropout", "Dense"];

/// Keras's `InputLayer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// The input's shape with the batch: `[null, 100]` for sequences of 100 ids.
    pub batch_shape: Shape,
    /// `int32` for ids, `float32` for features.
    #[serde(default = "float32")]
    pub dtype: String,
}

fn float32() -> String {
    "float32".into()
}

/// A layer as it stands in JSON: the name is among the arguments.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLayer {
    class_name: String,
    config: serde_json::Map<String, serde_json::Value>,
}

impl TryFrom<RawLayer> for LayerConfig {
    type Error = Error;

    fn try_from(RawLayer { class_name, mut config }: RawLayer) -> Result<Self> {
        let name = match config.shift_remove("name") {
            Some(serde_json::Value::String(name)) if !name.is_empty() => name,
            Some(other) => {
                return Err(Error::layer(class_name, format!("`name` must be a text, not {other}")));
            }
            None => return Err(Error::layer(class_name, "its `config` needs a `name`")),
        };
        if !CLASSES.contains(&class_name.as_str()) {
            let hint = crate::nearest(&class_name, CLASSES.into_iter())
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| format!("known are {}", CLASSES.join(", ")));
            return Err(Error::layer(name, format!("class `{class_name}` is unknown; {hint}")));
        }
        let tagged = serde_json::json!({ "class_name": class_name, "config": config });
        let class = serde_json::from_value(tagged)
            .map_err(|e| Error::layer(name.as_str(), format!("{class_name}: {e}")))?;
        Ok(Self { name, class })
    }
}

impl From<LayerConfig> for RawLayer {
    fn from(layer: LayerConfig) -> Self {
        let mut config = serde_json::Map::new();
        config.insert("name".into(), layer.name.into());
        // A class serialises to its name and an object of its arguments: nothing in it can fail.
        let tagged = serde_json::to_value(&layer.class).unwrap_or_default();
        if let Some(arguments) = tagged.get("config").and_then(|value| value.as_object()) {
            config.extend(arguments.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        Self { class_name: layer.class.name().into(), config }
    }
}

impl Class {
    /// Keras's name for the class.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InputLayer(_) => "InputLayer",
            Self::Embedding(_) => "Embedding",
            Self::SimpleRNN(_) => "SimpleRNN",
            Self::LSTM(_) => "LSTM",
            Self::GRU(_) => "GRU",
            Self::Dropout(_) => "Dropout",
            Self::Dense(_) => "Dense",
        }
    }

    /// Whether the layer carries its state from batch to batch.
    pub fn is_stateful(&self) -> bool {
        match self {
            Self::SimpleRNN(config) => config.stateful,
            Self::LSTM(config) => config.stateful,
            Self::GRU(config) => config.stateful,
            Self::InputLayer(_) | Self::Embedding(_) | Self::Dropout(_) | Self::Dense(_) => false,
        }
    }

    fn check(&self) -> std::result::Result<(), String> {
        match self {
            Self::InputLayer(input) => match input.batch_shape.len() {
                0 | 1 => Err("batch_shape needs the batch and at least one more axis".into()),
                _ if input.batch_shape[1..].contains(&Some(0)) => Err("batch_shape has an axis of 0".into()),
                _ => Ok(()),
            },
            Self::Embedding(config) => config.check(),
            Self::SimpleRNN(config) => config.check(),
            Self::LSTM(config) => config.check(),
            Self::GRU(config) => config.check(),
            Self::Dropout(config) => config.check(),
            Self::Dense(config) => config.check(),
        }
    }

    /// The layer's variables over an input of `input_dim` features.
    fn variables(&self, input_dim: usize) -> Vec<Variable> {
        match self {
            Self::InputLayer(_) | Self::Dropout(_) => vec![],
            Self::Embedding(config) => config.variables(),
            Self::SimpleRNN(config) => config.variables(input_dim),
            Self::LSTM(config) => config.variables(input_dim),
            Self::GRU(config) => config.variables(input_dim),
            Self::Dense(config) => config.variables(input_dim),
        }
    }

    /// The output's shape for an input of shape `input`.
    fn output_shape(&self, input: &Shape) -> std::result::Result<Shape, String> {
        let recurrent = |units: usize, sequences: bool| match **input {
            [batch, time, _] if sequences => Ok(vec![batch, time, Some(units)]),
            [batch, _, _] => Ok(vec![batch, Some(units)]),
            _ => Err(format!(
                "needs an input of 3 axes (batch, time, features), given {}; does the layer before it lack return_sequences?",
                show(input)
            )),
        };
        match self {
            Self::InputLayer(config) => Ok(config.batch_shape.clone()),
            Self::Embedding(config) => {
                let mut shape = input.clone();
                shape.push(Some(config.output_dim));
                Ok(shape)
            }
            Self::SimpleRNN(config) => recurrent(config.units, config.return_sequences),
            Self::LSTM(config) => recurrent(config.units, config.return_sequences),
            Self::GRU(config) => recurrent(config.units, config.return_sequences),
            Self::Dropout(_) => Ok(input.clone()),
            Self::Dense(config) => {
                let mut shape = input.clone();
                if let Some(last) = shape.last_mut() {
                    *last = Some(config.units);
                }
                Ok(shape)
            }
        }
    }
}

/// The most numbers that a variable may have: 8 GiB of them.
const MAX_VARIABLE: usize = 1 << 31;

/// A shape as Keras prints it: `(None, 100, 16)`.
pub(super) fn show(shape: &[Option<usize>]) -> String {
    let axes: Vec<String> =
        shape.iter().map(|axis| axis.map_or_else(|| "None".into(), |n| n.to_string())).collect();
    format!("({})", axes.join(", "))
}

/// A layer with what follows from its place in the model.
pub(super) struct Placed<'a> {
    pub layer: &'a LayerConfig,
    /// The last axis of the input; 0 for an Embedding, which has none.
    pub input_dim: usize,
    pub output_shape: Shape,
    pub variables: Vec<Variable>,
}

impl ModelConfig {
    /// From JSON.
    ///
    /// # Errors
    /// If it is no such JSON, a class, field or activation is unknown, or the layers do not fit each other.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self =
            serde_json::from_str(json).map_err(|e| Error::argument("model config", e.to_string()))?;
        config.place()?;
        Ok(config)
    }

    /// Every layer in order with its input and output; the check of the whole.
    pub(super) fn place(&self) -> Result<Vec<Placed<'_>>> {
        let mut shape: Option<Shape> = None;
        let mut placed: Vec<Placed<'_>> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let fail = |what: String| Error::layer(layer.name.as_str(), what);
            layer.class.check().map_err(fail)?;
            if layer.name.contains(['.', '/']) || placed.iter().any(|other| other.layer.name == layer.name) {
                return Err(fail("a layer's name must be its own and hold no `.` or `/`".into()));
            }
            let input = match (&layer.class, shape.take()) {
                (Class::InputLayer(_), Some(_)) => {
                    return Err(fail("an InputLayer can only be the first layer".into()));
                }
                (Class::InputLayer(_), None) => vec![],
                (Class::Embedding(_), None) => vec![None, None],
                (_, Some(shape)) => shape,
                (_, None) => {
                    return Err(fail(
                        "the first layer must be an InputLayer with its batch_shape, or an Embedding".into(),
                    ));
                }
            };
            let is_input = matches!(layer.class, Class::InputLayer(_) | Class::Embedding(_));
            let input_dim = match input.last() {
                _ if is_input => 0,
                Some(Some(features)) => *features,
                _ => return Err(fail(format!("the last axis of its input {} must be known", show(&input)))),
            };
            let output_shape = layer.class.output_shape(&input).map_err(fail)?;
            shape = Some(output_shape.clone());
            let variables = layer.class.variables(input_dim);
            for variable in &variables {
                let len = variable.shape.iter().try_fold(1usize, |len, &axis| len.checked_mul(axis));
                if len.is_none_or(|len| len > MAX_VARIABLE) {
                    let (name, shape) = (variable.name, &variable.shape);
                    return Err(fail(format!("its {name} {shape:?} would have more than 2^31 numbers")));
                }
            }
            placed.push(Placed { layer, input_dim, output_shape, variables });
        }
        if placed.iter().all(|placed| matches!(placed.layer.class, Class::InputLayer(_))) {
            return Err(Error::layer(self.name.as_str(), "a model needs at least one layer"));
        }
        Ok(placed)
    }

    /// Every variable's full name and shape, in Keras's order.
    ///
    /// # Errors
    /// If the layers do not fit each other.
    pub fn variables(&self) -> Result<Vec<(String, Vec<usize>)>> {
        let named = |placed: Placed<'_>| {
            let name = placed.layer.name.clone();
            placed
                .variables
                .into_iter()
                .map(move |v| (format!("{name}.{}", v.name), v.shape))
                .collect::<Vec<_>>()
        };
        Ok(self.place()?.into_iter().flat_map(named).collect())
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
    /// If the last layer is no Dense of one unit with a sigmoid.
    pub fn check_binary_classifier(&self) -> Result<()> {
        let placed = self.place()?;
        let Some(last) = placed.last() else { return Ok(()) };
        let fail = |what: &str| Err(Error::layer(last.layer.name.as_str(), what));
        match &last.layer.class {
            Class::Dense(dense) if dense.units == 1 && dense.activation == Activation::Sigmoid => {}
            _ => {
                return fail(
                    "a binary classifier must end with a Dense layer of 1 unit and activation sigmoid",
                );
            }
        }
        match last.output_shape.len() {
            2 => Ok(()),
            _ => fail(
                "gives one value a step where a classifier gives one a text: set return_sequences to false in the last \
                 recurrent layer",
            ),
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

//! The configurations of each Keras version, brought to one form: Keras 3's class and field names, as
//! [`ModelConfig`](crate::model::ModelConfig) reads them.
//!
//! Arguments without effect on the numbers (initialisers, `implementation`, …) are left out, by a list of them
//! (`ignored.rs`); any other that is not understood is refused, naming the layer.

mod activation;
#[cfg(test)]
mod arguments_tests;
mod attention;
mod call;
mod classes;
mod convolution;
mod fields;
mod graph;
mod ids;
mod ignored;
mod layers;
mod masks;
mod merge;
mod node_def;
mod operands;
mod operations;
mod policy;
mod preprocessing;
mod recurrent;
mod rules;
mod sequential;
mod taken;
mod tensorflow;

use crate::keras::names::{begins_mask, is_model};
use crate::layers::{MaskJoin, OperationConfig};
use crate::{Error, Result};
use fields::Fields;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Which Keras wrote a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// 1, 2 (which includes tf.keras) or 3.
    pub major: u32,
    /// The number after it, if it is known.
    pub minor: Option<u32>,
    /// Whether it is this crate's own form of Keras 3's.
    pub own: bool,
    /// The version as the file gives it.
    pub text: String,
}

impl Version {
    /// From text such as `2.2.4-tf`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| part.trim().parse().ok());
        let major = numbers.next()?.filter(|major| (0..=99).contains(major))?;
        let minor = numbers.next().flatten();
        Some(Self { major, minor, own: false, text: text.into() })
    }

    /// Whether a Bidirectional repeats its output at masked steps: in Keras before it was tf.keras, to 2.3.1. tf.keras
    /// gives 0 there since TensorFlow 1.13 (`2.2.4-tf`; `force_zero_output_for_mask` in its wrappers).
    fn holds_masked(&self) -> bool {
        match (self.major, self.minor) {
            (0 | 1, _) => true,
            (2, Some(minor)) => minor < 2 || minor < 4 && !self.text.contains("-tf"),
            _ => false,
        }
    }

    /// How an UpSampling2D interpolates: up to TensorFlow 1.13 by `resize_bilinear`, as Keras beside it to the end, since
    /// then by `resize_images_v2` (`resize_images` in their backends).
    fn bilinear(&self) -> Bilinear {
        let is_tf = self.text.contains("-tf");
        match (self.major, self.minor) {
            (0 | 1, _) => Bilinear::Corners,
            (2, Some(0..=3)) if !is_tf => Bilinear::Corners,
            (2, Some(0..=1)) => Bilinear::Corners,
            (2, Some(2) | None) => Bilinear::Either,
            _ => Bilinear::Middles,
        }
    }

    /// From the form of a configuration that does not say.
    pub fn guess(model: &Value) -> Self {
        let text = model.to_string();
        let has = |key: &str| text.contains(&format!("\"{key}\""));
        let major = match () {
            _ if has("batch_shape") || has("__keras_tensor__") || has("compile_config") => 3,
            _ if has("inner_activation")
                || has("nb_filter")
                || has("border_mode")
                || has("W_regularizer") =>
            {
                1
            }
            _ => 2,
        };
        Self { major, minor: None, own: false, text: format!("{major}") }
    }
}

/// Where steps have their place when a bilinear UpSampling2D goes from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bilinear {
    /// In their middle.
    Middles,
    /// At their beginning.
    Corners,
    /// The file does not say.
    Either,
}

/// A layer as the file has it, beside its canonical form: what is needed to find its variables.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its part of the variables' names: its name, or its role in the layer around it.
    pub role: String,
    /// Its name in the file.
    pub name: String,
    /// Its group in `model.weights.h5`, below that of the layer around it.
    pub group: String,
    /// Its class in the file, where it is one of a model's layers, whose groups are named by their classes.
    pub class: String,
    /// Whether its variables stand in a group `cell` there.
    pub is_cell: bool,
    /// Whether its variables stood among the trainable ones.
    pub trainable: bool,
    /// Whether its kernels are of single channels, which Theano did not turn round.
    pub is_depthwise: bool,
    /// How its weights were made smaller, if they were.
    pub quantised: Option<Quantised>,
    /// The layers in it.
    pub children: Vec<Source>,
}

/// What Keras calls `model.quantize(mode)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantised {
    /// Whole numbers from -127 to 127 that are to be divided by a scale, one for each row or column.
    Int8 {
        /// Whether the scales are those of the rows.
        by_row: bool,
    },
}

/// A model brought to one form.
#[derive(Clone, Debug)]
pub(crate) struct Translated {
    /// The model as `ModelConfig` reads it.
    pub json: Value,
    /// Its layers as the file has them.
    pub layers: Vec<Source>,
    /// What a user should know.
    pub warnings: Vec<String>,
}

/// A layer brought to one form.
struct Layer {
    class: &'static str,
    /// Canonical arguments, the name among them.
    config: Value,
    source: Source,
    /// A layer that must follow: an activation with parameters of its own.
    tail: Option<(&'static str, Value)>,
}

/// What holds for a whole model while it is translated.
struct Context {
    major: u32,
    /// The number after it, where the file says.
    minor: Option<u32>,
    /// How merging layers join masks.
    mask_join: MaskJoin,
    /// Whether a mask begins anywhere in the model.
    has_masks: bool,
    /// See [`Version::holds_masked`].
    holds_masked: bool,
    /// See [`Version::bilinear`].
    bilinear: Bilinear,
    /// See [`Version::own`].
    own: bool,
    /// Models around the one that is translated.
    depth: usize,
    /// Dtype policies of fewer digits than float32 has.
    narrow: BTreeSet<String>,
    /// Whether a layer rounds its input.
    quantised: bool,
    /// Whether a layer has the policy float64.
    wide: bool,
    /// The layer up to which the outermost model is read.
    until: Option<String>,
    /// What stands in the place of Lambdas, by their names.
    lambdas: BTreeMap<String, OperationConfig>,
    /// Those that were found.
    found_lambdas: BTreeSet<String>,
    warnings: Vec<String>,
}

/// Translates a model: the value of the attribute `model_config`, a `config.json`, or what `to_json` gives. `lambdas` are
/// operations for Lambdas by their names. With `until` up to that layer: what comes after it need not be known.
pub(crate) fn translate(
    model: &Value,
    version: &Version,
    lambdas: &BTreeMap<String, OperationConfig>,
    until: Option<&str>,
) -> Result<Translated> {
    let text = model.to_string();
    let mut context = Context::new(version);
    if text.contains("\"module\":\"keras_core.") {
        // The name of Keras 3 before it was one; its versions began with 0.
        context = Context::new(&Version { major: 3, minor: Some(0), ..version.clone() });
    }
    context.lambdas = lambdas.clone();
    context.until = until.map(String::from);
    context.has_masks = begins_mask(model);
    let class = model.get("class_name").and_then(Value::as_str).unwrap_or_default();
    if class.is_empty() {
        return Err(Error::argument("model config", "has no `class_name`: it is no model of Keras's"));
    }
    let (mut json, layers) = context.model(class, model)?;
    // The flag of a Sequential is ignored by Keras.
    if class != "Sequential" && model.pointer("/config/trainable") == Some(&Value::Bool(false)) {
        for layer in json["layers"].as_array_mut().into_iter().flatten() {
            layer["config"]["trainable"] = false.into();
        }
    }
    context.warn_policies();
    // Beyond `until` nothing was looked for.
    let unknown = lambdas.keys().find(|name| !context.found_lambdas.contains(*name));
    if let Some(name) = unknown.filter(|_| until.is_none()) {
        return Err(Error::layer(
            name.as_str(),
            "an operation is given for it, and the model has no Lambda of that name",
        ));
    }
    Ok(Translated { json, layers, warnings: context.warnings })
}

impl Context {
    fn new(version: &Version) -> Self {
        let mask_join = match (version.major, version.minor) {
            (0..=2, _) => MaskJoin::All,
            (3, Some(0..=3)) => MaskJoin::None,
            _ => MaskJoin::Any,
        };
        Self {
            major: version.major,
            minor: version.minor.filter(|_| !version.own),
            mask_join,
            has_masks: false,
            holds_masked: version.holds_masked(),
            bilinear: version.bilinear(),
            own: version.own,
            depth: 0,
            narrow: BTreeSet::new(),
            quantised: false,
            wide: false,
            until: None,
            lambdas: BTreeMap::new(),
            found_lambdas: BTreeSet::new(),
            warnings: vec![],
        }
    }

    /// The layer up to which this model is read.
    fn until(&self) -> Option<String> {
        self.until.clone().filter(|_| self.depth == 0)
    }

    /// A Sequential or functional model: its canonical arguments and its layers.
    fn model(&mut self, class: &str, model: &Value) -> Result<(Value, Vec<Source>)> {
        let config = model.get("config").unwrap_or(&Value::Null);
        let name = config.get("name").and_then(Value::as_str).unwrap_or("model").to_string();
        if let Some(registered) = custom_class(model) {
            return Err(Error::layer(
                name,
                format!("is of the custom class `{registered}`, whose code is not in the file"),
            ));
        }
        let is_graph = config.get("input_layers").is_some();
        match class {
            "Tokenizer" => {
                let what =
                    "is Keras's Tokenizer, which turns text into ids, and no model; it goes with --tokenizer";
                Err(Error::layer(name, what))
            }
            "Sequential" => self.sequential(&name, config),
            "Functional" | "Model" if is_graph => self.graph(&name, config),
            _ => {
                let what = format!(
                    "is of the class `{class}`, whose structure is code and not in the file; only Sequential and \
                     functional models can be read"
                );
                Err(Error::layer(name, what))
            }
        }
    }

    /// One layer. `name` is the one to use if the configuration has none.
    fn layer(&mut self, value: &Value, name: &str) -> Result<Layer> {
        let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
        let config = value.get("config").unwrap_or(&Value::Null);
        let name = config.get("name").or_else(|| value.get("name")).and_then(Value::as_str).unwrap_or(name);
        if class.is_empty() {
            return Err(Error::layer(name, "has no `class_name`"));
        }
        if let Some(registered) = custom_class(value) {
            let what = format!("is of the custom class `{registered}`, whose code is not in the file");
            return Err(Error::layer(name, what));
        }
        if operations::is(value) {
            let empty = serde_json::Map::new();
            return Err(Self::no_operation(&Fields::new(name, class, config.as_object().unwrap_or(&empty))));
        }
        if is_model(class) {
            self.depth += 1;
            let (mut json, children) = self.model(class, value)?;
            self.depth -= 1;
            json["name"] = name.into();
            let source = Source { children, ..Source::new(name, config) };
            // Keras freezes what a functional model holds by the model's flag, but of a Sequential by the layers' own.
            let is_frozen = config.get("trainable") == Some(&Value::Bool(false));
            if is_frozen && (class != "Sequential" || self.own) {
                json["trainable"] = false.into();
            }
            let class = if class == "Sequential" { "Sequential" } else { "Functional" };
            return Ok(Layer { class, config: json, source, tail: None });
        }
        let empty = serde_json::Map::new();
        let fields = Fields::new(name, class, config.as_object().unwrap_or(&empty));
        let mut layer = self.simple(&fields)?;
        self.take_policy(class, config, &mut layer.source)?;
        if layer.source.quantised.is_some() {
            fields.get(&["quantization_config"]);
        }
        layer.config["name"] = name.into();
        let rules = self.training_rules(&fields);
        if let Some(config) = layer.config.as_object_mut() {
            config.extend(rules);
            // What the layer gives is what its activation gives.
            if let (Some((_, tail)), Some(rule)) =
                (&mut layer.tail, config.get("activity_regularizer").cloned())
            {
                config.shift_remove("activity_regularizer");
                tail["activity_regularizer"] = rule;
            }
        }
        fields.check_all_known()?;
        Ok(layer)
    }
}

impl Source {
    fn new(name: &str, config: &Value) -> Self {
        Self {
            role: name.into(),
            name: name.into(),
            group: String::new(),
            class: String::new(),
            is_cell: false,
            trainable: config.get("trainable").and_then(Value::as_bool).unwrap_or(true),
            is_depthwise: false,
            quantised: None,
            children: vec![],
        }
    }

    /// The same as part of another layer.
    fn in_role(self, role: &str) -> Self {
        Self { role: role.into(), group: role.into(), ..self }
    }
}

/// The name of a class that is not Keras's own, if that is what a serialised object says.
fn custom_class(value: &Value) -> Option<String> {
    let class = value.get("class_name").and_then(Value::as_str)?;
    if class.contains('>') {
        return Some(class.into());
    }
    let registered = value.get("registered_name").and_then(Value::as_str);
    if let Some(registered) = registered.filter(|name| name.contains('>')) {
        return Some(registered.into());
    }
    let module = value.get("module").and_then(Value::as_str)?;
    let own = ["keras", "keras_core", "tf_keras", "tensorflow.keras", "tensorflow.python.keras", "builtins"];
    let is_own = own.iter().any(|name| module == *name || module.starts_with(&format!("{name}.")));
    (!is_own).then(|| format!("{module}.{class}"))
}

/// Hands out names of layers: unique, and without the characters that separate the parts of a variable's name.
#[derive(Default)]
struct LayerNames {
    taken: std::collections::HashSet<String>,
    /// The number that is tried next for a name that is taken.
    next: std::collections::HashMap<String, usize>,
}

impl LayerNames {
    fn take(&mut self, name: &str) -> String {
        let plain = name.replace(['.', '/'], "_");
        let plain = if plain.is_empty() { "layer".to_string() } else { plain };
        if self.taken.insert(plain.clone()) {
            return plain;
        }
        let next = self.next.entry(plain.clone()).or_insert(1);
        loop {
            let unique = format!("{plain}_{next}");
            *next += 1;
            if self.taken.insert(unique.clone()) {
                return unique;
            }
        }
    }
}

/// A canonical layer as JSON.
fn canonical(class: &str, config: Value) -> Value {
    json!({ "class_name": class, "config": config })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// tf.keras gives 0 at the masked steps of a Bidirectional, Keras before it repeated the output.
    #[test]
    fn masked_steps_of_an_old_bidirectional_are_warned_of() {
        let model = |mask: bool, unroll: bool| {
            let lstm = json!({ "units": 2, "return_sequences": true, "unroll": unroll });
            let lstm = json!({ "class_name": "LSTM", "config": lstm });
            let words = json!({ "name": "e", "input_dim": 5, "output_dim": 2, "mask_zero": mask });
            json!({ "class_name": "Sequential", "config": [
                { "class_name": "Embedding", "config": words },
                { "class_name": "Bidirectional", "config": { "name": "b", "layer": lstm } }] })
        };
        let warnings = |version: &str, mask: bool, unroll: bool| {
            let version = Version::parse(version).unwrap();
            translate(&model(mask, unroll), &version, &BTreeMap::new(), None).unwrap().warnings.len()
        };
        for version in ["1.2.2", "2.0.8", "2.2.4", "2.3.1"] {
            assert_eq!((warnings(version, true, false), warnings(version, false, true)), (1, 0), "{version}");
        }
        for version in ["2.2.4-tf", "2.3.0-tf", "2.4.0", "2.15.0", "3.0.0"] {
            assert_eq!((warnings(version, true, false), warnings(version, true, true)), (0, 1), "{version}");
        }
    }

    /// Where a file does not say which numbers Keras gave, or Keras gave others, a line says so.
    #[test]
    fn what_versions_did_otherwise_is_warned_of() {
        let warnings = |version: &str, class: &str, config: Value| {
            let layer = json!({ "class_name": class, "config": config });
            let model = json!({ "class_name": "Sequential", "config": [layer] });
            translate(&model, &Version::parse(version).unwrap(), &BTreeMap::new(), None)
                .unwrap()
                .warnings
                .len()
        };
        for (version, bilinear, unit) in
            [("2.2.4-tf", 1, 1), ("2.3.0-tf", 0, 1), ("2.15.0", 0, 1), ("3.0.0", 0, 0)]
        {
            let config =
                json!({ "name": "u", "interpolation": "bilinear", "batch_input_shape": [null, 2, 2, 1] });
            assert_eq!(warnings(version, "UpSampling2D", config), bilinear, "{version}");
            let config = json!({ "name": "n", "batch_input_shape": [null, 2] });
            assert_eq!(warnings(version, "UnitNormalization", config), unit, "{version}");
        }
    }
}

//! Functional models: which layer is called with which tensors.

use super::masks::{Join, Masks};
use super::{Context, GroupNames, Layer, LayerNames, Source, canonical, ids};
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};

/// A tensor: of which layer, of which of its calls, which of what the call gave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub layer: String,
    pub call: usize,
    pub tensor: usize,
}

/// The layers that take initial states.
const RECURRENT: [&str; 6] = ["SimpleRNN", "LSTM", "GRU", "RNN", "Bidirectional", "ConvLSTM2D"];

/// The layers that join masks.
const JOINS: [&str; 7] = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"];

/// A call of a layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    /// The tensors that the layer is given, its input first, then initial states.
    pub inputs: Vec<Reference>,
    /// A mask that is given by hand.
    pub mask: Option<Reference>,
    /// Arguments that are no tensors.
    pub constants: Vec<Value>,
    /// Whether it is always called as in training.
    pub training: bool,
}

impl Context {
    pub fn graph(&mut self, name: &str, config: &Value) -> Result<(Value, Vec<Source>)> {
        let list = config.get("layers").and_then(Value::as_array);
        let list = list.ok_or_else(|| Error::layer(name, "a functional model without a list of layers"))?;
        let mut parsed = Vec::with_capacity(list.len());
        for value in list {
            let text = |value: Option<&Value>| value.and_then(Value::as_str).map(String::from);
            let layer = text(value.get("name")).or_else(|| text(value.pointer("/config/name")));
            let layer = layer.ok_or_else(|| Error::layer(name, "holds a layer without a name"))?;
            let calls = calls(&layer, value.get("inbound_nodes"))?;
            parsed.push((layer, value, calls));
        }
        let join = self.mask_join;
        let masks = Masks::find(&parsed, join, self.depth > 0);
        let numbers = numbers(config, &parsed);
        let from_one = match self.major >= 3 && !self.own {
            true => ends_from_one(config, &parsed),
            false => HashSet::new(),
        };

        let (mut names, mut groups) = (LayerNames::default(), GroupNames::default());
        let (mut roles, mut tails): (HashMap<&str, String>, HashMap<&str, String>) = Default::default();
        let (mut translated, mut sources) = (vec![], vec![]);
        for (layer, value, calls) in &parsed {
            if masks.is_part(layer) {
                continue;
            }
            let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
            let Layer { class: canonical_class, mut config, source, tail } = self.layer(value, layer)?;
            for call in calls {
                self.check_call(layer, canonical_class, &config, call, &masks)?;
            }
            let by_rule = |call: &Call| masks.depends_on_rule(canonical_class, call, join);
            if join != Join::Any && JOINS.contains(&canonical_class) && calls.iter().any(by_rule) {
                config["mask_join"] = join.name().into();
            }
            let role = names.take(layer);
            let group = format!("layers/{}", groups.next(class));
            sources.push(Source { role: role.clone(), name: layer.clone(), group, ..source });
            if tail.is_some() {
                let tail_role = names.take(&format!("{role}_activation"));
                sources.push(Source::new(&tail_role, &Value::Null));
                tails.insert(layer, tail_role);
            }
            roles.insert(layer, role);
            translated.push((layer, value, canonical_class, config, tail, calls));
        }
        let known = Known { model: name, numbers, from_one, roles, tails };

        let mut layers = Vec::with_capacity(translated.len());
        for (layer, value, class, mut config, tail, calls) in translated {
            let role = known.roles.get(layer.as_str()).cloned().unwrap_or_default();
            config["name"] = role.clone().into();
            let mut inbound = Vec::with_capacity(calls.len());
            for call in calls {
                let inputs = call.inputs.iter().map(|input| known.json(input)).collect::<Result<Vec<_>>>()?;
                inbound.push(Value::Array(inputs));
            }
            let mut json = canonical(class, config);
            let count = inbound.len();
            json["inbound_nodes"] = inbound.into();
            if RECURRENT.contains(&class) && self.ignores_mask(value, calls, &masks) {
                json["mask_with_states"] = false.into();
            }
            layers.push(json);
            if let (Some((class, mut config)), Some(tail)) = (tail, known.tails.get(layer.as_str())) {
                config["name"] = tail.clone().into();
                let mut json = canonical(class, config);
                let inbound: Vec<Value> = (0..count).map(|call| json!([[role, call, 0]])).collect();
                json["inbound_nodes"] = inbound.into();
                layers.push(json);
            }
        }
        let ends = |key: &str| {
            let references = ends(config.get(key).unwrap_or(&Value::Null));
            let references = references
                .filter(|references| !references.is_empty())
                .ok_or_else(|| Error::layer(name, format!("its `{key}` cannot be understood")))?;
            references.into_iter().map(|reference| known.end(reference)).collect::<Result<Vec<_>>>()
        };
        ids::mark(&mut layers);
        let (inputs, outputs) = (ends("input_layers")?, ends("output_layers")?);
        Ok((
            json!({ "name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs }),
            sources,
        ))
    }

    /// Whether calls bring initial states and no mask by hand: in Keras 3 they ignore the mask of their input. In Keras 2
    /// it is all the same where no mask comes with it.
    fn ignores_mask(&self, value: &Value, calls: &[Call], masks: &Masks) -> bool {
        if self.own {
            return value.get("mask_with_states") == Some(&Value::Bool(false));
        }
        calls.iter().any(|call| call.inputs.len() > 1)
            && match self.major {
                3.. => calls.iter().all(|call| call.mask.is_none()),
                _ => calls.iter().all(|call| masks.pass_by(call)),
            }
    }

    /// Refuses what a call asks for beyond its tensors.
    fn check_call(
        &mut self,
        layer: &str,
        class: &str,
        config: &Value,
        call: &Call,
        masks: &Masks,
    ) -> Result<()> {
        if let Some(constant) = call.constants.first() {
            let what = format!("is called with the constant {constant}, which is not supported");
            return Err(Error::layer(layer, what));
        }
        if let Some(mask) = call.mask.as_ref().filter(|_| !masks.is_handed_on(call)) {
            let what = format!(
                "is called with a mask of its own (from `{}`); only the masks that Embedding and Masking begin and its \
                 input brings are supported",
                mask.layer
            );
            return Err(Error::layer(layer, what));
        }
        if call.training {
            let draws = |key: &str| config.get(key).and_then(Value::as_f64).unwrap_or(0.0) > 0.0;
            match class {
                "BatchNormalization" => {
                    return Err(Error::layer(layer, "is called with training=True, which is not supported"));
                }
                "Dropout" | "SpatialDropout1D" | "GaussianNoise" => self.warn_training(layer),
                _ if draws("dropout") || draws("recurrent_dropout") => self.warn_training(layer),
                _ => {}
            }
        }
        Ok(())
    }

    fn warn_training(&mut self, layer: &str) {
        self.warnings.push(format!(
            "layer {layer}: is called with training=True, so Keras draws its dropout in prediction too; here it does not"
        ));
    }
}

/// The layers of a model.
struct Known<'a> {
    model: &'a str,
    /// Where the calls of a layer are not numbered from 0: the numbers that they have.
    numbers: HashMap<String, Vec<usize>>,
    /// The layers whose calls the model's inputs and outputs count from 1.
    from_one: HashSet<String>,
    /// Canonical names.
    roles: HashMap<&'a str, String>,
    /// Names of the activations that follow layers.
    tails: HashMap<&'a str, String>,
}

impl Known<'_> {
    /// An input or output of the model.
    fn end(&self, reference: Reference) -> Result<Value> {
        let first = usize::from(self.from_one.contains(&reference.layer));
        self.json(&Reference { call: reference.call - first, ..reference })
    }

    fn json(&self, reference: &Reference) -> Result<Value> {
        let Reference { layer, call, tensor } = reference;
        let unknown = || Error::layer(self.model, format!("its layer `{layer}` is used but not there"));
        let role = self.roles.get(layer.as_str()).ok_or_else(unknown)?;
        let role = self.tails.get(layer.as_str()).unwrap_or(role);
        let numbers = self.numbers.get(layer.as_str());
        let call = numbers.and_then(|numbers| numbers.binary_search(call).ok()).unwrap_or(*call);
        Ok(json!([role, call, tensor]))
    }
}

/// Calls in other models, and the making of a nested model, count in some versions, though the file leaves them out: then
/// the numbers that are referred to are more than the layer has calls, and only their order says which call is meant.
fn numbers(config: &Value, layers: &[(String, &Value, Vec<Call>)]) -> HashMap<String, Vec<usize>> {
    let mut used: HashMap<String, BTreeSet<usize>> = HashMap::new();
    let outer = ["input_layers", "output_layers"].iter().filter_map(|key| ends(config.get(*key)?));
    let inner = layers.iter().flat_map(|(_, _, calls)| calls).flat_map(|call| call.inputs.clone());
    for Reference { layer, call, .. } in outer.flatten().chain(inner) {
        used.entry(layer).or_default().insert(call);
    }
    let mut numbers = HashMap::new();
    for (layer, _, calls) in layers {
        // An InputLayer is there once without being called.
        let count = calls.len().max(1);
        let Some(used) = used.get(layer.as_str()) else { continue };
        if used.len() == count && used.last().is_some_and(|last| *last >= count) {
            numbers.insert(layer.clone(), used.iter().copied().collect());
        }
    }
    numbers
}

/// The layers whose calls are counted from 0 where a layer is called on them, but from 1 where they are outputs of the
/// model: Keras 3 does so with a functional model within a model. Every call is used somewhere, so it shows.
fn ends_from_one(config: &Value, layers: &[(String, &Value, Vec<Call>)]) -> HashSet<String> {
    let is_model = |value: &Value| {
        matches!(value.get("class_name").and_then(Value::as_str), Some("Functional" | "Model"))
    };
    let outputs = config.get("output_layers").and_then(ends).unwrap_or_default();
    let inner: Vec<&Reference> =
        layers.iter().flat_map(|(_, _, calls)| calls).flat_map(|call| &call.inputs).collect();
    let counts_from_one = |name: &str, count: usize| {
        let of = |reference: &&Reference| reference.layer == name;
        let shown: Option<Vec<usize>> =
            outputs.iter().filter(of).map(|output| output.call.checked_sub(1)).collect();
        let shown = shown.unwrap_or_default();
        let used: BTreeSet<usize> =
            inner.iter().copied().filter(of).map(|input| input.call).chain(shown.iter().copied()).collect();
        !shown.is_empty() && used.into_iter().eq(0..count)
    };
    let found =
        layers.iter().filter(|(name, value, calls)| is_model(value) && counts_from_one(name, calls.len()));
    found.map(|(name, _, _)| name.clone()).collect()
}

/// The inputs or outputs of a model: a list of references, a single one, or an object of them.
fn ends(value: &Value) -> Option<Vec<Reference>> {
    match value {
        Value::Array(list) => match reference(list) {
            Some(reference) => Some(vec![reference]),
            None => list.iter().map(ends).collect::<Option<Vec<_>>>().map(|ends| ends.concat()),
        },
        // Keras flattens objects in the order of their keys.
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let ends: Option<Vec<_>> = keys.into_iter().map(|key| ends(map.get(key)?)).collect();
            ends.map(|ends| ends.concat())
        }
        _ => None,
    }
}

/// `["lstm", 0, 1]`.
fn reference(list: &[Value]) -> Option<Reference> {
    let [Value::String(layer), call, tensor, ..] = list else { return None };
    Some(Reference {
        layer: layer.clone(),
        call: usize::try_from(call.as_u64()?).ok()?,
        tensor: usize::try_from(tensor.as_u64()?).ok()?,
    })
}

/// The calls of a layer, in either of the two forms.
fn calls(layer: &str, nodes: Option<&Value>) -> Result<Vec<Call>> {
    let nodes = match nodes {
        None | Some(Value::Null) => return Ok(vec![]),
        Some(Value::Array(nodes)) => nodes,
        Some(_) => return Err(Error::layer(layer, "its `inbound_nodes` are no list")),
    };
    nodes
        .iter()
        .map(|node| {
            let mut call = Call::default();
            let read = match node {
                Value::Object(node) => keras3(node, &mut call),
                node => keras2(node, &mut call),
            };
            read.map_err(|what| Error::layer(layer, what))?;
            Ok(call)
        })
        .collect()
}

/// `[["x", 0, 0, {}], …]`, the last part the arguments by name.
fn keras2(node: &Value, call: &mut Call) -> std::result::Result<(), String> {
    let Value::Array(list) = node else {
        return Err("its `inbound_nodes` are in a form that is not known".into());
    };
    if let Some(Value::String(first)) = list.first() {
        if first == "_CONSTANT_VALUE" {
            call.constants.push(list.get(2).cloned().unwrap_or_default());
        } else {
            let found = reference(list).ok_or("its `inbound_nodes` are in a form that is not known")?;
            call.inputs.push(found);
        }
        if let Some(Value::Object(arguments)) = list.get(3) {
            named(arguments, call, &|value| match value {
                Value::Array(list) => ends(&Value::Array(list.clone())),
                _ => None,
            });
        }
        return Ok(());
    }
    list.iter().try_for_each(|part| keras2(part, call))
}

/// `{"args": […], "kwargs": {…}}`, tensors as objects.
fn keras3(node: &Map<String, Value>, call: &mut Call) -> std::result::Result<(), String> {
    if let Some(arguments) = node.get("args") {
        let list = arguments.as_array().ok_or("its `inbound_nodes` are in a form that is not known")?;
        for (position, argument) in list.iter().enumerate() {
            match tensors(argument) {
                Some(found) => call.inputs.extend(found),
                None if argument.is_null() || argument.is_boolean() && position > 0 => {}
                None => call.constants.push(argument.clone()),
            }
        }
    }
    if let Some(Value::Object(arguments)) = node.get("kwargs") {
        named(arguments, call, &tensors);
    }
    Ok(())
}

/// Arguments by name.
fn named(
    arguments: &Map<String, Value>,
    call: &mut Call,
    tensors: &dyn Fn(&Value) -> Option<Vec<Reference>>,
) {
    let before = call.inputs.is_empty();
    let (mut inputs, mut states) = (vec![], vec![]);
    for (name, value) in arguments {
        match (name.as_str(), tensors(value)) {
            ("mask", Some(found)) => call.mask = found.into_iter().next(),
            ("inputs" | "sequences" | "sequence" | "x", Some(found)) if before => inputs.extend(found),
            (_, Some(found)) => states.extend(found),
            ("training", None) => call.training = value == &Value::Bool(true),
            (_, None) if value.is_null() || value == &Value::Bool(false) => {}
            (_, None) => call.constants.push(json!({ name: value })),
        }
    }
    call.inputs.extend(inputs);
    call.inputs.extend(states);
}

/// All tensors of a value of Keras 3; none if it holds something else.
fn tensors(value: &Value) -> Option<Vec<Reference>> {
    match value {
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(tensors).collect::<Option<Vec<_>>>().map(|found| found.concat())
        }
        Value::Object(object)
            if object.get("class_name").is_some_and(|class| class == "__keras_tensor__") =>
        {
            let history = object.get("config")?.get("keras_history")?.as_array()?;
            reference(history).map(|reference| vec![reference])
        }
        Value::Object(object) if object.get("class_name").is_some_and(|class| class == "__tuple__") => {
            tensors(object.get("items")?)
        }
        // A layer that takes an object of tensors.
        Value::Object(object) if !object.is_empty() && !object.contains_key("class_name") => ends_of(object),
        _ => None,
    }
}

fn ends_of(object: &Map<String, Value>) -> Option<Vec<Reference>> {
    let mut keys: Vec<&String> = object.keys().collect();
    keys.sort();
    let found: Option<Vec<_>> = keys.into_iter().map(|key| tensors(object.get(key)?)).collect();
    found.map(|found| found.concat())
}

#[cfg(test)]
mod tests {
    use super::super::Version;
    use super::*;

    /// A layer called twice, whose calls the file numbers `first` and `second`.
    fn translate(first: usize, second: usize) -> Value {
        let dense = |name: &str| json!({ "class_name": "Dense", "config": { "name": name, "units": 1 } });
        let input = json!({ "class_name": "InputLayer", "name": "x", "inbound_nodes": [],
                            "config": { "name": "x", "batch_input_shape": [null, 1] } });
        let inner = json!({ "class_name": "Sequential", "name": "s",
                            "config": { "name": "s", "layers": [dense("d")] },
                            "inbound_nodes": [[["x", 0, 0, {}]], [["s", first, 0, {}]]] });
        let model = json!({ "name": "m", "layers": [input, inner], "input_layers": [["x", 0, 0]],
                            "output_layers": [["s", second, 0]] });
        let mut context = Context::new(&Version::parse("2.3.0").unwrap());
        context.graph("m", &model).unwrap().0
    }

    /// Keras 2 numbers the calls of a nested model from 1 if the model has an input of its own, and else from 0.
    #[test]
    fn calls_are_told_apart_by_the_order_of_their_numbers() {
        for (first, second) in [(0, 1), (1, 2)] {
            let model = translate(first, second);
            assert_eq!(model["layers"][1]["inbound_nodes"], json!([[["x", 0, 0]], [["s", 0, 0]]]));
            assert_eq!(model["output_layers"], json!([["s", 1, 0]]));
        }
    }

    /// Keras 3 counts the calls of a functional model within a model from 0 inside, and from 1 among the outputs.
    #[test]
    fn calls_among_the_outputs_may_count_from_one() {
        let tensor = |layer: &str, call: usize| json!({ "class_name": "__keras_tensor__", "config": { "keras_history": [layer, call, 0] } });
        let call = |on: Value| json!({ "args": [on], "kwargs": {} });
        let input = |name: &str| {
            json!({ "class_name": "InputLayer", "name": name, "inbound_nodes": [],
                    "config": { "name": name, "batch_shape": [null, 1] } })
        };
        let dense = json!({ "class_name": "Dense", "name": "d", "config": { "name": "d", "units": 1 },
                            "inbound_nodes": [call(tensor("y", 0))] });
        let inner = json!({ "class_name": "Functional", "name": "f", "config": { "name": "f",
                                "layers": [input("y"), dense], "input_layers": ["y", 0, 0], "output_layers": ["d", 0, 0] },
                            "inbound_nodes": [call(tensor("x", 0)), call(tensor("f", 0))] });
        let sum = json!({ "class_name": "Add", "name": "a", "config": { "name": "a" },
                          "inbound_nodes": [{ "args": [[tensor("f", 0), tensor("f", 1)]], "kwargs": {} }] });
        let model = json!({ "name": "m", "layers": [input("x"), inner, sum], "input_layers": ["x", 0, 0],
                            "output_layers": [["f", 1, 0], ["a", 0, 0]] });
        let mut context = Context::new(&Version::parse("3.15.1").unwrap());
        let model = context.graph("m", &model).unwrap().0;
        assert_eq!(model["layers"][1]["inbound_nodes"], json!([[["x", 0, 0]], [["f", 0, 0]]]));
        assert_eq!(model["output_layers"], json!([["f", 0, 0], ["a", 0, 0]]));
    }
}

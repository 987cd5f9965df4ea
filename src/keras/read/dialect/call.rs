//! Which tensors a layer is called with, as each version of Keras writes it.

use crate::{Error, Result};
use serde_json::{Map, Value};

/// A tensor: of which layer, of which of its calls, which of what the call gave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub layer: String,
    pub call: usize,
    pub tensor: usize,
}

/// A call of a layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    /// The tensors that the layer is given, its input first, then initial states.
    pub inputs: Vec<Reference>,
    /// How each of them is given: by its argument's name, or by the position of that (`#0`).
    pub names: Vec<String>,
    /// Whether it is given one tensor by position and nothing else: Keras 3 writes the mask of such a call into its graph.
    pub bare: bool,
    /// Masks that are given by hand, one for each input, or for the first alone.
    pub masks: Vec<Option<Reference>>,
    /// Masks given by hand to single inputs, with the inputs' places.
    pub single_masks: Vec<(usize, Reference)>,
    /// Whether the last input is a mask of the scores of attention.
    pub has_attention_mask: bool,
    /// Arguments that are no tensors.
    pub constants: Vec<Value>,
    /// Those of them that have names.
    pub named: Vec<(String, Value)>,
    /// Whether it is always called as in training.
    pub training: bool,
}

impl Call {
    /// An argument by its name, where it is no tensor.
    pub fn argument(&self, name: &str) -> Option<&Value> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// The inputs or outputs of a model: a list of references, a single one, or an object of them.
pub(super) fn ends(value: &Value) -> Option<Vec<Reference>> {
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
pub(super) fn reference(list: &[Value]) -> Option<Reference> {
    let [Value::String(layer), call, tensor, ..] = list else { return None };
    Some(Reference {
        layer: layer.clone(),
        call: usize::try_from(call.as_u64()?).ok()?,
        tensor: usize::try_from(tensor.as_u64()?).ok()?,
    })
}

/// The calls of a layer, in either of the two forms.
pub(super) fn calls(layer: &str, nodes: Option<&Value>) -> Result<Vec<Call>> {
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
            call.names.push("#0".into());
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
                Some(found) => {
                    call.names.extend(found.iter().map(|_| format!("#{position}")));
                    call.inputs.extend(found);
                }
                None if argument.is_null() || *argument == Value::Bool(false) && position > 0 => {}
                None => call.constants.push(argument.clone()),
            }
        }
    }
    if let Some(Value::Object(arguments)) = node.get("kwargs") {
        named(arguments, call, &tensors);
    }
    let count = |key: &str| match node.get(key) {
        Some(Value::Array(list)) => list.len(),
        Some(Value::Object(map)) => map.len(),
        _ => 0,
    };
    let is_tensor = |value: &Value| value.get("class_name").is_some_and(|class| class == "__keras_tensor__");
    call.bare = count("args") == 1
        && count("kwargs") == 0
        && node.get("args").and_then(|args| args.get(0)).is_some_and(is_tensor);
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
            ("mask", found) if found.is_some() || value.is_array() => {
                call.masks =
                    found.map_or_else(|| each(value, tensors), |found| found.into_iter().map(Some).collect());
            }
            ("inputs" | "sequences" | "sequence" | "x", Some(found)) if before => {
                inputs.extend(found.into_iter().map(|found| (name, found)));
            }
            (_, Some(found)) => states.extend(found.into_iter().map(|found| (name, found))),
            ("training", None) => call.training = value == &Value::Bool(true),
            (_, None) if value.is_null() || value == &Value::Bool(false) => {}
            (_, None) => call.named.push((name.clone(), value.clone())),
        }
    }
    for (name, input) in inputs.into_iter().chain(states) {
        call.names.push(name.clone());
        call.inputs.push(input);
    }
}

/// The masks of a list in which some may be `null`.
fn each(value: &Value, tensors: &dyn Fn(&Value) -> Option<Vec<Reference>>) -> Vec<Option<Reference>> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|value| tensors(value)?.into_iter().next()).collect()
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

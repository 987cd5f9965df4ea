//! The order in which Keras 3 lists the layers of a graph that it has read: that of a walk from the outputs
//! (`map_graph` of `keras/src/ops/function.py`), not that of the file. Weights go to layers by it.

use super::names::begins_mask;
use crate::{Error, Result};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// The layers of a graph in this crate's JSON, by their places in its list, as Keras lists them; the operations that
/// Keras computes masks with are left out. Layers that no output needs come last.
///
/// # Errors
/// Where a reference leads nowhere.
pub(super) fn of_layers(model: &Value) -> Result<Vec<usize>> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let layers = list(model.get("layers"));
    let name_of = |layer: &Value| layer.pointer("/config/name").and_then(Value::as_str).map(String::from);
    let names: HashMap<String, usize> =
        layers.iter().enumerate().filter_map(|(index, layer)| Some((name_of(layer)?, index))).collect();
    // The calls of all layers, numbered one after another; an InputLayer has one.
    let mut first = vec![0];
    for layer in &layers {
        first.push(first[first.len() - 1] + list(layer.get("inbound_nodes")).len().max(1));
    }
    let find = |reference: &Value| -> Result<usize> {
        let layer = reference.get(0).and_then(Value::as_str).and_then(|name| names.get(name));
        let call = reference.get(1).and_then(Value::as_u64).map(|call| call as usize);
        match (layer, call) {
            (Some(&layer), Some(call)) if call < first[layer + 1] - first[layer] => Ok(first[layer] + call),
            _ => Err(Error::argument("model config", format!("{reference} is no tensor of the model"))),
        }
    };
    let (mut parents, mut owner) = (vec![], vec![]);
    for (index, layer) in layers.iter().enumerate() {
        let calls = list(layer.get("inbound_nodes"));
        for call in calls.iter().filter_map(Value::as_array) {
            parents.push(call.iter().map(&find).collect::<Result<Vec<_>>>()?);
            owner.push(index);
        }
        if calls.is_empty() {
            parents.push(vec![]);
            owner.push(index);
        }
    }
    let outputs = list(model.get("output_layers")).iter().map(&find).collect::<Result<Vec<_>>>()?;
    let (walked, met) = walk(&parents, &owner, &outputs);
    let mut depths = vec![0_usize; layers.len()];
    let mut of_calls = vec![0_usize; parents.len()];
    for &call in walked.iter().rev() {
        let depth = of_calls[call].max(depths[owner[call]]);
        depths[owner[call]] = depth;
        of_calls[call] = depth;
        for &parent in &parents[call] {
            of_calls[parent] = of_calls[parent].max(depth + 1);
        }
    }
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by_key(|&layer| match met.get(&layer) {
        Some(&place) => (false, Reverse(depths[layer]), place),
        None => (true, Reverse(0), layer),
    });
    Ok(order)
}

/// The model with the layers of each graph in Keras's order. With masks it stays as it is: the operations that Keras
/// computes them with can change the order, and a file of Keras's has the right one.
///
/// # Errors
/// Where a reference leads nowhere.
pub(super) fn arranged(mut model: Value) -> Result<Value> {
    if !begins_mask(&model) {
        arrange(&mut model)?;
    }
    Ok(model)
}

fn arrange(value: &mut Value) -> Result<()> {
    if let Value::Array(list) = value {
        return list.iter_mut().try_for_each(arrange);
    }
    let Value::Object(object) = value else { return Ok(()) };
    object.values_mut().try_for_each(arrange)?;
    if value.get("output_layers").is_some_and(Value::is_array)
        && value.get("layers").is_some_and(Value::is_array)
    {
        let order = of_layers(value)?;
        if let Some(layers) = value.get_mut("layers").and_then(Value::as_array_mut) {
            let sorted = order.into_iter().map(|layer| std::mem::take(&mut layers[layer])).collect();
            *layers = sorted;
        }
    }
    Ok(())
}

/// The calls that the outputs need, each after those it takes from; and in which order the walk comes to the layers.
pub(super) fn walk(
    parents: &[Vec<usize>],
    owner: &[usize],
    outputs: &[usize],
) -> (Vec<usize>, HashMap<usize, usize>) {
    let (mut walked, mut met, mut seen) = (vec![], HashMap::new(), HashSet::new());
    let mut stack: Vec<(usize, usize)> = vec![];
    let mut enter = |call: usize, stack: &mut Vec<(usize, usize)>| {
        if seen.insert(call) {
            let place = met.len();
            met.entry(owner[call]).or_insert(place);
            stack.push((call, 0));
        }
    };
    for &output in outputs {
        enter(output, &mut stack);
        while let Some((call, next)) = stack.pop() {
            match parents[call].get(next) {
                Some(&parent) => {
                    stack.push((call, next + 1));
                    enter(parent, &mut stack);
                }
                None => walked.push(call),
            }
        }
    }
    (walked, met)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The longest way to the end goes first; of equals, the one that the walk from the output meets first.
    #[test]
    fn layers_are_listed_as_keras_lists_them() {
        let layer = |name: &str, calls: Value| json!({ "config": { "name": name }, "inbound_nodes": calls });
        let model = json!({ "layers": [
            layer("x", json!([])),
            layer("a", json!([[["x", 0, 0]]])),
            layer("b", json!([[["x", 0, 0]]])),
            layer("unused", json!([[["x", 0, 0]]])),
            layer("deep", json!([[["a", 0, 0]]])),
            layer("sum", json!([[["b", 0, 0], ["deep", 0, 0]]])),
        ], "output_layers": [["sum", 0, 0]] });
        assert_eq!(of_layers(&model).unwrap(), [0, 1, 2, 4, 5, 3]);
        let wrong = json!({ "layers": [layer("x", json!([[["y", 0, 0]]]))], "output_layers": [] });
        assert!(of_layers(&wrong).unwrap_err().to_string().contains("is no tensor"));
    }
}

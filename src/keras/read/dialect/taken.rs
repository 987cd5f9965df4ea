//! Masks that a MultiHeadAttention takes away.
//!
//! Keras 3 hangs a mask on its tensor. MultiHeadAttention takes the masks off the tensors that it is called on, and who
//! runs after it finds none there. Layers that are called on one tensor do not notice, for their masks stand in the graph;
//! but attention looks at the tensors, and so does what merges several. So it matters in which order Keras runs a graph:
//! `map_graph` of `keras/src/ops/function.py`, which is followed here.

use super::call::{Call, Reference};
use super::masks::{Entry, Masks};
use crate::keras::order;
use crate::layers::MaskRule;
use crate::{Error, Result};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// The calls of a graph as nodes.
pub(super) struct Nodes<'a> {
    entries: &'a [Entry<'a>],
    /// Where the calls of a layer are not numbered from 0: the numbers that they have.
    numbers: &'a HashMap<String, Vec<usize>>,
    /// Layers by name.
    layers: HashMap<&'a str, usize>,
    /// The first node of each layer, and at the end the number of all.
    first: Vec<usize>,
}

impl<'a> Nodes<'a> {
    pub fn new(entries: &'a [Entry<'a>], numbers: &'a HashMap<String, Vec<usize>>) -> Self {
        let mut first = vec![0];
        for entry in entries {
            first.push(first.last().copied().unwrap_or(0) + entry.calls.len().max(1));
        }
        let layers = entries.iter().enumerate().map(|(index, entry)| (entry.name.as_str(), index)).collect();
        Self { entries, numbers, layers, first }
    }

    /// The node that gives a tensor.
    fn of(&self, tensor: &Reference) -> Option<usize> {
        let layer = *self.layers.get(tensor.layer.as_str())?;
        let numbers = self.numbers.get(&tensor.layer);
        let call =
            numbers.and_then(|numbers| numbers.binary_search(&tensor.call).ok()).unwrap_or(tensor.call);
        let node = self.first[layer].checked_add(call)?;
        (node < self.first[layer + 1]).then_some(node)
    }

    /// A tensor that the call number `call` of a layer gives.
    fn output(&self, layer: usize, call: usize, tensor: usize) -> Reference {
        let name = &self.entries[layer].name;
        let number = self.numbers.get(name).and_then(|numbers| numbers.get(call)).copied().unwrap_or(call);
        Reference { layer: name.clone(), call: number, tensor }
    }

    /// The layer of a node, and which of its calls.
    fn layer(&self, node: usize) -> (usize, usize) {
        let layer = self.first.partition_point(|&first| first <= node).saturating_sub(1);
        (layer, node - self.first[layer])
    }

    /// The nodes that a node takes from, in Keras's order: what is given by position, then by name.
    fn parents(&self, node: usize) -> Vec<usize> {
        let (layer, call) = self.layer(node);
        let Some(call) = self.entries[layer].calls.get(call) else { return vec![] };
        let given = call.names.iter().map(String::as_str).zip(&call.inputs);
        let masks = call.masks.iter().flatten().map(|mask| ("mask", mask));
        let single = call.single_masks.iter().map(|(index, mask)| {
            (["query_mask", "value_mask"].get(*index).copied().unwrap_or("key_mask"), mask)
        });
        let mut all: Vec<_> = given.chain(masks).chain(single).collect();
        // A stable sort; `#` goes before letters.
        all.sort_by_key(|(name, _)| *name);
        all.into_iter().filter_map(|(_, tensor)| self.of(tensor)).collect()
    }

    /// The calls in the order in which Keras runs them.
    pub fn order(&self, outputs: &[Reference]) -> Vec<(usize, usize)> {
        let outputs: Vec<usize> = outputs.iter().filter_map(|output| self.of(output)).collect();
        // Depths by node, and the nodes in the order in which they got one.
        let mut depths: HashMap<usize, usize> = HashMap::new();
        let mut of_layers: HashMap<usize, usize> = HashMap::new();
        let mut met = vec![];
        let nodes = self.first.last().copied().unwrap_or(0);
        let parents: Vec<Vec<usize>> = (0..nodes).map(|node| self.parents(node)).collect();
        let owner: Vec<usize> = (0..nodes).map(|node| self.layer(node).0).collect();
        for node in order::walk(&parents, &owner, &outputs).0.into_iter().rev() {
            let layer = owner[node];
            let depth = *depths.entry(node).or_insert_with(|| {
                met.push(node);
                0
            });
            let depth = depth.max(of_layers.get(&layer).copied().unwrap_or(0));
            of_layers.insert(layer, depth);
            depths.insert(node, depth);
            for &parent in &parents[node] {
                let before = depths.entry(parent).or_insert_with(|| {
                    met.push(parent);
                    0
                });
                *before = (*before).max(depth + 1);
            }
        }
        met.sort_by_key(|node| std::cmp::Reverse(depths.get(node).copied().unwrap_or(0)));
        met.into_iter().map(|node| self.layer(node)).collect()
    }
}

/// What Keras finds on tensors as it runs, where that is not what the layers handed on.
#[derive(Default)]
struct Found {
    /// Tensors whose mask is gone.
    gone: HashSet<Reference>,
    /// Tensors whose mask is another one, or perhaps gone.
    unsure: HashSet<Reference>,
}

/// The inputs of each layer's calls whose masks it does not find. Layers that find all are left out.
pub(super) type Unmasked = HashMap<usize, Vec<usize>>;

/// Follows the masks through a run.
pub(super) fn unmasked(nodes: &Nodes<'_>, masks: &Masks<'_>, outputs: &[Reference]) -> Result<Unmasked> {
    let mut found = Found::default();
    let mut calls: HashMap<usize, Vec<Vec<usize>>> = HashMap::new();
    for (layer, number) in nodes.order(outputs) {
        let entry = &nodes.entries[layer];
        let (Some(rule), Some(call)) = (entry.rule, entry.calls.get(number)) else { continue };
        if call.inputs.is_empty() {
            continue;
        }
        let output = |tensor| nodes.output(layer, number, tensor);
        let missed = found.follow(entry, rule, call, masks, &output).map_err(|what| {
            let what = format!(
                "{what}: a MultiHeadAttention that runs before it takes masks away in Keras 3, which is not followed so far"
            );
            Error::layer(entry.name.as_str(), what)
        })?;
        calls.entry(layer).or_default().push(missed);
    }
    let mut unmasked = HashMap::new();
    for (layer, calls) in calls {
        let name = nodes.entries[layer].name.as_str();
        let first = calls.first().cloned().unwrap_or_default();
        if calls.iter().any(|missed| *missed != first) {
            let what = "finds its inputs' masks in one call and not in another, for a MultiHeadAttention takes them away in \
                        between; one layer cannot be so here";
            return Err(Error::layer(name, what));
        }
        if !first.is_empty() {
            unmasked.insert(layer, first);
        }
    }
    Ok(unmasked)
}

/// Layers that look at the masks of their one input.
fn reads_mask(class: &str) -> bool {
    let recurrent = matches!(class, "SimpleRNN" | "LSTM" | "GRU" | "RNN" | "ConvLSTM2D" | "Bidirectional");
    let others = ["TimeDistributed", "BatchNormalization", "GlobalAveragePooling1D", "Softmax"];
    recurrent || others.contains(&class)
}

impl Found {
    /// A call: which inputs' masks an attention layer does not find, and what becomes of the masks.
    fn follow(
        &mut self,
        entry: &Entry<'_>,
        rule: MaskRule,
        call: &Call,
        masks: &Masks<'_>,
        output: &dyn Fn(usize) -> Reference,
    ) -> std::result::Result<Vec<usize>, String> {
        let class = entry.value.get("class_name").and_then(Value::as_str).unwrap_or_default();
        let is_gone = |input: &Reference| masks.may_have(input) && self.gone.contains(input);
        let is_unsure = |input: &Reference| masks.may_have(input) && self.unsure.contains(input);
        let first_gone = call.inputs.first().is_some_and(is_gone);
        let any_gone = call.inputs.iter().any(is_gone);
        let any_unsure = call.inputs.iter().any(is_unsure);
        let by_hand = !call.masks.is_empty();
        let is_multi_head = class == "MultiHeadAttention";
        if is_multi_head
            || matches!(class, "Attention" | "AdditiveAttention")
            || super::attention::takes_roles(class)
        {
            let count = call.inputs.len() - usize::from(call.has_attention_mask);
            let is_given = |index: usize| {
                let single = call.single_masks.iter().any(|(single, _)| *single == index);
                by_hand || single && !(is_multi_head && index == 0)
            };
            let looked_at = call.inputs.iter().take(count).enumerate().filter(|(index, _)| !is_given(*index));
            let looked_at: Vec<(usize, &Reference)> = looked_at.collect();
            if looked_at.iter().any(|(_, input)| is_unsure(input)) {
                return Err("the masks of its inputs are not known".into());
            }
            let missed: Vec<usize> =
                looked_at.iter().filter(|(_, input)| is_gone(input)).map(|(index, _)| *index).collect();
            if missed.contains(&0) {
                self.gone.insert(output(0));
            }
            if is_multi_head {
                let taken = call.inputs.iter().take(count).filter(|input| masks.may_have(input));
                self.gone.extend(taken.cloned());
            }
            return Ok(missed);
        }
        match rule {
            MaskRule::Begins { .. } => {}
            MaskRule::Joins(_) if any_gone || any_unsure => {
                if any_unsure || matches!(class, "Multiply" | "Maximum" | "Minimum") {
                    return Err("the masks of its inputs are not all there".into());
                }
                self.gone.insert(output(0));
            }
            MaskRule::Concatenates { .. } if any_gone || any_unsure => {
                let with_mask = call.inputs.iter().filter(|input| masks.may_have(input));
                match with_mask.clone().all(is_gone) {
                    true => self.gone.insert(output(0)),
                    false => self.unsure.insert(output(0)),
                };
            }
            MaskRule::Joins(_) | MaskRule::Concatenates { .. } => {}
            MaskRule::Inside => {
                if (any_gone || any_unsure) && !by_hand && !call.bare {
                    return Err("the masks of its inputs are not all there".into());
                }
                // Called with a mask, a model hangs it on its input again.
                for input in &call.inputs {
                    self.gone.remove(input);
                    self.unsure.remove(input);
                }
                if entry.has_heads {
                    let inputs = call.inputs.iter().filter(|input| masks.may_have(input));
                    self.unsure.extend(inputs.cloned());
                }
            }
            MaskRule::Passes | MaskRule::PassesTo(_) | MaskRule::Drops => {
                let first_unsure = call.inputs.first().is_some_and(is_unsure);
                let reads = reads_mask(class) && call.inputs.len() == 1;
                // The mask stands in the graph.
                if by_hand || reads && call.bare || !first_gone && !first_unsure {
                    return Ok(vec![]);
                }
                if reads {
                    return Err("the mask of its input is not there".into());
                }
                if rule != MaskRule::Drops {
                    let to = if first_gone { &mut self.gone } else { &mut self.unsure };
                    to.insert(output(0));
                }
            }
        }
        Ok(vec![])
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Version};
    use serde_json::{Value, json};

    fn tensor(layer: &str) -> Value {
        json!({ "class_name": "__keras_tensor__", "config": { "keras_history": [layer, 0, 0] } })
    }

    fn layer(class: &str, name: &str, config: Value, args: Value) -> Value {
        let mut layer = json!({ "class_name": class, "module": "keras.layers", "name": name, "config": config,
                                "inbound_nodes": [{ "args": args, "kwargs": {} }] });
        layer["config"]["name"] = name.into();
        layer["config"]["trainable"] = true.into();
        layer
    }

    /// Masked words `p`, a MultiHeadAttention `first` of them, and `others`.
    fn translate(others: &[Value], outputs: Value) -> Result<Value, String> {
        let input = json!({ "class_name": "InputLayer", "name": "x", "inbound_nodes": [],
                            "config": { "name": "x", "batch_shape": [null, 4] } });
        let words = json!({ "input_dim": 5, "output_dim": 2, "mask_zero": true });
        let mut layers = vec![input, layer("Embedding", "p", words, json!([tensor("x")]))];
        layers.push(heads("first", "p"));
        layers.extend_from_slice(others);
        let model =
            json!({ "name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": outputs });
        let mut context = Context::new(&Version::parse("3.15.1").unwrap());
        context.has_masks = true;
        context.graph("m", &model).map(|(model, _)| model).map_err(|error| error.to_string())
    }

    fn heads(name: &str, on: &str) -> Value {
        let config = json!({ "num_heads": 1, "key_dim": 2 });
        layer("MultiHeadAttention", name, config, json!([tensor(on), tensor(on)]))
    }

    fn unmasked(model: &Value, name: &str) -> Value {
        let layers = model["layers"].as_array().unwrap();
        let layer = layers.iter().find(|layer| layer["config"]["name"] == name).unwrap();
        layer["config"]["unmasked"].clone()
    }

    /// The first to run takes the masks. Of two that are as far from the end it is the one of the first output.
    #[test]
    fn whoever_runs_later_finds_no_masks() {
        let both = |outputs| translate(&[heads("second", "p")], outputs).unwrap();
        let model = both(json!([["first", 0, 0], ["second", 0, 0]]));
        let other = both(json!([["second", 0, 0], ["first", 0, 0]]));
        assert_eq!((unmasked(&model, "first"), unmasked(&model, "second")), (json!([0, 1]), Value::Null));
        assert_eq!((unmasked(&other, "first"), unmasked(&other, "second")), (Value::Null, json!([0, 1])));
    }

    /// A sum that finds one of its masks gone has none, and neither has what follows; a layer on one tensor has its mask
    /// in the graph.
    #[test]
    fn what_follows_a_sum_finds_none() {
        let sum = layer("Add", "sum", json!({}), json!([[tensor("p"), tensor("first")]]));
        let after = [
            sum,
            heads("second", "sum"),
            layer("LSTM", "lstm", json!({ "units": 1 }), json!([tensor("sum")])),
        ];
        let model = translate(&after, json!([["second", 0, 0], ["lstm", 0, 0]])).unwrap();
        assert_eq!(unmasked(&model, "second"), json!([0, 1]));
        let product = layer("Multiply", "product", json!({}), json!([[tensor("p"), tensor("first")]]));
        let error = translate(&[product], json!([["product", 0, 0]])).unwrap_err();
        assert!(error.contains("product") && error.contains("takes masks away"), "{error}");
    }
}

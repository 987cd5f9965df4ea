//! Keras 3 writes down how masks are computed: operations such as `NotEqual` beside the layers, and calls with
//! `mask=…`. A model here computes its masks itself, so these operations are left out: but only where they compute the
//! very masks that the layers hand on.
//!
//! Both sides are followed as terms: what an operation makes of its inputs, and what a layer makes of the masks of its
//! inputs. Equal terms have equal numbers, so that comparing is cheap and a chain of operations cannot blow up.

use super::graph::{Call, Reference};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// How merging layers join masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// A step counts if it does in any input: Keras 3.4 and later.
    Any,
    /// A step counts if it does in every input that has a mask: Keras 1 and 2.
    All,
    /// Not at all: Keras 3.0 to 3.3.
    None,
}

impl Join {
    /// Its name in this crate's configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// What is known of a tensor's mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mask {
    Without,
    Term(usize),
    /// What comes out of a model within the model, or goes into one.
    Unknown,
}

/// The operations of a model that compute masks, and the masks that its tensors have.
pub(super) struct Masks<'a> {
    terms: Terms,
    /// The operations, with their terms.
    parts: HashMap<&'a str, usize>,
    masks: HashMap<Reference, Mask>,
}

/// A layer as the file has it: its name, itself, its calls.
type Entry<'a> = (String, &'a Value, Vec<Call>);

/// What Keras's own layers compute masks with.
const OPERATIONS: [&str; 15] = [
    "NotEqual",
    "Any",
    "All",
    "LogicalAnd",
    "LogicalOr",
    "Concatenate",
    "ExpandDims",
    "Cast",
    "OnesLike",
    "ZerosLike",
    "Reshape",
    "BroadcastTo",
    "Squeeze",
    "Flip",
    "Tile",
];

/// The layers that drop the mask of their input.
const DROPS: [&str; 9] = [
    "Conv",
    "Pool",
    "Flatten",
    "Reshape",
    "Permute",
    "RepeatVector",
    "ZeroPadding",
    "Cropping",
    "UpSampling",
];

/// Terms by number, each distinct one once.
#[derive(Default)]
struct Terms {
    numbers: HashMap<(String, Vec<usize>), usize>,
    list: Vec<(String, Vec<usize>)>,
}

impl Terms {
    fn term(&mut self, operation: impl Into<String>, inputs: Vec<usize>) -> usize {
        let term = (operation.into(), inputs);
        *self.numbers.entry(term).or_insert_with_key(|term| {
            self.list.push(term.clone());
            self.list.len() - 1
        })
    }

    fn tensor(&mut self, tensor: &Reference) -> usize {
        self.term(format!("tensor {} {} {}", tensor.call, tensor.tensor, tensor.layer), vec![])
    }

    /// Where `input` is not `value`.
    fn not_equal(&mut self, input: &Reference, value: f64) -> usize {
        let input = self.tensor(input);
        self.term(format!("NotEqual {value}"), vec![input])
    }

    /// The input of `term`, if that is `operation`.
    fn input_of(&self, operation: &str, term: usize) -> Option<usize> {
        let (name, inputs) = self.list.get(term)?;
        (name == operation).then(|| inputs.first().copied())?
    }

    /// What an operation computes.
    fn operation(&mut self, class: &str, inputs: Vec<usize>) -> usize {
        // A mask made as wide as the tensor it belongs to is written in one of two ways.
        let wide = match (class, inputs.as_slice()) {
            ("BroadcastTo", &[narrow]) => self.input_of("ExpandDims", narrow),
            ("LogicalOr", &[narrow, zeros]) if self.input_of("ZerosLike", zeros).is_some() => {
                self.input_of("ExpandDims", narrow)
            }
            _ => None,
        };
        match wide {
            Some(mask) => self.term("Wide", vec![mask]),
            None => self.term(class, inputs),
        }
    }

    /// What a merging layer makes of masks.
    fn merged(&mut self, masks: &[Mask], join: Join) -> Mask {
        let mut known = vec![];
        for mask in masks {
            match mask {
                Mask::Term(term) => known.push(*term),
                Mask::Unknown => return Mask::Unknown,
                Mask::Without if join == Join::Any => return Mask::Without,
                Mask::Without => {}
            }
        }
        match join {
            Join::None => Mask::Without,
            _ if known.is_empty() => Mask::Without,
            Join::Any => {
                let joined = known.into_iter().reduce(|a, b| self.term("LogicalOr", vec![a, b]));
                joined.map_or(Mask::Without, Mask::Term)
            }
            Join::All => {
                let rows = known.into_iter().map(|mask| self.term("ExpandDims", vec![mask])).collect();
                let rows = self.term("Concatenate", rows);
                Mask::Term(self.term("All", vec![rows]))
            }
        }
    }

    /// What a Concatenate makes of the masks of `inputs`.
    fn concatenated(&mut self, inputs: &[Reference], masks: &[Mask], join: Join) -> Mask {
        if masks.contains(&Mask::Unknown) {
            return Mask::Unknown;
        }
        let (wide, joined) = match join {
            _ if masks.iter().all(|mask| *mask == Mask::Without) => return Mask::Without,
            Join::None => return Mask::Without,
            Join::Any => ("Wide", "Any"),
            Join::All => ("ExpandDims", "All"),
        };
        let mut rows = vec![];
        for (input, mask) in inputs.iter().zip(masks) {
            rows.push(match mask {
                Mask::Term(term) => self.term(wide, vec![*term]),
                _ => {
                    let input = self.tensor(input);
                    self.term("OnesLike", vec![input])
                }
            });
        }
        let rows = self.term("Concatenate", rows);
        Mask::Term(self.term(joined, vec![rows]))
    }
}

/// The class of a layer.
fn class_of(value: &Value) -> &str {
    value.get("class_name").and_then(Value::as_str).unwrap_or_default()
}

/// An operation is no layer: its configuration holds nothing but its name and its own arguments.
fn is_operation(value: &Value) -> bool {
    OPERATIONS.contains(&class_of(value)) && value.pointer("/config/trainable").is_none()
}

/// The value that a layer masks, if it begins a mask.
fn masked(value: &Value) -> Option<f64> {
    let config = value.get("config").unwrap_or(&Value::Null);
    match class_of(value) {
        "Embedding" if config.get("mask_zero") == Some(&Value::Bool(true)) => Some(0.0),
        "Masking" => Some(config.get("mask_value").and_then(Value::as_f64).unwrap_or(0.0)),
        _ => None,
    }
}

impl<'a> Masks<'a> {
    /// Follows the masks through `layers`. Into a model that is `nested` in another one, masks may come with the inputs.
    pub fn find(layers: &'a [Entry<'a>], join: Join, nested: bool) -> Self {
        let mut found = Self { terms: Terms::default(), parts: HashMap::new(), masks: HashMap::new() };
        // The inputs of layers that begin a mask, with the value that they mask.
        let begun = |(_, value, calls): &'a Entry<'a>| {
            let value = masked(value)?;
            Some(calls.iter().filter_map(move |call| Some((call.inputs.first()?, value.to_bits()))))
        };
        let begins: HashSet<(&Reference, u64)> = layers.iter().filter_map(begun).flatten().collect();
        // In the order of the file a layer mostly stands after its inputs, but nothing says so.
        loop {
            let before = found.parts.len() + found.masks.len();
            for entry in layers {
                match is_operation(entry.1) {
                    true => found.follow_operation(entry, &begins),
                    false => found.follow_layer(entry, join, nested),
                }
            }
            if found.parts.len() + found.masks.len() == before {
                break;
            }
        }
        // What is used as anything but a mask is an operation like any other.
        let others = layers.iter().filter(|(name, _, _)| !found.parts.contains_key(name.as_str()));
        let inputs = others.flat_map(|(_, _, calls)| calls).flat_map(|call| &call.inputs);
        let used: HashSet<&str> = inputs.map(|input| input.layer.as_str()).collect();
        found.parts.retain(|part, _| !used.contains(part));
        found
    }

    fn follow_operation(&mut self, (name, value, calls): &'a Entry<'a>, begins: &HashSet<(&Reference, u64)>) {
        let [call] = calls.as_slice() else { return };
        let class = class_of(value);
        let term = match (class, call.inputs.as_slice()) {
            ("NotEqual", [input]) => {
                let value = call.constants.iter().find_map(constant);
                let value = value.filter(|value| begins.contains(&(input, value.to_bits())));
                value.map(|value| self.terms.not_equal(input, value))
            }
            ("ZerosLike" | "OnesLike", [input]) => {
                let input = self.terms.tensor(input);
                Some(self.terms.term(class, vec![input]))
            }
            (_, []) => None,
            (_, inputs) => {
                let parts = inputs.iter().map(|input| self.parts.get(input.layer.as_str()).copied());
                let parts: Option<Vec<usize>> = parts.collect();
                parts.map(|parts| self.terms.operation(class, parts))
            }
        };
        if let Some(term) = term {
            self.parts.insert(name, term);
        }
    }

    /// The masks that a layer hands on, where those of its inputs are known.
    fn follow_layer(&mut self, (name, value, calls): &'a Entry<'a>, join: Join, nested: bool) {
        let class = class_of(value);
        let tensor = |call: usize| Reference { layer: name.clone(), call, tensor: 0 };
        if calls.is_empty() {
            let mask = if nested || class != "InputLayer" { Mask::Unknown } else { Mask::Without };
            self.masks.insert(tensor(0), mask);
        }
        for (index, call) in calls.iter().enumerate() {
            let Some(masks) = call.inputs.iter().map(|input| self.of(input)).collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            let first = masks.first().copied().unwrap_or(Mask::Unknown);
            let sequences = |config: &str| value.pointer(&format!("{config}/return_sequences"));
            let mask = match (class, call.inputs.first()) {
                ("Embedding", Some(input)) if masked(value).is_some() => {
                    Mask::Term(self.terms.not_equal(input, 0.0))
                }
                ("Embedding" | "Dot", _) => Mask::Without,
                ("Masking", Some(input)) => {
                    let steps = self.terms.not_equal(input, masked(value).unwrap_or_default());
                    Mask::Term(self.terms.term("Any", vec![steps]))
                }
                ("Concatenate", _) => self.terms.concatenated(&call.inputs, &masks, join),
                ("Add" | "Subtract" | "Multiply" | "Average" | "Maximum" | "Minimum", _) => {
                    self.terms.merged(&masks, join)
                }
                ("Merge" | "Sequential" | "Functional" | "Model", _) => Mask::Unknown,
                ("SimpleRNN" | "LSTM" | "GRU" | "RNN" | "ConvLSTM2D" | "CuDNNLSTM" | "CuDNNGRU", _) => {
                    if sequences("/config") == Some(&Value::Bool(true)) {
                        first
                    } else {
                        Mask::Without
                    }
                }
                ("Bidirectional", _) => {
                    let mask = match sequences("/config/layer/config") {
                        Some(Value::Bool(true)) => first,
                        _ => Mask::Without,
                    };
                    if value.pointer("/config/merge_mode").is_some_and(Value::is_null) {
                        self.masks.insert(Reference { tensor: 1, ..tensor(index) }, mask);
                    }
                    mask
                }
                _ if DROPS.iter().any(|part| class.contains(part)) => Mask::Without,
                _ => first,
            };
            self.masks.insert(tensor(index), mask);
        }
    }

    /// The mask of a tensor, once it is known.
    fn of(&self, tensor: &Reference) -> Option<Mask> {
        if self.parts.contains_key(tensor.layer.as_str()) {
            return Some(Mask::Without);
        }
        self.masks.get(tensor).copied().or_else(|| {
            // Final states have none.
            match self.masks.get(&Reference { tensor: 0, ..tensor.clone() })? {
                Mask::Unknown => Some(Mask::Unknown),
                _ => Some(Mask::Without),
            }
        })
    }

    /// Whether `layer` is an operation that computes masks and nothing else.
    pub fn is_part(&self, layer: &str) -> bool {
        self.parts.contains_key(layer)
    }

    /// Whether the mask that a call is given by hand is the one that its input brings anyway.
    pub fn is_handed_on(&self, call: &Call) -> bool {
        let Some(mask) = &call.mask else { return true };
        let Some(term) = self.parts.get(mask.layer.as_str()) else { return false };
        let own = call.inputs.first().and_then(|input| self.of(input)).unwrap_or(Mask::Unknown);
        own == Mask::Unknown || own == Mask::Term(*term)
    }

    /// Whether it is known that no mask comes with a call's input, though there are masks in the model.
    pub fn pass_by(&self, call: &Call) -> bool {
        self.masks.values().any(|mask| matches!(mask, Mask::Term(_)))
            && call.inputs.first().and_then(|input| self.of(input)) == Some(Mask::Without)
    }

    /// Whether it matters that a layer of this class joins the masks of a call's inputs by `join` and not by the newest
    /// rule.
    pub fn depends_on_rule(&self, class: &str, call: &Call, join: Join) -> bool {
        let mut masks = call.inputs.iter().map(|input| self.of(input).unwrap_or(Mask::Unknown));
        let first = masks.next().unwrap_or(Mask::Without);
        let same = first != Mask::Unknown && masks.all(|mask| mask == first);
        // By the newer rule the numbers of these are others too where a step is masked.
        let masks_values = matches!(class, "Multiply" | "Maximum" | "Minimum");
        !(same && (first == Mask::Without || join == Join::All && !masks_values))
    }
}

/// A constant argument as a number.
fn constant(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_object()?.values().find_map(Value::as_f64))
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Version};
    use serde_json::{Value, json};

    fn tensor(layer: &str) -> Value {
        json!({ "class_name": "__keras_tensor__", "config": { "keras_history": [layer, 0, 0] } })
    }

    fn layer(class: &str, name: &str, config: Value, args: Value, kwargs: Value) -> Value {
        let mut layer = json!({ "class_name": class, "name": name, "config": config,
                                "inbound_nodes": [{ "args": args, "kwargs": kwargs }] });
        layer["config"]["name"] = name.into();
        layer["config"]["trainable"] = true.into();
        layer
    }

    fn operation(class: &str, name: &str, args: Value) -> Value {
        let mut operation = layer(class, name, json!({}), args, json!({}));
        operation["module"] = "keras.src.ops.numpy".into();
        operation["config"] = json!({ "name": name });
        operation
    }

    /// Two masked sequences, added, into an LSTM that is given `mask`, which `operations` make of `p` and `q`.
    fn added(operations: &[Value], mask: &str) -> Result<Value, String> {
        let input = |name: &str| {
            let config = json!({ "name": name, "batch_shape": [null, 4] });
            json!({ "class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": [] })
        };
        let words = |name: &str, ids: &str| {
            let config = json!({ "input_dim": 5, "output_dim": 2, "mask_zero": true });
            layer("Embedding", name, config, json!([tensor(ids)]), json!({}))
        };
        let mut layers = vec![input("a"), input("b"), words("p", "a"), words("q", "b")];
        layers.push(operation("NotEqual", "not_p", json!([tensor("a"), 0])));
        layers.push(operation("NotEqual", "not_q", json!([tensor("b"), 0])));
        layers.extend_from_slice(operations);
        layers.push(layer("Add", "sum", json!({}), json!([[tensor("p"), tensor("q")]]), json!({})));
        let kwargs = json!({ "mask": tensor(mask) });
        layers.push(layer("LSTM", "lstm", json!({ "units": 2 }), json!([tensor("sum")]), kwargs));
        let model = json!({ "name": "m", "layers": layers, "input_layers": [["a", 0, 0], ["b", 0, 0]],
                            "output_layers": [["lstm", 0, 0]] });
        let mut context = Context::new(&Version::parse("3.15.1").unwrap());
        context.graph("m", &model).map(|(model, _)| model).map_err(|error| error.to_string())
    }

    #[test]
    fn the_masks_of_the_layers_are_left_out_and_others_are_refused() {
        let of_both = |class: &str| operation(class, "joined", json!([tensor("not_p"), tensor("not_q")]));
        let model = added(&[of_both("LogicalOr")], "joined").unwrap();
        assert_eq!(model["layers"].as_array().unwrap().len(), 6);
        // A mask of other numbers than the sum brings.
        for (operations, mask) in [(vec![of_both("LogicalAnd")], "joined"), (vec![], "not_p")] {
            let error = added(&operations, mask).unwrap_err();
            assert!(error.contains("lstm") && error.contains("a mask of its own"), "{error}");
        }
    }

    /// An operation that masks are computed with is refused like any other where it is not a mask.
    #[test]
    fn an_operation_that_is_used_for_its_numbers_is_refused() {
        let zeros = operation("ZerosLike", "zeros", json!([tensor("p")]));
        let dense = layer("Dense", "dense", json!({ "units": 1 }), json!([tensor("zeros")]), json!({}));
        let error = added(&[zeros, dense], "not_p").unwrap_err();
        assert!(error.contains("`ZerosLike`, an operation"), "{error}");
    }

    /// A chain in which every link takes the one before twice would have more parts than memory.
    #[test]
    fn terms_do_not_grow() {
        let mut operations = vec![];
        let mut last = "not_p".to_string();
        for link in 0..200 {
            let name = format!("or_{link}");
            operations.push(operation("LogicalOr", &name, json!([tensor(&last), tensor(&last)])));
            last = name;
        }
        assert!(added(&operations, &last).unwrap_err().contains("a mask of its own"));
    }
}

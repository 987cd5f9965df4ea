//! Keras 3 writes down how masks are computed: operations such as `NotEqual` beside the layers, and calls with
//! `mask=…`. A model here computes its masks itself, so these operations are left out: but only where they compute the
//! very masks that the layers hand on.
//!
//! Both sides are followed as terms: what an operation makes of its inputs, and what a layer makes of the masks of its
//! inputs. Equal terms have equal numbers, so that comparing is cheap and a chain of operations cannot blow up.

use super::call::{Call, Reference};
use crate::keras::order;
use crate::layers::{MaskJoin, MaskRule, non_finite};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

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
    /// The operations that compute masks, with their terms.
    parts: HashMap<&'a str, usize>,
    /// Those of them that compute masks and nothing else.
    left_out: HashSet<&'a str>,
    /// All operations.
    operations: HashSet<&'a str>,
    masks: HashMap<Reference, Mask>,
}

/// A layer as the file has it, and what it makes of masks; nothing where it is an operation.
pub(super) struct Entry<'a> {
    /// Its name.
    pub name: String,
    /// The layer.
    pub value: &'a Value,
    pub calls: Vec<Call>,
    pub rule: Option<MaskRule>,
    /// Whether a mask begins in it.
    pub begins_mask: bool,
    /// Whether it is a MultiHeadAttention, or holds one.
    pub has_heads: bool,
}

/// What Keras's own layers compute masks with.
const OPERATIONS: [&str; 16] = [
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
    "ConvertToTensor",
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
        if let ("ConvertToTensor", &[mask]) = (class, inputs.as_slice()) {
            return mask;
        }
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
    fn merged(&mut self, masks: &[Mask], join: MaskJoin) -> Mask {
        let mut known = vec![];
        for mask in masks {
            match mask {
                Mask::Term(term) => known.push(*term),
                Mask::Unknown => return Mask::Unknown,
                Mask::Without if join == MaskJoin::Any => return Mask::Without,
                Mask::Without => {}
            }
        }
        match join {
            MaskJoin::None => Mask::Without,
            _ if known.is_empty() => Mask::Without,
            MaskJoin::Any => {
                let joined = known.into_iter().reduce(|a, b| self.term("LogicalOr", vec![a, b]));
                joined.map_or(Mask::Without, Mask::Term)
            }
            MaskJoin::All => {
                let rows = known.into_iter().map(|mask| self.term("ExpandDims", vec![mask])).collect();
                let rows = self.term("Concatenate", rows);
                Mask::Term(self.term("All", vec![rows]))
            }
        }
    }

    /// What a Concatenate makes of the masks of `inputs`.
    fn concatenated(&mut self, inputs: &[Reference], masks: &[Mask], join: MaskJoin) -> Mask {
        if masks.contains(&Mask::Unknown) {
            return Mask::Unknown;
        }
        let (wide, joined) = match join {
            _ if masks.iter().all(|mask| *mask == Mask::Without) => return Mask::Without,
            MaskJoin::None => return Mask::Without,
            MaskJoin::Any => ("Wide", "Any"),
            MaskJoin::All => ("ExpandDims", "All"),
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
pub(super) fn is_operation(value: &Value) -> bool {
    let is_layer =
        value.get("module").and_then(Value::as_str).is_some_and(|module| module.contains("layers"));
    OPERATIONS.contains(&class_of(value)) && !is_layer && value.pointer("/config/trainable").is_none()
}

/// The calls of all layers, each after those that it takes from, as far as there is such an order. Of a layer that is not
/// called there is none to name.
fn in_order<'a>(layers: &'a [Entry<'a>]) -> Vec<(&'a Entry<'a>, Option<usize>)> {
    let numbers = |entry: &Entry| match entry.calls.len() {
        0 => vec![None],
        count => (0..count).map(Some).collect(),
    };
    let calls: Vec<(&Entry, Option<usize>)> =
        layers.iter().flat_map(|entry| numbers(entry).into_iter().map(move |call| (entry, call))).collect();
    let places = calls.iter().enumerate();
    let at: HashMap<(&str, usize), usize> =
        places.map(|(at, (entry, call))| ((entry.name.as_str(), call.unwrap_or(0)), at)).collect();
    let find = |input: &Reference| {
        let layer = input.layer.as_str();
        at.get(&(layer, input.call)).or_else(|| at.get(&(layer, 0))).copied()
    };
    let inputs = |(entry, call): &(&'a Entry<'a>, Option<usize>)| {
        let call = call.and_then(|call| entry.calls.get(call));
        call.into_iter().flat_map(|call| &call.inputs).filter_map(find).collect()
    };
    let parents: Vec<Vec<usize>> = calls.iter().map(inputs).collect();
    let all: Vec<usize> = (0..calls.len()).collect();
    order::walk(&parents, &all, &all).0.into_iter().map(|at| calls[at]).collect()
}

impl<'a> Masks<'a> {
    /// Follows the masks through `layers`. Into a model that is `nested` in another one, masks may come with the inputs.
    /// What is among the model's `outputs` is there for its numbers.
    pub fn find(layers: &'a [Entry<'a>], outputs: &[Reference], join: MaskJoin, nested: bool) -> Self {
        let operations = layers.iter().filter(|entry| entry.rule.is_none());
        let mut found = Self {
            terms: Terms::default(),
            parts: HashMap::new(),
            left_out: HashSet::new(),
            operations: operations.map(|entry| entry.name.as_str()).collect(),
            masks: HashMap::new(),
        };
        // The inputs of layers that begin a mask, with the value that they mask.
        let begun = |entry: &'a Entry<'a>| match entry.rule {
            Some(MaskRule::Begins { value, .. }) => {
                let inputs = entry.calls.iter().filter_map(|call| call.inputs.first());
                Some(inputs.map(move |input| (input, value.to_bits())))
            }
            _ => None,
        };
        let begins: HashSet<(&Reference, u64)> = layers.iter().filter_map(begun).flatten().collect();
        // Once through is enough where calls do not feed each other in a circle.
        let order = in_order(layers);
        loop {
            let before = found.parts.len() + found.masks.len();
            for &(entry, call) in &order {
                match entry.rule {
                    None => found.follow_operation(entry, &begins),
                    Some(rule) => found.follow_layer(entry, call, rule, join, nested),
                }
            }
            if found.parts.len() + found.masks.len() == before {
                break;
            }
        }
        // What is used as anything but a mask is an operation like any other.
        let shown: HashSet<&str> = outputs.iter().map(|output| output.layer.as_str()).collect();
        found.left_out = found.parts.keys().filter(|part| !shown.contains(*part)).copied().collect();
        let mut by_name: HashMap<&str, Vec<&Entry>> = HashMap::new();
        layers.iter().for_each(|entry| by_name.entry(&entry.name).or_default().push(entry));
        let mut used: Vec<&Entry> =
            layers.iter().filter(|entry| !found.left_out.contains(entry.name.as_str())).collect();
        while let Some(entry) = used.pop() {
            for input in entry.calls.iter().flat_map(|call| &call.inputs) {
                if found.left_out.remove(input.layer.as_str()) {
                    used.extend(by_name.get(input.layer.as_str()).into_iter().flatten());
                }
            }
        }
        found
    }

    fn follow_operation(&mut self, entry: &'a Entry<'a>, begins: &HashSet<(&Reference, u64)>) {
        let Entry { name, value, calls, .. } = entry;
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

    /// The masks that a call of a layer hands on, where those of its inputs are known; `call` is none of a layer that is not
    /// called.
    fn follow_layer(
        &mut self,
        entry: &'a Entry<'a>,
        call: Option<usize>,
        rule: MaskRule,
        join: MaskJoin,
        nested: bool,
    ) {
        let Entry { name, value, calls, .. } = entry;
        let tensor = |call: usize, tensor: usize| Reference { layer: name.clone(), call, tensor };
        let Some((index, call)) = call.and_then(|index| Some((index, calls.get(index)?))) else {
            let mask = if nested || class_of(value) != "InputLayer" { Mask::Unknown } else { Mask::Without };
            self.masks.insert(tensor(0, 0), mask);
            return;
        };
        let Some(masks) = call.inputs.iter().map(|input| self.of(input)).collect::<Option<Vec<_>>>() else {
            return;
        };
        let first = masks.first().copied().unwrap_or(Mask::Unknown);
        let mut outputs = 1;
        let mask = match (rule, call.inputs.first()) {
            (MaskRule::Passes, _) => first,
            (MaskRule::PassesTo(count), _) => {
                outputs = count;
                first
            }
            (MaskRule::Drops, _) => Mask::Without,
            (MaskRule::Begins { value, features }, Some(input)) => {
                let steps = self.terms.not_equal(input, value);
                Mask::Term(if features { self.terms.term("Any", vec![steps]) } else { steps })
            }
            (MaskRule::Joins(_), _) => self.terms.merged(&masks, join),
            (MaskRule::Concatenates { .. }, _) => self.terms.concatenated(&call.inputs, &masks, join),
            // Nothing goes in, and nothing begins within.
            (MaskRule::Inside, _)
                if masks.iter().all(|mask| *mask == Mask::Without) && !entry.begins_mask =>
            {
                Mask::Without
            }
            (MaskRule::Inside | MaskRule::Begins { .. }, _) => Mask::Unknown,
        };
        for output in 0..outputs {
            self.masks.insert(tensor(index, output), mask);
        }
    }

    /// The mask of a tensor, once it is known.
    fn of(&self, tensor: &Reference) -> Option<Mask> {
        if self.operations.contains(tensor.layer.as_str()) {
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

    /// Whether a mask may come with a tensor.
    pub fn may_have(&self, tensor: &Reference) -> bool {
        self.of(tensor) != Some(Mask::Without)
    }

    /// Whether `layer` is an operation that computes masks and nothing else.
    pub fn is_part(&self, layer: &str) -> bool {
        self.left_out.contains(layer)
    }

    /// The first mask that a call is given by hand and that its inputs do not bring anyway: the layer that makes it.
    pub fn by_hand<'c>(&self, call: &'c Call) -> Option<&'c str> {
        let differs = |(index, mask): &(usize, &'c Option<Reference>)| {
            let own = call.inputs.get(*index).and_then(|input| self.of(input)).unwrap_or(Mask::Unknown);
            match mask {
                // What a model within hands on, Keras does not see as it writes the graph.
                _ if own == Mask::Unknown => mask.is_some(),
                None => own != Mask::Without,
                Some(mask) => self.parts.get(mask.layer.as_str()).is_none_or(|term| own != Mask::Term(*term)),
            }
        };
        if let Some((_, mask)) = call.masks.iter().enumerate().find(differs) {
            return Some(mask.as_ref().map_or("nothing", |mask| mask.layer.as_str()));
        }
        let own = |index: usize| call.inputs.get(index).and_then(|input| self.of(input));
        let differs = |(index, mask): &&(usize, Reference)| match self.parts.get(mask.layer.as_str()) {
            Some(term) => {
                !matches!(own(*index), Some(Mask::Unknown)) && own(*index) != Some(Mask::Term(*term))
            }
            None => true,
        };
        call.single_masks.iter().find(differs).map(|(_, mask)| mask.layer.as_str())
    }

    /// Whether it is known that no mask comes with a call's input, though there are masks in the model.
    pub fn pass_by(&self, call: &Call) -> bool {
        self.masks.values().any(|mask| matches!(mask, Mask::Term(_)))
            && call.inputs.first().and_then(|input| self.of(input)) == Some(Mask::Without)
    }

    /// Whether it matters that a layer of this class joins the masks of a call's inputs by `join` and not by the newest
    /// rule.
    pub fn depends_on_rule(&self, class: &str, call: &Call, join: MaskJoin) -> bool {
        let mut masks = call.inputs.iter().map(|input| self.of(input).unwrap_or(Mask::Unknown));
        let first = masks.next().unwrap_or(Mask::Without);
        let same = first != Mask::Unknown && masks.all(|mask| mask == first);
        // By the newer rule the numbers of these are others too where a step is masked.
        let masks_values = matches!(class, "Multiply" | "Maximum" | "Minimum");
        !(same && (first == Mask::Without || join == MaskJoin::All && !masks_values))
    }
}

/// A constant argument as a number.
fn constant(value: &Value) -> Option<f64> {
    let number = |value: &Value| value.as_f64().or_else(|| non_finite(value.as_str()?));
    number(value).or_else(|| value.as_object()?.values().find_map(number))
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

    /// What masks are computed with is an operation like any other where it is not a mask, and all that it is made of.
    #[test]
    fn an_operation_that_is_used_for_its_numbers_stays() {
        let zeros = operation("ZerosLike", "zeros", json!([tensor("p")]));
        let cast = operation("Cast", "cast", json!([tensor("not_p")]));
        let product = operation("Multiply", "product", json!([tensor("zeros"), tensor("cast")]));
        let either = operation("LogicalOr", "joined", json!([tensor("not_p"), tensor("not_q")]));
        let model = added(&[zeros, cast, product, either], "joined").unwrap();
        let layers = model["layers"].as_array().unwrap();
        let op = |name: &str| {
            let layer = layers.iter().find(|layer| layer["config"]["name"] == name);
            layer.and_then(|layer| layer["config"]["op"].as_str())
        };
        assert_eq!(
            ["zeros", "cast", "not_p", "joined"].map(op),
            [Some("ZerosLike"), Some("Cast"), Some("NotEqual"), None]
        );
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

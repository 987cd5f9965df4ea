//! Functional models: which layer is called with which tensors.

use super::call::{Call, Reference, calls, ends};
use super::masks::{Entry, Masks, is_operation};
use super::{Context, Layer, LayerNames, Source, attention, canonical, ids, operations, taken};
use crate::keras::names::{GroupNames, begins_mask, call_arguments, is_model, layer_of};
use crate::keras::order;
use crate::layers::{MaskJoin, MaskRule};
use crate::model::{IS_INPUT, left_out, no_such_layer};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};

impl Context {
    pub fn graph(&mut self, name: &str, config: &Value) -> Result<(Value, Vec<Source>)> {
        let list = config.get("layers").and_then(Value::as_array);
        let list = list.ok_or_else(|| Error::layer(name, "a functional model without a list of layers"))?;
        let (mut found, mut failures) = (Vec::with_capacity(list.len()), HashMap::new());
        for (index, value) in list.iter().enumerate() {
            let text = |value: Option<&Value>| value.and_then(Value::as_str).map(String::from);
            let layer = text(value.get("name")).or_else(|| text(value.pointer("/config/name")));
            let layer = layer.ok_or_else(|| Error::layer(name, "holds a layer without a name"))?;
            let calls = match operations::is(value) && !is_operation(value) {
                true => self.operation(value, &layer).map(|(_, calls)| calls),
                false => self.calls(&layer, value),
            };
            let calls = calls.unwrap_or_else(|error| {
                failures.insert(index, error);
                vec![]
            });
            let (begins_mask, has_heads) = (begins_mask(value), has_heads(value));
            found.push(Entry { name: layer, value, calls, rule: None, begins_mask, has_heads });
        }
        let mut numbers = numbers(config, &found);
        let until = self.until();
        let kept = match &until {
            Some(until) => Some(self.keep(name, until, config, &mut found, &mut numbers)?),
            None => None,
        };
        let is_kept = |index: usize| kept.as_ref().is_none_or(|kept| kept.contains(&index));
        let (mut entries, mut translated) = (Vec::with_capacity(list.len()), Vec::with_capacity(list.len()));
        for (index, entry) in found.into_iter().enumerate() {
            if let Some(error) = failures.remove(&index).filter(|_| is_kept(index)) {
                return Err(error);
            }
            let canonical = match is_kept(index) && !is_operation(entry.value) {
                true if operations::is(entry.value) => Some(self.operation(entry.value, &entry.name)?.0),
                true => Some(self.layer(entry.value, &entry.name)?),
                false => None,
            };
            let rule = canonical.as_ref().map(mask_rule);
            entries.push(Entry { rule, ..entry });
            translated.push(canonical);
        }
        let join = self.mask_join;
        let outputs = match &until {
            Some(until) => self.outputs_of(&entries, until, &numbers),
            None => config.get("output_layers").and_then(ends).unwrap_or_default(),
        };
        let masks = Masks::find(&entries, &outputs, join, self.depth > 0);
        let from_one = match self.major >= 3 && !self.own {
            true => ends_from_one(config, &entries),
            false => HashSet::new(),
        };

        // Before Keras 3.8 MultiHeadAttention left the masks where they were.
        let takes = self.major >= 3 && !self.own && self.minor.is_none_or(|minor| minor >= 8);
        let unmasked = match self.has_masks && takes && entries.iter().any(takes_masks) {
            true => {
                let mut outputs = outputs;
                for output in outputs.iter_mut().filter(|output| from_one.contains(&output.layer)) {
                    output.call = output.call.saturating_sub(1);
                }
                taken::unmasked(&taken::Nodes::new(&entries, &numbers), &masks, &outputs)?
            }
            false => HashMap::new(),
        };

        // Groups are numbered over all layers, those that are left out too: in the order of a file of Keras's, or the one
        // that Keras makes of this crate's.
        let order = match self.own && !self.has_masks {
            true => order::of_layers(config)?,
            false => (0..entries.len()).collect(),
        };
        let (mut listed, mut groups) = (vec![String::new(); entries.len()], GroupNames::default());
        for index in order {
            let Entry { name, value, .. } = &entries[index];
            if !masks.is_part(name) {
                let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
                listed[index] = format!("layers/{}", groups.next(class));
            }
        }
        let mut names = LayerNames::default();
        let (mut roles, mut tails): (HashMap<&str, String>, HashMap<&str, String>) = Default::default();
        let (mut placed, mut sources) = (vec![], vec![]);
        for (index, (entry, canonical)) in entries.iter().zip(translated).enumerate() {
            let Entry { name: layer, value, calls, rule, .. } = entry;
            if masks.is_part(layer) {
                continue;
            }
            let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
            let group = std::mem::take(&mut listed[index]);
            if !is_kept(index) {
                continue;
            }
            // An operation that computes no mask is there for its numbers.
            let canonical = match canonical {
                Some(canonical) => canonical,
                None if operations::is(value) => self.operation(value, layer)?.0,
                None => self.layer(value, layer)?,
            };
            let Layer { class: canonical_class, mut config, source, tail } = canonical;
            self.take_call_arguments(layer, canonical_class, &mut config, calls)?;
            // The constants of an operation are among its arguments.
            let is_operation = operations::is(value);
            for call in calls.iter().filter(|_| !is_operation) {
                self.check_call(layer, canonical_class, &config, call, &masks)?;
            }
            if let Some(unmasked) = unmasked.get(&index) {
                config["unmasked"] = json!(unmasked);
            }
            let by_rule = |call: &Call| masks.depends_on_rule(canonical_class, call, join);
            let joins = matches!(rule, Some(MaskRule::Joins(_) | MaskRule::Concatenates { .. }));
            if join != MaskJoin::Any && joins && calls.iter().any(by_rule) {
                config["mask_join"] = join.name().into();
            }
            let role = names.take(layer);
            let class = class.to_string();
            sources.push(Source { role: role.clone(), name: layer.clone(), group, class, ..source });
            if tail.is_some() {
                let tail_role = names.take(&format!("{role}_activation"));
                sources.push(Source::new(&tail_role, &Value::Null));
                tails.insert(layer, tail_role);
            }
            roles.insert(layer, role);
            placed.push((layer, value, canonical_class, config, tail, calls));
        }
        let known = Known { model: name, numbers, from_one, roles, tails };

        let mut layers = Vec::with_capacity(placed.len());
        for (layer, value, class, mut config, tail, calls) in placed {
            let role = known.roles.get(layer.as_str()).cloned().unwrap_or_default();
            config["name"] = role.clone().into();
            let mut inbound = Vec::with_capacity(calls.len());
            for call in calls {
                let inputs = call.inputs.iter().map(|input| known.json(input)).collect::<Result<Vec<_>>>()?;
                inbound.push(Value::Array(inputs));
            }
            let takes_states = !is_model(class)
                && layer_of(class, &config).is_some_and(|layer| layer.config().takes_states());
            let mut json = canonical(class, config);
            let count = inbound.len();
            json["inbound_nodes"] = inbound.into();
            if takes_states && self.ignores_mask(value, calls, &masks) {
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
            Ok::<_, Error>(references)
        };
        let end = |reference| known.end(reference);
        ids::mark(&mut layers)?;
        let (inputs, outputs) = (ends("input_layers")?, ends("output_layers")?);
        let (inputs, outputs) = match &until {
            Some(until) => {
                let (needed, left): (Vec<_>, Vec<_>) =
                    inputs.into_iter().partition(|input| known.roles.contains_key(input.layer.as_str()));
                let left: Vec<String> = left.into_iter().map(|input| input.layer).collect();
                self.warnings.extend(left_out(&left, until));
                let outputs = self.outputs_of(&entries, until, &known.numbers);
                (needed, outputs.iter().map(|output| known.json(output)).collect::<Result<Vec<_>>>()?)
            }
            None => (inputs, outputs.into_iter().map(end).collect::<Result<Vec<_>>>()?),
        };
        let inputs = inputs.into_iter().map(end).collect::<Result<Vec<_>>>()?;
        Ok((
            json!({ "name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs }),
            sources,
        ))
    }

    /// The calls of a layer, with what they are given in its order.
    fn calls(&self, layer: &str, value: &Value) -> Result<Vec<Call>> {
        let mut calls = calls(layer, value.get("inbound_nodes"))?;
        let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
        if attention::takes_roles(class) && !self.own {
            let mut calls = calls.iter_mut();
            calls.try_for_each(attention::order_roles).map_err(|what| Error::layer(layer, what))?;
        }
        Ok(calls)
    }

    /// The layers that the layer `until` depends on, and itself. Calls that it does not need go, and `numbers` tells how
    /// those that are left are numbered.
    fn keep(
        &self,
        model: &str,
        until: &str,
        config: &Value,
        entries: &mut [Entry<'_>],
        numbers: &mut HashMap<String, Vec<usize>>,
    ) -> Result<BTreeSet<usize>> {
        let Some(last) = entries.iter().position(|entry| is_named(entry, until)) else {
            let layers = entries.iter().filter(|entry| !is_operation(entry.value));
            return Err(no_such_layer(until, model, layers.map(|entry| entry.name.as_str())));
        };
        let inputs = config.get("input_layers").and_then(ends).unwrap_or_default();
        if inputs.iter().any(|input| input.layer == entries[last].name) {
            return Err(Error::layer(until, IS_INPUT));
        }
        let at: HashMap<&str, usize> =
            entries.iter().enumerate().map(|(index, entry)| (entry.name.as_str(), index)).collect();
        let mut needed: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut open: Vec<(usize, usize)> =
            (0..entries[last].calls.len().max(1)).map(|call| (last, call)).collect();
        while let Some((layer, call)) = open.pop() {
            if !needed.insert((layer, call)) {
                continue;
            }
            let Some(call) = entries[layer].calls.get(call) else { continue };
            let masks = call.masks.iter().flatten().chain(call.single_masks.iter().map(|(_, mask)| mask));
            for input in call.inputs.iter().chain(masks) {
                let Some(&layer) = at.get(input.layer.as_str()) else { continue };
                let known = numbers.get(&input.layer);
                let call = known.and_then(|numbers| numbers.binary_search(&input.call).ok());
                open.push((layer, call.unwrap_or(input.call)));
            }
        }
        let kept: BTreeSet<usize> = needed.iter().map(|(layer, _)| *layer).collect();
        for (index, entry) in entries.iter_mut().enumerate() {
            let calls = std::mem::take(&mut entry.calls);
            let count = calls.len();
            let calls = calls.into_iter().enumerate().filter(|(call, _)| needed.contains(&(index, *call)));
            let (left, calls): (Vec<usize>, Vec<Call>) = calls.unzip();
            entry.calls = calls;
            if left.len() < count {
                let before = numbers.get(&entry.name);
                let number =
                    |call: usize| before.and_then(|numbers| numbers.get(call)).copied().unwrap_or(call);
                let left = left.into_iter().map(number).collect();
                numbers.insert(entry.name.clone(), left);
            }
        }
        Ok(kept)
    }

    /// The first output of each call of the layer `until`.
    fn outputs_of(
        &self,
        entries: &[Entry<'_>],
        until: &str,
        numbers: &HashMap<String, Vec<usize>>,
    ) -> Vec<Reference> {
        let Some(entry) = entries.iter().find(|entry| is_named(entry, until)) else { return vec![] };
        let number = |call: usize| numbers.get(&entry.name).and_then(|numbers| numbers.get(call)).copied();
        let output =
            |call| Reference { layer: entry.name.clone(), call: number(call).unwrap_or(call), tensor: 0 };
        (0..entry.calls.len()).map(output).collect()
    }

    /// Whether calls bring initial states and no mask by hand: in Keras 3 they ignore the mask of their input. In Keras 2
    /// it is all the same where no mask comes with it.
    fn ignores_mask(&self, value: &Value, calls: &[Call], masks: &Masks) -> bool {
        if self.own {
            return value.get("mask_with_states") == Some(&Value::Bool(false));
        }
        calls.iter().any(|call| call.inputs.len() > 1)
            && match self.major {
                3.. => calls.iter().all(|call| call.masks.is_empty()),
                _ => calls.iter().all(|call| masks.pass_by(call)),
            }
    }

    /// Puts the arguments of the calls that belong to the layer here among its own: all calls must agree on them.
    fn take_call_arguments(
        &self,
        layer: &str,
        class: &str,
        config: &mut Value,
        calls: &[Call],
    ) -> Result<()> {
        for &name in call_arguments(class) {
            let first = calls.first().and_then(|call| call.argument(name));
            if calls.iter().any(|call| call.argument(name) != first) {
                let what = format!("is called with `{name}` and without, which one layer cannot be here");
                return Err(Error::layer(layer, what));
            }
            if let Some(value) = first {
                config[name] = value.clone();
            }
        }
        let masked = calls.iter().filter(|call| call.has_attention_mask).count();
        if masked > 0 {
            if masked < calls.len() {
                let what = "is called with `attention_mask` and without, which one layer cannot be here";
                return Err(Error::layer(layer, what));
            }
            config["attention_mask"] = true.into();
        }
        Ok(())
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
        let is_known = |(name, _): &&(String, Value)| !call_arguments(class).contains(&name.as_str());
        let named = call.named.iter().find(is_known).map(|(name, value)| json!({ name: value }));
        if let Some(constant) = named.as_ref().or(call.constants.first()) {
            let what = format!("is called with the constant {constant}, which is not supported");
            return Err(Error::layer(layer, what));
        }
        if let Some(from) = masks.by_hand(call) {
            let what = format!(
                "is called with a mask of its own (from `{from}`); only the masks that Embedding and Masking begin and its \
                 input brings are supported"
            );
            return Err(Error::layer(layer, what));
        }
        if call.training {
            let draws = |key: &str| config.get(key).and_then(Value::as_f64).unwrap_or(0.0) > 0.0;
            match class {
                "BatchNormalization" => {
                    return Err(Error::layer(layer, "is called with training=True, which is not supported"));
                }
                "GaussianNoise" => self.warn_training(layer),
                class if class.ends_with("Dropout") || class.starts_with("SpatialDropout") => {
                    self.warn_training(layer);
                }
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

/// Whether a layer has this name, in the file or here.
fn is_named(entry: &Entry<'_>, name: &str) -> bool {
    entry.name == name || entry.name.replace(['.', '/'], "_") == name
}

/// Whether a layer, or one in a model, takes masks away.
fn takes_masks(entry: &Entry<'_>) -> bool {
    match entry.value.get("class_name").and_then(Value::as_str) {
        Some("MultiHeadAttention") => true,
        Some(class) => is_model(class) && entry.value.to_string().contains("\"MultiHeadAttention\""),
        None => false,
    }
}

/// What a layer makes of masks; a model within decides itself.
fn mask_rule(layer: &Layer) -> MaskRule {
    match is_model(layer.class) {
        true => MaskRule::Inside,
        false => layer_of(layer.class, &layer.config).map_or(MaskRule::Inside, |it| it.config().mask_rule()),
    }
}

/// Whether a MultiHeadAttention stands anywhere in a layer.
fn has_heads(value: &Value) -> bool {
    match value {
        Value::Object(object) => {
            object.get("class_name").is_some_and(|class| class == "MultiHeadAttention")
                || object.values().any(has_heads)
        }
        Value::Array(list) => list.iter().any(has_heads),
        _ => false,
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
        match reference.call.checked_sub(first) {
            Some(call) => self.json(&Reference { call, ..reference }),
            None => Err(Error::layer(
                self.model,
                format!("its calls of the model `{}` count from 1, and it refers to 0", reference.layer),
            )),
        }
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
fn numbers(config: &Value, layers: &[Entry<'_>]) -> HashMap<String, Vec<usize>> {
    let mut used: HashMap<String, BTreeSet<usize>> = HashMap::new();
    let outer = ["input_layers", "output_layers"].iter().filter_map(|key| ends(config.get(*key)?));
    let inner = layers.iter().flat_map(|entry| &entry.calls).flat_map(|call| call.inputs.clone());
    for Reference { layer, call, .. } in outer.flatten().chain(inner) {
        used.entry(layer).or_default().insert(call);
    }
    let mut numbers = HashMap::new();
    for Entry { name: layer, calls, .. } in layers {
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
fn ends_from_one(config: &Value, layers: &[Entry<'_>]) -> HashSet<String> {
    let is_graph = |value: &Value| {
        matches!(value.get("class_name").and_then(Value::as_str), Some("Functional" | "Model"))
    };
    let outputs = config.get("output_layers").and_then(ends).unwrap_or_default();
    let inner: Vec<&Reference> =
        layers.iter().flat_map(|entry| &entry.calls).flat_map(|call| &call.inputs).collect();
    let counts_from_one = |name: &str, count: usize| {
        let of = |reference: &&Reference| reference.layer == name;
        let shown: Option<Vec<usize>> =
            outputs.iter().filter(of).map(|output| output.call.checked_sub(1)).collect();
        let shown = shown.unwrap_or_default();
        let used: BTreeSet<usize> =
            inner.iter().copied().filter(of).map(|input| input.call).chain(shown.iter().copied()).collect();
        !shown.is_empty() && used.into_iter().eq(0..count)
    };
    let found = layers.iter().filter(|it| is_graph(it.value) && counts_from_one(&it.name, it.calls.len()));
    found.map(|entry| entry.name.clone()).collect()
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
        let sum = json!({ "class_name": "Add", "name": "a", "config": { "name": "a", "trainable": true },
                          "inbound_nodes": [{ "args": [[tensor("f", 0), tensor("f", 1)]], "kwargs": {} }] });
        let model = json!({ "name": "m", "layers": [input("x"), inner, sum], "input_layers": ["x", 0, 0],
                            "output_layers": [["f", 1, 0], ["a", 0, 0]] });
        let mut context = Context::new(&Version::parse("3.15.1").unwrap());
        let model = context.graph("m", &model).unwrap().0;
        assert_eq!(model["layers"][1]["inbound_nodes"], json!([[["x", 0, 0]], [["f", 0, 0]]]));
        assert_eq!(model["output_layers"], json!([["f", 0, 0], ["a", 0, 0]]));
    }
}

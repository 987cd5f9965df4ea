//! A model up to one of its layers.

use crate::error::nearest;
use crate::layers::{LayerConfig, ModelConfig, TensorRef};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

impl ModelConfig {
    /// The model up to the layer `name`: the layers that it depends on, the inputs that these need, and all that the layer
    /// gives as outputs, call by call. What `keras.Model(model.inputs, model.get_layer(name).output)` is in Keras.
    ///
    /// # Errors
    /// If there is no such layer (the nearest name is given), it is an input, or the layers do not fit each other.
    pub fn until(&self, name: &str) -> Result<Self> {
        self.place()?;
        let names = || self.layers.iter().map(|layer| layer.name.as_str());
        let Some(last) = names().position(|known| known == name) else {
            return Err(no_such_layer(name, &self.name, names()));
        };
        if self.layers[last].class.config().input_shape().is_some() {
            return Err(Error::layer(name, IS_INPUT));
        }
        if !self.is_graph() {
            let layers = self.layers.get(..=last).unwrap_or_default().to_vec();
            return Ok(Self { layers, ..self.clone() });
        }
        let at: BTreeMap<&str, usize> = names().enumerate().map(|(index, name)| (name, index)).collect();
        // The calls that are needed: of the layer, and of all before it.
        let mut needed: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut open: Vec<(usize, usize)> =
            (0..self.layers[last].inbound_nodes.len()).map(|call| (last, call)).collect();
        while let Some((layer, call)) = open.pop() {
            if needed.insert((layer, call)) {
                let inputs =
                    self.layers[layer].inbound_nodes.get(call).map(Vec::as_slice).unwrap_or_default();
                open.extend(
                    inputs
                        .iter()
                        .filter_map(|TensorRef(name, call, _)| Some((*at.get(name.as_str())?, *call))),
                );
            }
        }
        let number = |layer: usize, call: usize| needed.range((layer, 0)..(layer, call)).count();
        let renumbered = |TensorRef(name, call, tensor): &TensorRef| {
            let layer = at.get(name.as_str()).copied().unwrap_or_default();
            TensorRef(name.clone(), number(layer, *call), *tensor)
        };
        let is_needed = |layer: usize, call: usize| needed.contains(&(layer, call));
        let keep = |(index, layer): (usize, &LayerConfig)| {
            let calls = layer.inbound_nodes.iter().enumerate().filter(|(call, _)| is_needed(index, *call));
            let inbound_nodes = calls.map(|(_, inputs)| inputs.iter().map(renumbered).collect()).collect();
            let is_used = needed.range((index, 0)..=(index, usize::MAX)).next().is_some();
            is_used.then(|| LayerConfig { inbound_nodes, ..layer.clone() })
        };
        let layers: Vec<LayerConfig> = self.layers.iter().enumerate().filter_map(keep).collect();
        let is_kept = |TensorRef(name, _, _): &&TensorRef| layers.iter().any(|layer| layer.name == *name);
        let input_layers = self.input_layers.iter().filter(is_kept).cloned().collect();
        let calls = self.layers[last].inbound_nodes.len();
        let first = |call| TensorRef(name.to_string(), call, 0);
        let mut cut = Self {
            name: self.name.clone(),
            layers,
            input_layers,
            output_layers: (0..calls).map(first).collect(),
        };
        let placement = cut.place()?;
        let counts: Vec<usize> =
            placement.outputs.iter().map(|&(call, _)| placement.calls[call].outputs.len()).collect();
        let all = |(call, count): (usize, &usize)| {
            (0..*count).map(move |tensor| TensorRef(name.to_string(), call, tensor)).collect::<Vec<_>>()
        };
        let outputs = counts.iter().enumerate().flat_map(all).collect();
        drop(placement);
        cut.output_layers = outputs;
        Ok(cut)
    }

    /// The inputs of this model that `cut`, a part of it, has not.
    pub fn inputs_left_out(&self, cut: &Self) -> Vec<String> {
        let kept: BTreeSet<&str> = cut.inputs().into_iter().map(|input| input.name.as_str()).collect();
        let left = self.inputs().into_iter().filter(|input| !kept.contains(input.name.as_str()));
        left.map(|input| input.name.clone()).collect()
    }
}

/// What is said of an input that a model is to be run up to.
pub(crate) const IS_INPUT: &str =
    "is an input of the model: nothing is computed up to it; name a layer after it";

/// That a model is to be run up to a layer that it does not have.
pub(crate) fn no_such_layer<'a>(
    name: &str,
    model: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Error {
    let hint = match nearest(name, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its last are {}", last(names)),
    };
    Error::argument("until", format!("the model `{model}` has no layer `{name}`; {hint}"))
}

/// The last few names.
fn last<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    names.get(names.len().saturating_sub(5)..).unwrap_or_default().join(", ")
}

/// What is said of inputs that a cut model has no more; none where it has them all.
pub(crate) fn left_out(inputs: &[String], name: &str) -> Option<String> {
    match inputs {
        [] => None,
        [one] => Some(format!(
            "the input `{one}` is not needed up to layer {name} and left out; x0, x1, … are numbered without it"
        )),
        several => Some(format!(
            "the inputs {} are not needed up to layer {name} and left out; x0, x1, … are numbered without them",
            several.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn layer(class: &str, name: &str, config: Value, nodes: Value) -> Value {
        let mut layer = json!({ "class_name": class, "config": config, "inbound_nodes": nodes });
        layer["config"]["name"] = name.into();
        layer
    }

    /// A shared LSTM with states, called on `a` and on `b`; what follows takes from the second call, or from both.
    fn model() -> ModelConfig {
        let input = |name: &str| layer("InputLayer", name, json!({ "batch_shape": [null, 4, 3] }), json!([]));
        let lstm = json!({ "units": 2, "return_state": true });
        let model = json!({ "name": "m", "layers": [
            input("a"), input("b"),
            layer("LSTM", "shared", lstm, json!([[["a", 0, 0]], [["b", 0, 0]]])),
            layer("Dense", "second", json!({ "units": 1 }), json!([[["shared", 1, 0]]])),
            layer("Add", "both", json!({}), json!([[["shared", 0, 0], ["shared", 1, 0]]])),
        ], "input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["second", 0, 0], ["both", 0, 0]] });
        ModelConfig::from_json(&model.to_string()).unwrap()
    }

    fn reference(name: &str, call: usize, tensor: usize) -> TensorRef {
        TensorRef(name.into(), call, tensor)
    }

    #[test]
    fn calls_and_inputs_that_are_not_needed_are_left_out() {
        let (whole, cut) = (model(), model().until("second").unwrap());
        let names: Vec<&str> = cut.layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["b", "shared", "second"]);
        assert_eq!(cut.layers[1].inbound_nodes, [[reference("b", 0, 0)]]);
        assert_eq!(cut.layers[2].inbound_nodes, [[reference("shared", 0, 0)]]);
        assert_eq!(cut.output_layers, [reference("second", 0, 0)]);
        assert_eq!(whole.inputs_left_out(&cut), ["a"]);
        cut.place().unwrap();
    }

    #[test]
    fn all_that_a_layer_gives_is_given() {
        let cut = model().until("shared").unwrap();
        let outputs: Vec<TensorRef> =
            (0..2).flat_map(|call| (0..3).map(move |tensor| reference("shared", call, tensor))).collect();
        assert_eq!(cut.output_layers, outputs);
        assert_eq!(model().inputs_left_out(&cut), [""; 0]);
    }

    #[test]
    fn a_name_that_is_not_there_has_a_neighbour() {
        let says = |name: &str, words: &str| {
            let error = model().until(name).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        says("sharde", "did you mean `shared`?");
        says("quite another", "its last are a, b, shared, second, both");
        says("a", "is an input");
    }
}

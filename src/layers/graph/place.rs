//! A model walked once: the order in which its layers are called, every shape, every variable. It is the check of the
//! whole.

use super::config::GraphConfig;
use crate::layers::initializer::Variable;
use crate::layers::layer::{Placed, TensorRef, depth};
use crate::layers::named::Named;
use crate::layers::shape::{Shape, is_holdable, show};
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};

/// The most axes of an output.
const MAX_AXES: usize = 16;
/// The most outputs of all calls, and the most variables of all layers, those of a layer that is called on other shapes
/// counted again.
const MAX_PARTS: usize = 1 << 18;
/// The most calls of layers that a model may come to, those of models within it counted each time.
const MAX_CALLS: usize = 1 << 17;
/// The most layers within layers.
const MAX_DEPTH: usize = 64;

/// A layer with what follows from its place in the model.
pub struct PlacedLayer<'a, L> {
    pub layer: &'a L,
    /// The inputs' shapes in its last call.
    pub inputs: Vec<Shape>,
    /// The outputs' shapes in its last call, the one that Keras's table shows.
    pub outputs: Vec<Shape>,
    pub variables: Vec<Variable>,
}

/// One call of a layer.
#[derive(Clone, Debug)]
pub struct PlacedCall {
    /// The layer's index; none for the input of a model that begins without an InputLayer.
    pub layer: Option<usize>,
    /// Where its inputs come from: a call and which of its outputs.
    pub inputs: Vec<(usize, usize)>,
    pub outputs: Vec<Shape>,
}

/// A model's layers and the order of their calls.
pub struct Placement<'a, L> {
    config: &'a GraphConfig<L>,
    pub layers: Vec<PlacedLayer<'a, L>>,
    /// Every call after those whose outputs it takes.
    pub calls: Vec<PlacedCall>,
    /// The calls that are the model's inputs.
    pub inputs: Vec<usize>,
    /// A call and which of its outputs, for each of the model's outputs.
    pub outputs: Vec<(usize, usize)>,
    /// Calls of layers that a call of the model comes to.
    pub total_calls: usize,
}

impl<L: Named> Placement<'_, L> {
    /// The shapes of the model's outputs.
    pub fn output_shapes(&self) -> Vec<Shape> {
        self.outputs.iter().map(|&(call, tensor)| self.calls[call].outputs[tensor].clone()).collect()
    }

    /// Refuses calls whose numbers Keras 3's files do not say, as `Config::check_keras3`.
    ///
    /// # Errors
    /// [`Error::Layer`].
    pub fn check_keras3(&self) -> Result<()> {
        let mut seen: Vec<Option<Vec<Shape>>> = vec![None; self.config.layers.len()];
        for call in &self.calls {
            let Some((index, layer)) = call.layer.and_then(|at| Some((at, self.config.layers.get(at)?)))
            else {
                continue;
            };
            if is_input(layer) {
                continue;
            }
            let shape = |&(from, tensor): &(usize, usize)| self.calls[from].outputs[tensor].clone();
            let inputs: Vec<Shape> = call.inputs.iter().map(shape).collect();
            // The same inputs again: nothing new follows, and a model within would be walked for nothing.
            if seen[index].as_ref() != Some(&inputs) {
                layer.config().check_keras3(&inputs).map_err(|what| Error::layer(layer.name(), what))?;
                seen[index] = Some(inputs);
            }
        }
        Ok(())
    }

    /// The model as a layer within another one.
    pub fn into_layer(self) -> Placed {
        let (outputs, calls) = (self.output_shapes(), self.total_calls);
        let within = |placed: PlacedLayer<'_, L>| {
            let name = placed.layer.name().to_string();
            placed.variables.into_iter().map(move |variable| variable.within(&name)).collect::<Vec<_>>()
        };
        let variables = self.layers.into_iter().flat_map(within).collect();
        Placed { calls, ..Placed::new(outputs).with(variables) }
    }
}

/// What a layer is called with: references into the calls before their order is known.
struct Draft {
    layer: usize,
    inputs: Vec<(usize, usize)>,
}

fn is_input<L: Named>(layer: &L) -> bool {
    layer.config().input_shape().is_some()
}

impl<L: Named> GraphConfig<L> {
    /// Every layer and call; the check of the whole.
    ///
    /// # Errors
    /// [`Error::Layer`] with the first layer that makes no sense or does not fit.
    pub(crate) fn place(&self) -> Result<Placement<'_, L>> {
        let deepest = self.layers.iter().map(|layer| depth(layer.config())).max().unwrap_or(0);
        if deepest > MAX_DEPTH {
            let what =
                format!("holds layers within layers {deepest} levels deep; at most {MAX_DEPTH} can be read");
            return Err(Error::layer(self.name.as_str(), what));
        }
        self.place_on(None)
    }

    /// The same for a model within a model, whose inputs have the shapes `given`.
    pub(crate) fn place_on(&self, given: Option<&[Shape]>) -> Result<Placement<'_, L>> {
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let fail = |what: String| Error::layer(layer.name(), what);
            layer.config().check().map_err(fail)?;
            if layer.name().contains(['.', '/']) || names.insert(layer.name(), index).is_some() {
                return Err(fail("a layer's name must be its own and hold no `.` or `/`".into()));
            }
            if !layer.mask_with_states() && !layer.config().takes_states() {
                return Err(fail("`mask_with_states` is for recurrent layers; leave it out".into()));
            }
        }
        if self.layers.iter().all(is_input) {
            return Err(Error::layer(self.name.as_str(), "a model needs at least one layer"));
        }
        let inputs = if self.is_graph() { self.input_layers.len() } else { 1 };
        if let Some(given) = given.filter(|given| given.len() != inputs) {
            let what = format!(
                "it takes {inputs} input{}, and is given {}",
                if inputs == 1 { "" } else { "s" },
                given.len()
            );
            return Err(Error::layer(self.name.as_str(), what));
        }
        let sizes: BTreeSet<usize> =
            self.input_shapes().iter().filter_map(|shape| shape.first().copied().flatten()).collect();
        if let (Some(first), Some(last)) = (sizes.first(), sizes.last())
            && first != last
        {
            let what = format!("its inputs have batches of {first} and of {last}; one size is needed");
            return Err(Error::layer(self.name.as_str(), what));
        }
        if self.is_graph() { self.place_graph(&names, given) } else { self.place_sequence(given) }
    }

    fn place_sequence(&self, given: Option<&[Shape]>) -> Result<Placement<'_, L>> {
        let mut walk = Walk::new(self, given);
        let mut previous = None;
        for (index, layer) in self.layers.iter().enumerate() {
            let fail = |what: &str| Error::layer(layer.name(), what);
            let call = match previous {
                Some(_) if is_input(layer) => {
                    return Err(fail("an InputLayer can only be the first layer"));
                }
                None if is_input(layer) => walk.input(index, 0)?,
                Some(call) => walk.call_on(index, call)?,
                None => {
                    let first = match given {
                        Some(given) => given.first().cloned(),
                        None => layer.config().first_input(),
                    };
                    let Some(shape) = first else {
                        return Err(fail(
                            "the first layer must be an InputLayer with its batch_shape, or an Embedding",
                        ));
                    };
                    walk.calls.push(PlacedCall { layer: None, inputs: vec![], outputs: vec![shape] });
                    walk.call_on(index, 0)?
                }
            };
            previous = Some(call);
        }
        let last = walk.calls.len().saturating_sub(1);
        let outputs = walk.calls.last().map_or(0, |call| call.outputs.len());
        walk.finish(vec![0], (0..outputs).map(|tensor| (last, tensor)).collect())
    }

    fn place_graph(&self, names: &HashMap<&str, usize>, given: Option<&[Shape]>) -> Result<Placement<'_, L>> {
        // Each layer's calls, numbered one after another.
        let mut first_call = Vec::with_capacity(self.layers.len());
        let mut total = 0;
        for layer in &self.layers {
            first_call.push(total);
            total += if is_input(layer) { 1 } else { layer.inbound_nodes().len() };
        }
        let find = |user: &str, TensorRef(name, node, tensor): &TensorRef| {
            let fail = |what: String| Error::layer(user, what);
            let layer = *names
                .get(name.as_str())
                .ok_or_else(|| fail(format!("it refers to a layer `{name}` that the model does not have")))?;
            let calls = first_call.get(layer + 1).copied().unwrap_or(total) - first_call[layer];
            if *node >= calls {
                return Err(fail(format!(
                    "it refers to call {node} of layer `{name}`, which is called {calls} times"
                )));
            }
            Ok((first_call[layer] + node, *tensor))
        };
        let mut drafts: Vec<Draft> = Vec::with_capacity(total);
        for (index, layer) in self.layers.iter().enumerate() {
            if is_input(layer) {
                drafts.push(Draft { layer: index, inputs: vec![] });
                continue;
            }
            if layer.inbound_nodes().is_empty() {
                return Err(Error::layer(layer.name(), "nothing is fed to it: its inbound_nodes are empty"));
            }
            for node in layer.inbound_nodes() {
                let inputs = node.iter().map(|from| find(layer.name(), from)).collect::<Result<Vec<_>>>()?;
                drafts.push(Draft { layer: index, inputs });
            }
        }
        if self.input_layers.is_empty() || self.output_layers.is_empty() {
            let what = "a model of layers that feed each other needs input_layers and output_layers";
            return Err(Error::layer(self.name.as_str(), what));
        }
        let order = topological(&drafts)
            .ok_or_else(|| Error::layer(self.name.as_str(), "its layers feed each other in a circle"))?;
        let mut inputs_at = HashMap::new();
        for (position, reference) in self.input_layers.iter().enumerate() {
            let (draft, tensor) = find(&self.name, reference)?;
            if tensor != 0 || !is_input(&self.layers[drafts[draft].layer]) {
                return Err(Error::layer(reference.0.as_str(), "a model's input must be an InputLayer"));
            }
            if inputs_at.insert(draft, position).is_some() {
                return Err(Error::layer(
                    reference.0.as_str(),
                    "it stands twice in the model's input_layers",
                ));
            }
        }
        let mut walk = Walk::new(self, given);
        let mut placed_at = vec![0; drafts.len()];
        let mut inputs = vec![0; self.input_layers.len()];
        for index in order {
            let draft = &drafts[index];
            let layer = &self.layers[draft.layer];
            placed_at[index] = if is_input(layer) {
                let Some(&position) = inputs_at.get(&index) else {
                    return Err(Error::layer(layer.name(), "it is missing from the model's input_layers"));
                };
                let call = walk.input(draft.layer, position)?;
                inputs[position] = call;
                call
            } else {
                let from = draft.inputs.iter().map(|&(call, tensor)| (placed_at[call], tensor)).collect();
                walk.call(draft.layer, from)?
            };
        }
        let mut outputs = vec![];
        for reference in &self.output_layers {
            let (draft, tensor) = find(&self.name, reference)?;
            let call = placed_at[draft];
            if tensor >= walk.calls[call].outputs.len() {
                return Err(Error::layer(reference.0.as_str(), format!("it has no output {tensor}")));
            }
            outputs.push((call, tensor));
        }
        walk.finish(inputs, outputs)
    }
}

/// The drafts in an order in which each comes after those it takes from; none if there is a circle.
fn topological(drafts: &[Draft]) -> Option<Vec<usize>> {
    let mut users: Vec<Vec<usize>> = vec![vec![]; drafts.len()];
    let mut waiting: Vec<usize> = vec![0; drafts.len()];
    for (index, draft) in drafts.iter().enumerate() {
        for &(from, _) in &draft.inputs {
            users[from].push(index);
            waiting[index] += 1;
        }
    }
    let mut ready: BTreeSet<usize> = (0..drafts.len()).filter(|&index| waiting[index] == 0).collect();
    let mut order = Vec::with_capacity(drafts.len());
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for &user in &users[index] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.insert(user);
            }
        }
    }
    (order.len() == drafts.len()).then_some(order)
}

/// A placement in the making.
struct Walk<'a, 'g, L> {
    config: &'a GraphConfig<L>,
    given: Option<&'g [Shape]>,
    calls: Vec<PlacedCall>,
    /// Each layer as it was placed last, with the calls that this came to.
    placed: Vec<Option<(PlacedLayer<'a, L>, usize)>>,
    total_calls: usize,
    /// Outputs of calls and variables of layers so far.
    parts: usize,
}

impl<'a, 'g, L: Named> Walk<'a, 'g, L> {
    fn new(config: &'a GraphConfig<L>, given: Option<&'g [Shape]>) -> Self {
        let placed = config.layers.iter().map(|_| None).collect();
        Self { config, given, calls: vec![], placed, total_calls: 0, parts: 0 }
    }

    /// An InputLayer, the model's input number `position`. Within a model, what is given closes its open axes.
    fn input(&mut self, index: usize, position: usize) -> Result<usize> {
        let layer = &self.config.layers[index];
        let mut own = layer.config().input_shape().cloned().unwrap_or_default();
        // Shapes are those of any batch, whatever size the model fixes.
        if let Some(batch) = own.first_mut() {
            *batch = None;
        }
        let shape = match self.given {
            None => own,
            Some(given) => {
                let fits = |given: &&Shape| {
                    given.len() == own.len()
                        && given.iter().zip(&own).all(|(a, b)| a.is_none() || b.is_none() || a == b)
                };
                let Some(given) = given.get(position).filter(fits) else {
                    let given: Vec<String> = given.iter().map(|shape| show(shape)).collect();
                    let what = format!("needs {}, given {}", show(&own), given.join(", "));
                    return Err(Error::layer(layer.name(), what));
                };
                given.iter().zip(&own).map(|(a, b)| a.or(*b)).collect()
            }
        };
        self.push(index, vec![], vec![], Placed::one(shape))
    }

    /// A layer over all that `call` gives.
    fn call_on(&mut self, index: usize, call: usize) -> Result<usize> {
        let from = (0..self.calls[call].outputs.len()).map(|tensor| (call, tensor)).collect();
        self.call(index, from)
    }

    fn call(&mut self, index: usize, from: Vec<(usize, usize)>) -> Result<usize> {
        let layer = &self.config.layers[index];
        let fail = |what: String| Error::layer(layer.name(), what);
        let inputs: Option<Vec<Shape>> =
            from.iter().map(|&(call, tensor)| self.calls[call].outputs.get(tensor).cloned()).collect();
        let inputs =
            inputs.ok_or_else(|| fail("it refers to an output that its input does not have".into()))?;
        // The same inputs again: nothing new follows, and a model within would be walked for nothing.
        if let Some((before, calls)) =
            self.placed[index].as_ref().filter(|(before, _)| before.inputs == inputs)
        {
            let (outputs, calls) = (before.outputs.clone(), *calls);
            return self.count(index, from, outputs, calls, 0);
        }
        let placed = layer.place(&inputs).map_err(fail)?;
        self.push(index, from, inputs, placed)
    }

    /// A call on inputs of other shapes than before.
    fn push(
        &mut self,
        index: usize,
        from: Vec<(usize, usize)>,
        inputs: Vec<Shape>,
        placed: Placed,
    ) -> Result<usize> {
        let layer = &self.config.layers[index];
        let fail = |what: String| Error::layer(layer.name(), what);
        let Placed { outputs, variables, calls } = placed;
        for Variable { name, shape, .. } in &variables {
            if !is_holdable(shape.iter().copied()) {
                return Err(fail(format!("its {name} {shape:?} would have more than 2^31 numbers")));
            }
        }
        for shape in &outputs {
            if shape.len() > MAX_AXES {
                return Err(fail(format!(
                    "its output has {} axes; at most {MAX_AXES} can be had",
                    shape.len()
                )));
            }
            if !is_holdable(shape.iter().copied().flatten()) {
                return Err(fail(format!("its output {} would have more than 2^31 numbers", show(shape))));
            }
        }
        if self.placed[index].as_ref().is_some_and(|(before, _)| before.variables != variables) {
            return Err(fail("its calls are given inputs of different shapes".into()));
        }
        let call = self.count(index, from, outputs.clone(), calls, variables.len())?;
        self.placed[index] = Some((PlacedLayer { layer, inputs, outputs, variables }, calls));
        Ok(call)
    }

    /// One more call, if it is not one too many.
    fn count(
        &mut self,
        index: usize,
        inputs: Vec<(usize, usize)>,
        outputs: Vec<Shape>,
        calls: usize,
        variables: usize,
    ) -> Result<usize> {
        let fail = |what: String| Error::layer(self.config.layers[index].name(), what);
        self.total_calls = self.total_calls.saturating_add(calls);
        if self.total_calls > MAX_CALLS {
            let what = format!("the model comes to more than {MAX_CALLS} calls of layers by this one");
            return Err(fail(what));
        }
        self.parts = self.parts.saturating_add(outputs.len()).saturating_add(variables);
        if self.parts > MAX_PARTS {
            let what = format!("the model comes to more than {MAX_PARTS} outputs and variables by this one");
            return Err(fail(what));
        }
        self.calls.push(PlacedCall { layer: Some(index), inputs, outputs });
        Ok(self.calls.len() - 1)
    }

    fn finish(self, inputs: Vec<usize>, outputs: Vec<(usize, usize)>) -> Result<Placement<'a, L>> {
        Ok(Placement {
            config: self.config,
            layers: self.placed.into_iter().flatten().map(|(placed, _)| placed).collect(),
            calls: self.calls,
            inputs,
            outputs,
            total_calls: self.total_calls,
        })
    }
}

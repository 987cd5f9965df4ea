//! A model walked once: the order in which its layers are called, every shape, every variable. It is the check of the
//! whole.

use super::class::{Class, PathVariable};
use super::config::{LayerConfig, ModelConfig, Shape, TensorRef};
use crate::nn::show;
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};

/// The most numbers that a variable may have: 8 GiB of them.
const MAX_VARIABLE: usize = 1 << 31;

/// A layer with what follows from its place in the model.
pub(super) struct Placed<'a> {
    pub layer: &'a LayerConfig,
    /// The inputs' shapes in its first call.
    pub inputs: Vec<Shape>,
    /// The outputs' shapes in its last call, the one that Keras's table shows.
    pub outputs: Vec<Shape>,
    pub variables: Vec<PathVariable>,
}

/// One call of a layer.
#[derive(Clone, Debug)]
pub(super) struct PlacedCall {
    /// The layer's index; none for the input of a model that begins with an Embedding.
    pub layer: Option<usize>,
    /// Where its inputs come from: a call and which of its outputs.
    pub inputs: Vec<(usize, usize)>,
    pub outputs: Vec<Shape>,
}

/// A model's layers and the order of their calls.
pub(super) struct Placement<'a> {
    pub layers: Vec<Placed<'a>>,
    /// Every call after those whose outputs it takes.
    pub calls: Vec<PlacedCall>,
    /// The calls that are the model's inputs.
    pub inputs: Vec<usize>,
    /// A call and which of its outputs, for each of the model's outputs.
    pub outputs: Vec<(usize, usize)>,
}

impl Placement<'_> {
    /// The shapes of the model's outputs.
    pub fn output_shapes(&self) -> Vec<Shape> {
        self.outputs.iter().map(|&(call, tensor)| self.calls[call].outputs[tensor].clone()).collect()
    }
}

/// What a layer is called with: references into the calls before their order is known.
struct Draft {
    layer: usize,
    inputs: Vec<(usize, usize)>,
}

impl ModelConfig {
    /// Every layer and call; the check of the whole.
    pub(super) fn place(&self) -> Result<Placement<'_>> {
        self.place_on(None)
    }

    /// The same for a model within a model, whose inputs have the shapes `given`.
    pub(super) fn place_on(&self, given: Option<&[Shape]>) -> Result<Placement<'_>> {
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let fail = |what: String| Error::layer(layer.name.as_str(), what);
            layer.class.check().map_err(fail)?;
            if layer.name.contains(['.', '/']) || names.insert(&layer.name, index).is_some() {
                return Err(fail("a layer's name must be its own and hold no `.` or `/`".into()));
            }
        }
        if self.layers.iter().all(|layer| matches!(layer.class, Class::InputLayer(_))) {
            return Err(Error::layer(self.name.as_str(), "a model needs at least one layer"));
        }
        if self.is_graph() { self.place_graph(&names, given) } else { self.place_sequence(given) }
    }

    fn place_sequence(&self, given: Option<&[Shape]>) -> Result<Placement<'_>> {
        let mut walk = Walk::new(self, given);
        let mut previous = None;
        for (index, layer) in self.layers.iter().enumerate() {
            let fail = |what: &str| Error::layer(layer.name.as_str(), what);
            let call = match (&layer.class, previous) {
                (Class::InputLayer(_), Some(_)) => {
                    return Err(fail("an InputLayer can only be the first layer"));
                }
                (Class::InputLayer(_), None) => walk.input(index, 0)?,
                (_, Some(call)) => walk.call_on(index, call)?,
                (class, None) => {
                    let open = match (given, class) {
                        (Some(given), _) => given.first().cloned(),
                        (None, Class::Embedding(_)) => Some(vec![None, None]),
                        (None, Class::Sequential(model) | Class::Functional(model)) => {
                            model.input_shapes().into_iter().next()
                        }
                        _ => None,
                    };
                    let Some(shape) = open else {
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

    fn place_graph(&self, names: &HashMap<&str, usize>, given: Option<&[Shape]>) -> Result<Placement<'_>> {
        // Each layer's calls, numbered one after another.
        let mut first_call = Vec::with_capacity(self.layers.len());
        let mut total = 0;
        for layer in &self.layers {
            first_call.push(total);
            total += match layer.class {
                Class::InputLayer(_) => 1,
                _ => layer.inbound_nodes.len(),
            };
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
            if matches!(layer.class, Class::InputLayer(_)) {
                drafts.push(Draft { layer: index, inputs: vec![] });
                continue;
            }
            if layer.inbound_nodes.is_empty() {
                return Err(Error::layer(
                    layer.name.as_str(),
                    "nothing is fed to it: its inbound_nodes are empty",
                ));
            }
            for node in &layer.inbound_nodes {
                let inputs = node.iter().map(|from| find(&layer.name, from)).collect::<Result<Vec<_>>>()?;
                drafts.push(Draft { layer: index, inputs });
            }
        }
        let order = topological(&drafts)
            .ok_or_else(|| Error::layer(self.name.as_str(), "its layers feed each other in a circle"))?;
        let mut inputs_at = HashMap::new();
        for (position, reference) in self.input_layers.iter().enumerate() {
            let (draft, _) = find(&self.name, reference)?;
            if !matches!(self.layers[drafts[draft].layer].class, Class::InputLayer(_)) {
                return Err(Error::layer(reference.0.as_str(), "a model's input must be an InputLayer"));
            }
            inputs_at.insert(draft, position);
        }
        let mut walk = Walk::new(self, given);
        let mut placed_at = vec![0; drafts.len()];
        let mut inputs = vec![0; self.input_layers.len()];
        for index in order {
            let draft = &drafts[index];
            let layer = &self.layers[draft.layer];
            placed_at[index] = if matches!(layer.class, Class::InputLayer(_)) {
                let Some(&position) = inputs_at.get(&index) else {
                    return Err(Error::layer(
                        layer.name.as_str(),
                        "it is missing from the model's input_layers",
                    ));
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
struct Walk<'a, 'g> {
    config: &'a ModelConfig,
    given: Option<&'g [Shape]>,
    calls: Vec<PlacedCall>,
    placed: Vec<Option<Placed<'a>>>,
}

impl<'a, 'g> Walk<'a, 'g> {
    fn new(config: &'a ModelConfig, given: Option<&'g [Shape]>) -> Self {
        Self { config, given, calls: vec![], placed: config.layers.iter().map(|_| None).collect() }
    }

    /// An InputLayer, the model's input number `position`. Within a model, what is given closes its open axes.
    fn input(&mut self, index: usize, position: usize) -> Result<usize> {
        let layer = &self.config.layers[index];
        let own = match &layer.class {
            Class::InputLayer(config) => config.batch_shape.clone(),
            _ => vec![],
        };
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
                    return Err(Error::layer(layer.name.as_str(), what));
                };
                given.iter().zip(&own).map(|(a, b)| a.or(*b)).collect()
            }
        };
        self.push(index, vec![], vec![], vec![shape])
    }

    /// A layer over all that `call` gives.
    fn call_on(&mut self, index: usize, call: usize) -> Result<usize> {
        let from = (0..self.calls[call].outputs.len()).map(|tensor| (call, tensor)).collect();
        self.call(index, from)
    }

    fn call(&mut self, index: usize, from: Vec<(usize, usize)>) -> Result<usize> {
        let layer = &self.config.layers[index];
        let fail = |what: String| Error::layer(layer.name.as_str(), what);
        let inputs: Option<Vec<Shape>> =
            from.iter().map(|&(call, tensor)| self.calls[call].outputs.get(tensor).cloned()).collect();
        let inputs =
            inputs.ok_or_else(|| fail("it refers to an output that its input does not have".into()))?;
        let outputs = layer.class.output_shapes(&inputs).map_err(fail)?;
        self.push(index, from, inputs, outputs)
    }

    fn push(
        &mut self,
        index: usize,
        from: Vec<(usize, usize)>,
        inputs: Vec<Shape>,
        outputs: Vec<Shape>,
    ) -> Result<usize> {
        let layer = &self.config.layers[index];
        let fail = |what: String| Error::layer(layer.name.as_str(), what);
        let variables = layer.class.variables(&inputs).map_err(fail)?;
        for (path, variable) in &variables {
            let shape = &variable.shape;
            let len = shape.iter().try_fold(1usize, |len, &axis| len.checked_mul(axis));
            if len.is_none_or(|len| len > MAX_VARIABLE) {
                return Err(fail(format!("its {path} {shape:?} would have more than 2^31 numbers")));
            }
        }
        match &mut self.placed[index] {
            Some(placed) if placed.variables != variables => {
                return Err(fail("its calls are given inputs of different shapes".into()));
            }
            Some(placed) => placed.outputs = outputs.clone(),
            empty => *empty = Some(Placed { layer, inputs, outputs: outputs.clone(), variables }),
        }
        self.calls.push(PlacedCall { layer: Some(index), inputs: from, outputs });
        Ok(self.calls.len() - 1)
    }

    fn finish(self, inputs: Vec<usize>, outputs: Vec<(usize, usize)>) -> Result<Placement<'a>> {
        Ok(Placement {
            layers: self.placed.into_iter().flatten().collect(),
            calls: self.calls,
            inputs,
            outputs,
        })
    }
}

//! A model as it runs, and as a layer within another one.

use super::config::GraphConfig;
use super::place::{PlacedCall, Placement};
use crate::layers::activation::Activation;
use crate::layers::flow::{Flow, Values};
use crate::layers::layer::{Config, Layer, Pass, Placed, TensorRef};
use crate::layers::masks::MaskRule;
use crate::layers::named::Named;
use crate::layers::shape::{Checked, Shape};
use candle_core::{Error, Result, bail};
use candle_nn::VarBuilder;
use std::collections::HashSet;
use std::sync::Arc;

impl<L: Named> Config for GraphConfig<L> {
    fn check(&self) -> Checked<()> {
        // Its layers are checked where it is placed.
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        self.place_on(Some(inputs)).map(Placement::into_layer).map_err(|error| error.to_string())
    }

    fn check_keras3(&self, inputs: &[Shape]) -> Checked<()> {
        self.place_on(Some(inputs))
            .and_then(|placement| placement.check_keras3())
            .map_err(|error| error.to_string())
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Inside
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let placement = self.place_on(Some(inputs)).map_err(Error::msg)?;
        Ok(Arc::new(Graph::new(self, placement, vb)?))
    }

    fn layers(&self) -> Vec<&dyn Config> {
        self.layers.iter().map(Named::config).collect()
    }

    fn first_input(&self) -> Option<Shape> {
        self.input_shapes().into_iter().next()
    }

    fn vocabulary(&self) -> Option<usize> {
        self.layers.iter().find_map(|layer| layer.config().vocabulary())
    }

    fn output_activation(&self) -> Option<Activation> {
        // What a layer says of its activation is of its first output; of several outputs one may feed another.
        let is_plain = match self.output_layers.as_slice() {
            [] => true,
            [TensorRef(_, _, tensor)] => *tensor == 0,
            _ => false,
        };
        self.last().filter(|_| is_plain)?.config().output_activation()
    }
}

/// The layers of a model in the order of their calls.
#[derive(Clone, Debug)]
pub struct Graph {
    name: String,
    layers: Vec<Node>,
    calls: Vec<Step>,
    inputs: Vec<usize>,
    outputs: Vec<(usize, usize)>,
}

/// A layer of a graph.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    layer: Arc<dyn Layer>,
    mask_rule: MaskRule,
    mask_with_states: bool,
}

/// A call that the outputs need.
#[derive(Clone, Debug)]
struct Step {
    /// The layer's index; none for the model's inputs.
    layer: Option<usize>,
    inputs: Vec<(usize, usize)>,
    /// How often its outputs are asked for.
    uses: usize,
}

impl Graph {
    /// Builds the layers of a placed model with the variables that `vb` holds under their names.
    ///
    /// # Errors
    /// If a variable is missing or of another shape.
    pub fn new<L: Named>(
        config: &GraphConfig<L>,
        placement: Placement<'_, L>,
        vb: VarBuilder,
    ) -> Result<Self> {
        let mut layers = Vec::with_capacity(placement.layers.len());
        for placed in &placement.layers {
            layers.push(Node {
                name: placed.layer.name().to_string(),
                layer: placed.layer.build(&placed.inputs, vb.pp(placed.layer.name()))?,
                mask_rule: placed.layer.config().mask_rule(),
                mask_with_states: placed.layer.mask_with_states(),
            });
        }
        let Placement { calls, inputs, outputs, .. } = placement;
        Ok(Self {
            name: config.name.clone(),
            layers,
            calls: steps(calls, &inputs, &outputs),
            inputs,
            outputs,
        })
    }

    /// The number of inputs.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Runs the calls that the outputs need, each once. What nothing needs any more is let go.
    ///
    /// # Errors
    /// If an input is missing or does not fit.
    pub fn run_all(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let mut given: Vec<Option<Vec<Flow>>> = vec![None; self.calls.len()];
        let mut uses: Vec<usize> = self.calls.iter().map(|call| call.uses).collect();
        for (&call, flow) in self.inputs.iter().zip(inputs) {
            let mut flow = flow.clone();
            if self.calls[call].uses > 1 {
                read_rows_in_training(&mut flow)?;
            }
            given[call] = Some(vec![flow]);
        }
        for (index, call) in self.calls.iter().enumerate() {
            let (Some(layer), true) = (call.layer, call.uses > 0) else { continue };
            let mut flows = Vec::with_capacity(call.inputs.len());
            for &(from, tensor) in &call.inputs {
                flows.push(self.take(&given, from, tensor)?);
                uses[from] -= 1;
                if uses[from] == 0 {
                    given[from] = None;
                }
            }
            let pass = Pass { logits: pass.logits && self.ends(index), ..pass };
            let node = &self.layers[layer];
            let mut outputs = node.call(flows, pass).map_err(|error| node.named(error))?;
            if call.uses > 1 {
                outputs.iter_mut().try_for_each(read_rows_in_training)?;
            }
            if let Some(watch) = pass.watch {
                watch.look(&node.name, &outputs)?;
            }
            given[index] = Some(outputs);
        }
        self.outputs.iter().map(|&(call, tensor)| self.take(&given, call, tensor)).collect()
    }

    /// Whether a call's first tensor is an output and nothing else, so that a pass for logits leaves out its activation.
    fn ends(&self, call: usize) -> bool {
        self.calls[call].uses == 1 && self.outputs.contains(&(call, 0))
    }

    /// Of each output, whether a pass for logits leaves out the activation that its layer ends in.
    pub fn ends_of_outputs(&self) -> Vec<bool> {
        self.outputs.iter().map(|&(call, tensor)| tensor == 0 && self.ends(call)).collect()
    }

    fn take(&self, given: &[Option<Vec<Flow>>], call: usize, tensor: usize) -> Result<Flow> {
        match given[call].as_ref().and_then(|flows| flows.get(tensor)) {
            Some(flow) => Ok(flow.clone()),
            None => bail!("layer {}: a layer was called before its input was there", self.name),
        }
    }
}

/// The calls, each with how often it is asked for; those of no use have none.
fn steps(calls: Vec<PlacedCall>, inputs: &[usize], outputs: &[(usize, usize)]) -> Vec<Step> {
    let mut uses = vec![0usize; calls.len()];
    for &(call, _) in outputs {
        uses[call] += 1;
    }
    for (index, call) in calls.iter().enumerate().rev() {
        if uses[index] > 0 {
            for &(from, _) in &call.inputs {
                uses[from] += 1;
            }
        }
    }
    let inputs: HashSet<usize> = inputs.iter().copied().collect();
    let step = |(index, call): (usize, PlacedCall)| Step {
        layer: call.layer.filter(|_| !inputs.contains(&index)),
        inputs: call.inputs,
        uses: uses[index],
    };
    calls.into_iter().enumerate().map(step).collect()
}

/// Reads rows of a table in training here, once, where several calls ask for them: the squares of a table's gradients
/// are those of what all of them give it together.
fn read_rows_in_training(flow: &mut Flow) -> Result<()> {
    if let Values::Rows(rows) = &flow.values
        && rows.table.squares().is_some()
    {
        flow.values = Values::Strand(rows.strand()?);
    }
    Ok(())
}

impl Node {
    /// The error with the layer's name, unless it has one.
    fn named(&self, error: Error) -> Error {
        let text = match &error {
            Error::WithBacktrace { inner, .. } => inner.to_string(),
            _ => error.to_string(),
        };
        if text.starts_with("layer ") { error } else { Error::Msg(format!("layer {}: {text}", self.name)) }
    }

    fn call(&self, mut inputs: Vec<Flow>, pass: Pass) -> Result<Vec<Flow>> {
        if self.mask_with_states || inputs.len() == 1 {
            let outputs = self.layer.run(&inputs, pass)?;
            return self.mask_rule.apply(&inputs, outputs);
        }
        // The layer walks every step, and the mask goes on all the same.
        let mask = inputs.first_mut().and_then(|input| input.mask.take());
        let outputs = self.layer.run(&inputs, pass)?;
        if let Some(input) = inputs.first_mut() {
            input.mask = mask;
        }
        self.mask_rule.apply(&inputs, outputs)
    }
}

impl Layer for Graph {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        self.run_all(inputs, pass)
    }

    fn children(&self) -> Vec<&dyn Layer> {
        self.layers.iter().map(|node| node.layer.as_ref()).collect()
    }
}

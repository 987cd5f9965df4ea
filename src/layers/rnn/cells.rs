//! Keras's `RNN` over a cell or a stack of them (`keras/src/layers/rnn/rnn.py`, `stacked_rnn_cells.py`). A cell is the
//! step of one of this crate's layers, so the loop runs on the layers themselves.

use super::settings::{Call, RnnOutput, check_states, place_sequence, sequence_mask};
use super::{GruConfig, LstmConfig, SimpleRnnConfig};
use crate::layers::flow::{Flow, first};
use crate::layers::initializer::Variable;
use crate::layers::join::flip;
use crate::layers::layer::{Config, Layer, Pass, Passes, Placed, TimeLoop, first_shape, time_loop};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, features};
use candle_core::{Result, Tensor, bail};
use candle_nn::{ModuleT, VarBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The arguments of [`Rnn`]: a cell of this crate's kinds, or a stack of them, and how it walks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RnnConfig {
    /// The cell.
    pub cell: CellConfig,
    /// Give the output of every step rather than the last.
    #[serde(default)]
    pub return_sequences: bool,
    /// Give the states after the last step as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub return_state: bool,
    /// Walk from the last step to the first; outputs come in the order walked.
    #[serde(default)]
    pub go_backwards: bool,
    /// Begin each batch with the state that the last one left.
    #[serde(default)]
    pub stateful: bool,
    /// At a masked step give 0 rather than the previous output.
    #[serde(default)]
    pub zero_output_for_mask: bool,
}

/// A cell of an [`RnnConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawCell", into = "RawCell")]
#[non_exhaustive]
pub enum CellConfig {
    /// One step of a SimpleRNN.
    SimpleRnn(SimpleRnnConfig),
    /// One step of an LSTM.
    Lstm(LstmConfig),
    /// One step of a GRU.
    Gru(GruConfig),
    /// Cells on top of each other.
    Stacked(Vec<CellConfig>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCell {
    class_name: String,
    config: Map<String, Value>,
}

/// The arguments of a layer that a cell has not.
const OF_LAYERS: [&str; 6] =
    ["return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask", "name"];

impl TryFrom<RawCell> for CellConfig {
    type Error = String;

    fn try_from(RawCell { class_name, mut config }: RawCell) -> Checked<Self> {
        config.shift_remove("name");
        if let Some(key) = OF_LAYERS.iter().find(|key| config.contains_key(**key)) {
            return Err(format!("a {class_name} has no `{key}`"));
        }
        let fail = |e: serde_json::Error| format!("{class_name}: {e}");
        match class_name.as_str() {
            "SimpleRNNCell" => serde_json::from_value(config.into()).map(Self::SimpleRnn).map_err(fail),
            "LSTMCell" => serde_json::from_value(config.into()).map(Self::Lstm).map_err(fail),
            "GRUCell" => serde_json::from_value(config.into()).map(Self::Gru).map_err(fail),
            "StackedRNNCells" => match (config.shift_remove("cells"), config.keys().next()) {
                (Some(cells), None) => serde_json::from_value(cells).map(Self::Stacked).map_err(fail),
                (_, Some(key)) => Err(format!("StackedRNNCells has no `{key}`")),
                (None, None) => Err("StackedRNNCells needs `cells`".into()),
            },
            _ => Err(format!(
                "cell `{class_name}` is unknown; known are SimpleRNNCell, LSTMCell, GRUCell, StackedRNNCells"
            )),
        }
    }
}

impl From<CellConfig> for RawCell {
    fn from(cell: CellConfig) -> Self {
        // A configuration serialises to an object of its arguments: nothing in it can fail.
        let value = match &cell {
            CellConfig::SimpleRnn(config) => serde_json::to_value(config),
            CellConfig::Lstm(config) => serde_json::to_value(config),
            CellConfig::Gru(config) => serde_json::to_value(config),
            CellConfig::Stacked(cells) => Ok(serde_json::json!({ "cells": cells })),
        };
        let mut config = match value {
            Ok(Value::Object(config)) => config,
            _ => Map::new(),
        };
        for key in OF_LAYERS {
            config.shift_remove(key);
        }
        Self { class_name: cell.name().into(), config }
    }
}

impl CellConfig {
    /// Keras's name for the class.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SimpleRnn(_) => "SimpleRNNCell",
            Self::Lstm(_) => "LSTMCell",
            Self::Gru(_) => "GRUCell",
            Self::Stacked(_) => "StackedRNNCells",
        }
    }

    fn check(&self) -> Checked<()> {
        match self {
            Self::SimpleRnn(config) => config.check(),
            Self::Lstm(config) => config.check(),
            Self::Gru(config) => config.check(),
            Self::Stacked(cells) if cells.is_empty() => Err("StackedRNNCells needs at least one cell".into()),
            Self::Stacked(cells) => cells.iter().try_for_each(Self::check),
        }
    }

    /// The sizes of the states, in order.
    fn state_sizes(&self) -> Vec<usize> {
        match self {
            Self::SimpleRnn(config) => vec![config.units],
            Self::Lstm(config) => vec![config.units; 2],
            Self::Gru(config) => vec![config.units],
            Self::Stacked(cells) => cells.iter().flat_map(Self::state_sizes).collect(),
        }
    }

    /// Features of the output.
    fn output_size(&self) -> usize {
        match self {
            Self::SimpleRnn(config) => config.units,
            Self::Lstm(config) => config.units,
            Self::Gru(config) => config.units,
            Self::Stacked(cells) => cells.last().map_or(0, Self::output_size),
        }
    }

    /// The variables over so many features, by their paths within the cell.
    fn variables(&self, input_dim: usize) -> Vec<Variable> {
        match self {
            Self::SimpleRnn(config) => config.variables(input_dim),
            Self::Lstm(config) => config.variables(input_dim),
            Self::Gru(config) => config.variables(input_dim),
            Self::Stacked(cells) => {
                let mut input_dim = input_dim;
                let mut variables = vec![];
                for (index, cell) in cells.iter().enumerate() {
                    let role = format!("cells_{index}");
                    variables.extend(cell.variables(input_dim).into_iter().map(|own| own.within(&role)));
                    input_dim = cell.output_size();
                }
                variables
            }
        }
    }

    /// The cells from the input on, each with its path below `vb`, as the layers whose steps they are.
    fn steps<'a>(&self, vb: VarBuilder<'a>, into: &mut Vec<Step<'a>>) {
        let layer: Box<dyn Config> = match self {
            Self::SimpleRnn(config) => Box::new(config.clone()),
            Self::Lstm(config) => Box::new(config.clone()),
            Self::Gru(config) => Box::new(config.clone()),
            Self::Stacked(cells) => {
                for (index, cell) in cells.iter().enumerate() {
                    cell.steps(vb.pp(format!("cells_{index}")), into);
                }
                return;
            }
        };
        into.push(Step { layer, vb, states: self.state_sizes().len(), width: self.output_size() });
    }
}

/// A cell as the layer whose step it is.
struct Step<'a> {
    layer: Box<dyn Config>,
    vb: VarBuilder<'a>,
    states: usize,
    width: usize,
}

impl Config for RnnConfig {
    fn check(&self) -> Checked<()> {
        self.cell.check()
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let time_loop = self.switches();
        let outputs = place_sequence(inputs, self.cell.output_size(), &self.cell.state_sizes(), time_loop)?;
        let variables = self.cell.variables(features(first_shape(inputs))?);
        Ok(Placed::new(outputs).with(variables.into_iter().map(|own| own.within("cell")).collect()))
    }

    fn mask_rule(&self) -> MaskRule {
        sequence_mask(self.switches())
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let input_dim = features(first_shape(inputs)).map_err(candle_core::Error::msg)?;
        Ok(Arc::new(Rnn::new(input_dim, self.clone(), vb)?))
    }

    time_loop!();
}

impl RnnConfig {
    fn switches(&self) -> TimeLoop {
        TimeLoop {
            return_sequences: self.return_sequences,
            return_state: self.return_state,
            go_backwards: self.go_backwards,
            stateful: self.stateful,
            zero_output_for_mask: self.zero_output_for_mask,
        }
    }
}

/// A recurrent layer made of cells, stacked one on another.
#[derive(Clone, Debug)]
pub struct Rnn {
    config: RnnConfig,
    name: String,
    /// The layers with their numbers of states.
    layers: Vec<(Arc<dyn Layer>, usize)>,
    passes: Passes,
}

impl Rnn {
    /// A layer over inputs of `input_dim` features, its variables taken from `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(input_dim: usize, config: RnnConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = config.check() {
            bail!("layer {name}: {what}")
        }
        let mut steps = vec![];
        config.cell.steps(vb.pp("cell"), &mut steps);
        let (count, mut input_dim, mut layers) = (steps.len(), input_dim, vec![]);
        for (index, mut step) in steps.into_iter().enumerate() {
            let is_last = index + 1 == count;
            step.layer.set_time_loop(TimeLoop {
                return_sequences: !is_last || config.return_sequences,
                // The outputs of the first come in the order walked, so the others walk forwards.
                go_backwards: index == 0 && config.go_backwards,
                zero_output_for_mask: is_last && config.zero_output_for_mask,
                ..config.switches()
            });
            let input = vec![None, None, Some(input_dim)];
            layers.push((step.layer.build(&[input], step.vb)?, step.states));
            input_dim = step.width;
        }
        Ok(Self { config, name, layers, passes: Passes::default() })
    }

    /// The configuration.
    pub fn config(&self) -> &RnnConfig {
        &self.config
    }

    /// (batch, time, features) to (batch, units), or (batch, time, units) with `return_sequences`, where units are those of
    /// the last cell; and, with `return_state`, the states of all cells after the last step.
    ///
    /// # Errors
    /// If a shape, the mask or the number of states does not fit.
    pub fn call(&self, xs: &Tensor, call: Call<'_>) -> Result<RnnOutput> {
        let input = Flow { mask: call.steps()?, ..Flow::from(xs.clone()) };
        let states = call.states.unwrap_or_default().iter().cloned().map(Flow::from);
        let inputs: Vec<Flow> = std::iter::once(input).chain(states).collect();
        let outputs = self.run(&inputs, Pass { mode: call.mode, ..Pass::default() })?;
        let hidden = first(&outputs)?.floats()?;
        Ok(RnnOutput { hidden, states: outputs[1..].iter().map(Flow::floats).collect::<Result<_>>()? })
    }
}

impl ModuleT for Rnn {
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.call(xs, Call { mode: self.passes.next(train), ..Call::default() })?.hidden)
    }
}

impl Layer for Rnn {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let needed = self.layers.iter().map(|(_, states)| states).sum();
        if let Err(what) = check_states(inputs.len().saturating_sub(1), needed) {
            bail!("layer {}: {what}", self.name)
        }
        let (mut flow, mut given) = (first(inputs)?.clone(), &inputs[1..]);
        let (mut mask, mut last) = (flow.mask.clone(), vec![]);
        for (index, (layer, states)) in self.layers.iter().enumerate() {
            let (own, rest) = given.split_at(given.len().min(*states));
            given = rest;
            let call: Vec<Flow> = std::iter::once(&flow).chain(own).cloned().collect();
            let mut outputs = layer.run(&call, pass)?.into_iter();
            if index == 0 && self.config.go_backwards {
                mask = mask.map(|mask| flip(&mask.into()).map(|mask| mask.tensor().clone())).transpose()?;
            }
            flow = Flow { mask: mask.clone(), ..first(outputs.next().as_slice())?.clone() };
            last.extend(outputs);
        }
        Ok(std::iter::once(flow).chain(last).collect())
    }

    fn children(&self) -> Vec<&dyn Layer> {
        self.layers.iter().map(|(layer, _)| layer.as_ref()).collect()
    }
}

//! Layers that hold layers, as data: `Bidirectional`, `TimeDistributed`, `RNN` of cells
//! (`keras/src/layers/rnn/`).

use super::class::{Checked, Class, PathVariable};
use super::config::{LayerConfig, Shape};
use crate::nn::{GruConfig, LstmConfig, SimpleRnnConfig, show};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a Bidirectional joins its two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergeMode {
    /// Side by side.
    Concat,
    /// Their sum.
    Sum,
    /// Their product.
    Mul,
    /// Their mean.
    Ave,
}

/// Keras's `Bidirectional`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BidirectionalConfig {
    /// The recurrent layer that walks forwards.
    pub layer: Box<LayerConfig>,
    /// The one that walks backwards; if left out, the same as `layer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backward_layer: Option<Box<LayerConfig>>,
    /// How the outputs are joined; `null` gives both.
    #[serde(default = "concat")]
    pub merge_mode: Option<MergeMode>,
}

fn concat() -> Option<MergeMode> {
    Some(MergeMode::Concat)
}

impl BidirectionalConfig {
    /// The layer that walks forwards, as Keras makes it.
    pub(super) fn forward(&self) -> LayerConfig {
        LayerConfig { class: self.layer.class.direction(false), ..(*self.layer).clone() }
    }

    /// The layer that walks backwards, as Keras makes it.
    pub(super) fn backward(&self) -> LayerConfig {
        match &self.backward_layer {
            Some(layer) => LayerConfig { class: layer.class.direction(false), ..(**layer).clone() },
            None => LayerConfig { class: self.layer.class.direction(true), ..(*self.layer).clone() },
        }
    }

    pub(super) fn check(&self) -> Checked<()> {
        let (forward, backward) = (&self.layer.class, &self.backward().class);
        let (Some(ahead), Some(behind)) = (forward.recurrence(), backward.recurrence()) else {
            return Err(format!("its layer must be a recurrent one, not a {}", forward.name()));
        };
        if ahead.go_backwards == behind.go_backwards {
            return Err("one of its layers must go_backwards, the other not".into());
        }
        if ahead.return_sequences != behind.return_sequences || ahead.return_state != behind.return_state {
            return Err("return_sequences and return_state of its two layers must be the same".into());
        }
        forward.check()?;
        backward.check()
    }

    pub(super) fn output_shapes(&self, inputs: &[Shape]) -> Checked<Vec<Shape>> {
        let (input, states) = inputs.split_first().ok_or("needs an input")?;
        let (ahead, behind) = states.split_at(states.len() / 2);
        let given = |states: &[Shape]| std::iter::once(input).chain(states).cloned().collect::<Vec<_>>();
        let forward = self.forward().class.output_shapes(&given(ahead))?;
        let backward = self.backward().class.output_shapes(&given(behind))?;
        let ([a, forward_states @ ..], [b, backward_states @ ..]) = (forward.as_slice(), backward.as_slice())
        else {
            return Err("its layers give no output".into());
        };
        let mut shapes = match self.merge_mode {
            None => vec![a.clone(), b.clone()],
            Some(MergeMode::Concat) => {
                let mut joined = a.clone();
                if let (Some(width), Some(other)) = (joined.last_mut(), b.last()) {
                    *width = width.zip(*other).and_then(|(a, b)| a.checked_add(b));
                }
                vec![joined]
            }
            Some(_) if a != b => {
                return Err(format!(
                    "its directions give {} and {}, which only `concat` joins",
                    show(a),
                    show(b)
                ));
            }
            Some(_) => vec![a.clone()],
        };
        shapes.extend(forward_states.iter().chain(backward_states).cloned());
        Ok(shapes)
    }
}

/// Keras's `TimeDistributed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeDistributedConfig {
    /// The layer that is applied to each step.
    pub layer: Box<LayerConfig>,
}

impl TimeDistributedConfig {
    /// The shape of one step.
    pub(super) fn step(&self, input: &Shape) -> Checked<Shape> {
        match input.as_slice() {
            [batch, _, rest @ ..] if !rest.is_empty() => {
                Ok(std::iter::once(*batch).chain(rest.iter().copied()).collect())
            }
            _ => Err(format!("needs an input of at least 3 axes, given {}", show(input))),
        }
    }
}

/// Keras's `RNN` over a cell of this crate's kinds, or a stack of them.
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

    pub(super) fn check(&self) -> Checked<()> {
        match self {
            Self::SimpleRnn(config) => config.check(),
            Self::Lstm(config) => config.check(),
            Self::Gru(config) => config.check(),
            Self::Stacked(cells) if cells.is_empty() => Err("StackedRNNCells needs at least one cell".into()),
            Self::Stacked(cells) => cells.iter().try_for_each(Self::check),
        }
    }

    /// The sizes of the states, in order.
    pub(super) fn state_sizes(&self) -> Vec<usize> {
        match self {
            Self::SimpleRnn(config) => vec![config.units],
            Self::Lstm(config) => vec![config.units; 2],
            Self::Gru(config) => vec![config.units],
            Self::Stacked(cells) => cells.iter().flat_map(Self::state_sizes).collect(),
        }
    }

    /// Features of the output.
    pub(super) fn output_size(&self) -> usize {
        match self {
            Self::SimpleRnn(config) => config.units,
            Self::Lstm(config) => config.units,
            Self::Gru(config) => config.units,
            Self::Stacked(cells) => cells.last().map_or(0, Self::output_size),
        }
    }

    pub(super) fn variables(&self, input_dim: usize) -> Vec<PathVariable> {
        let plain = |variables: Vec<crate::nn::Variable>| -> Vec<PathVariable> {
            variables.into_iter().map(|variable| (variable.name.to_string(), variable)).collect()
        };
        match self {
            Self::SimpleRnn(config) => plain(config.variables(input_dim)),
            Self::Lstm(config) => plain(config.variables(input_dim)),
            Self::Gru(config) => plain(config.variables(input_dim)),
            Self::Stacked(cells) => {
                let mut input_dim = input_dim;
                let mut variables = vec![];
                for (index, cell) in cells.iter().enumerate() {
                    let own = cell.variables(input_dim).into_iter();
                    variables.extend(own.map(|(path, variable)| (format!("cells_{index}.{path}"), variable)));
                    input_dim = cell.output_size();
                }
                variables
            }
        }
    }

    /// The cells from the input on, each with its path, as the layers they are equal to; `outer` has the switches.
    pub(super) fn layers(&self, path: &str, outer: &RnnConfig) -> Vec<(String, Class)> {
        let mut layers = vec![];
        self.collect(path, &mut layers);
        let last = layers.len().saturating_sub(1);
        for (index, (_, class)) in layers.iter_mut().enumerate() {
            let set = |sequences: &mut bool, backwards: &mut bool, stateful: &mut bool, zero: &mut bool| {
                *sequences = index < last || outer.return_sequences;
                // The outputs of the first come in the order walked, so the others walk forwards.
                *backwards = index == 0 && outer.go_backwards;
                *stateful = outer.stateful;
                *zero = index == last && outer.zero_output_for_mask;
            };
            macro_rules! switch {
                ($c:ident) => {
                    set(
                        &mut $c.return_sequences,
                        &mut $c.go_backwards,
                        &mut $c.stateful,
                        &mut $c.zero_output_for_mask,
                    )
                };
            }
            match class {
                Class::SimpleRNN(c) => switch!(c),
                Class::LSTM(c) => switch!(c),
                Class::GRU(c) => switch!(c),
                _ => {}
            }
        }
        layers
    }

    fn collect(&self, path: &str, layers: &mut Vec<(String, Class)>) {
        let path = path.to_string();
        match self {
            Self::SimpleRnn(config) => layers.push((path, Class::SimpleRNN(config.clone()))),
            Self::Lstm(config) => layers.push((path, Class::LSTM(config.clone()))),
            Self::Gru(config) => layers.push((path, Class::GRU(config.clone()))),
            Self::Stacked(cells) => {
                for (index, cell) in cells.iter().enumerate() {
                    cell.collect(&format!("{path}.cells_{index}"), layers);
                }
            }
        }
    }
}

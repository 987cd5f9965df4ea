//! A model as data: its layers, in a row or in a graph.

use crate::layers::layer::TensorRef;
use crate::layers::named::Named;
use crate::layers::shape::Shape;
use serde::{Deserialize, Serialize};

/// A model as data: its name and its layers, in the order they run or as a graph. [`ModelConfig`] is the one of this
/// crate's layers.
///
/// In JSON it reads as Keras's Sequential configuration does:
/// `{"name": "lstm", "layers": [{"class_name": "LSTM", "config": {"name": "lstm", "units": 8}}, …]}`. Fields left out
/// have Keras's defaults. A graph has `input_layers` and `output_layers` as well, and each layer says in `inbound_nodes`
/// what it is called on.
///
/// [`ModelConfig`]: crate::layers::ModelConfig
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "L: Deserialize<'de>"))]
pub struct GraphConfig<L> {
    /// The model's name.
    pub name: String,
    /// The layers.
    pub layers: Vec<L>,
    /// The inputs of a graph, in order; empty where the layers run one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_layers: Vec<TensorRef>,
    /// The outputs of a graph, in order; empty where the layers run one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_layers: Vec<TensorRef>,
}

impl<L> GraphConfig<L> {
    /// A model whose layers run one after another.
    pub fn sequential(name: impl Into<String>, layers: Vec<L>) -> Self {
        Self { name: name.into(), layers, input_layers: vec![], output_layers: vec![] }
    }

    /// Whether the layers form a graph rather than a row.
    pub fn is_graph(&self) -> bool {
        !self.input_layers.is_empty() || !self.output_layers.is_empty()
    }
}

impl<L: Named> GraphConfig<L> {
    /// The layers that stand for the model's inputs, in order.
    pub fn inputs(&self) -> Vec<&L> {
        let inputs: Vec<&L> = if self.is_graph() {
            let find = |reference: &TensorRef| self.layers.iter().find(|layer| layer.name() == reference.0);
            self.input_layers.iter().filter_map(find).collect()
        } else {
            self.layers.iter().take(1).collect()
        };
        inputs.into_iter().filter(|layer| layer.config().input_shape().is_some()).collect()
    }

    /// The shapes of the model's inputs, in order, as far as layers stand for them.
    pub fn input_shapes(&self) -> Vec<Shape> {
        self.inputs().into_iter().filter_map(|layer| layer.config().input_shape().cloned()).collect()
    }

    /// The size of a batch, where an InputLayer fixes it.
    pub fn batch_size(&self) -> Option<usize> {
        self.input_shapes().iter().find_map(|shape| shape.first().copied().flatten())
    }

    /// The layer that gives the model's first output.
    pub fn last(&self) -> Option<&L> {
        match self.output_layers.first() {
            Some(reference) => self.layers.iter().find(|layer| layer.name() == reference.0),
            None => self.layers.last(),
        }
    }
}

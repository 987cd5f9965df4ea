//! Where a model's variables stand in a `.weights.h5`: by the classes of the layers and their order, not by their names
//! (`keras/src/saving/saving_lib.py`, `_save_state`).

use super::attention;
use super::hdf5::Group;
use crate::keras::layout::view::{self, View};
use crate::keras::names::{GroupNames, begins_mask, is_model, layer_of};
use crate::keras::order;
use crate::layers::Class;
use crate::{Error, Result};
use candle_core::Tensor;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The groups of `model` (its JSON) with `variables`, whose names are given in `order`, the one in which Keras makes them.
///
/// # Errors
/// Where a variable finds no place.
pub(super) fn groups(model: &Value, order: &[String], variables: &BTreeMap<String, Tensor>) -> Result<Group> {
    let mut root = Group::default();
    root.set_vars(model.get("name").and_then(Value::as_str).unwrap_or_default(), vec![]);
    let has_masks = begins_mask(model);
    let mut writer = Writer { order, variables, placed: BTreeSet::new(), has_masks };
    writer.layers(&mut root, &view::layers(model, "")?, model)?;
    match variables.keys().find(|name| !writer.placed.contains(*name)) {
        Some(name) => Err(Error::argument("weights", format!("`{name}` belongs to no layer of the model"))),
        None => Ok(root),
    }
}

/// Whether a model's config is a graph, Keras's Functional.
pub(super) fn is_graph(model: &Value) -> bool {
    model.get("output_layers").is_some_and(|outputs| !outputs.is_null())
}

/// The weights of a layer's words, one for each place, as Keras keeps them.
fn idf_weights(layer: &View<'_>) -> Result<Option<Vec<f32>>> {
    let config = Value::Object(layer.config.clone());
    let weights = layer_of(layer.class, &config).map(|class| match class {
        Class::TextVectorization(config) => config.place_weights(),
        Class::StringLookup(config) => config.place_weights(),
        Class::IntegerLookup(config) => config.place_weights(),
        _ => Ok(None),
    });
    weights.unwrap_or(Ok(None)).map_err(|what| Error::layer(layer.name(), what))
}

struct Writer<'a> {
    order: &'a [String],
    variables: &'a BTreeMap<String, Tensor>,
    placed: BTreeSet<String>,
    /// Whether a mask begins anywhere in the model.
    has_masks: bool,
}

impl Writer<'_> {
    /// `layers/CLASS`, `layers/CLASS_1`, …; a Sequential does not count its InputLayer.
    fn layers(&mut self, group: &mut Group, layers: &[View<'_>], model: &Value) -> Result<()> {
        let graph = is_graph(model);
        if graph && self.has_masks {
            self.check_order(layers, &order::of_layers(model)?)?;
        }
        let counted = layers.iter().filter(|layer| graph || layer.class != "InputLayer");
        let mut names = GroupNames::default();
        for layer in counted {
            let class = if layer.class == "Model" { "Functional" } else { layer.class };
            let name = names.next(class);
            self.layer(group.at("layers").at(&name), layer)?;
        }
        Ok(())
    }

    /// Refuses a graph with masks whose layers Keras may list in another order, and give the weights of one to another: the
    /// operations of masks, which Keras adds, can change the order, so that nobody knows.
    fn check_order(&self, layers: &[View<'_>], keras: &[usize]) -> Result<()> {
        let shapes = |layer: usize| {
            let own = format!("{}.", layers[layer].path);
            let variables = self.order.iter().filter(|name| name.starts_with(&own));
            variables.map(|name| self.variables.get(name).map(Tensor::dims)).collect::<Vec<_>>()
        };
        let of_class = |order: &mut dyn Iterator<Item = usize>| {
            let mut classes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            order.for_each(|layer| classes.entry(layers[layer].class).or_default().push(layer));
            classes
        };
        let (ours, theirs) = (of_class(&mut (0..layers.len())), of_class(&mut keras.iter().copied()));
        let mut pairs = ours.values().flatten().zip(theirs.values().flatten());
        match pairs.find(|(ours, theirs)| ours != theirs && !shapes(**ours).is_empty()) {
            None => Ok(()),
            Some((&ours, &theirs)) => {
                let what = format!(
                    "in a model with masks Keras 3 can list it before `{}` of the same class or after, and give the \
                     weights of one to the other; write a model folder instead",
                    layers[theirs].name()
                );
                Err(Error::layer(layers[ours].name(), what))
            }
        }
    }

    fn layer(&mut self, group: &mut Group, layer: &View<'_>) -> Result<()> {
        match layer.class {
            class if is_model(class) => {
                group.set_vars(layer.name(), vec![]);
                self.layers(group, &layer.layers()?, &Value::Object(layer.config.clone()))
            }
            "Bidirectional" => {
                group.set_vars(layer.name(), vec![]);
                self.layer(group.at("forward_layer"), &layer.forward()?)?;
                self.layer(group.at("backward_layer"), &layer.backward()?)
            }
            "TimeDistributed" => {
                group.set_vars(layer.name(), vec![]);
                self.layer(group.at("layer"), &layer.inner("layer")?)
            }
            "RNN" => {
                group.set_vars(layer.name(), vec![]);
                self.layer(group.at("cell"), &layer.inner("cell")?)
            }
            "StackedRNNCells" => {
                group.set_vars(layer.name(), vec![]);
                let mut names = GroupNames::default();
                for cell in layer.cells()? {
                    let name = names.next(cell.class);
                    self.layer(group.at("cells").at(&name), &cell)?;
                }
                Ok(())
            }
            "TextVectorization" | "StringLookup" | "IntegerLookup" => {
                group.set_vars(layer.name(), vec![]);
                if let Some(weights) = idf_weights(layer)? {
                    if layer.class == "TextVectorization" {
                        // The layer within it writes them once more.
                        group.at("_lookup_layer").set_vars("string_lookup", vec![]);
                        group.at("_lookup_layer").set_named("idf_weights", weights.clone());
                    }
                    group.set_named("idf_weights", weights);
                }
                Ok(())
            }
            class if attention::takes_roles(class) => {
                group.set_vars(layer.name(), vec![]);
                let parts = attention::parts(class).into_iter();
                for (role, part) in parts.filter(|(role, _)| *role != "gate" || layer.flag("use_gate")) {
                    self.variables(group.at(part), role, &format!("{}.{role}", layer.path));
                }
                Ok(())
            }
            // These keep their variables in a cell of their own.
            "LSTM" => self.cell(group, layer, "lstm_cell"),
            "GRU" => self.cell(group, layer, "gru_cell"),
            "SimpleRNN" => self.cell(group, layer, "simple_rnn_cell"),
            "ConvLSTM2D" => self.cell(group, layer, "conv_lstm_cell"),
            _ => {
                self.variables(group, layer.name(), &layer.path);
                Ok(())
            }
        }
    }

    fn cell(&mut self, group: &mut Group, layer: &View<'_>, cell: &str) -> Result<()> {
        group.set_vars(layer.name(), vec![]);
        self.variables(group.at("cell"), cell, &layer.path);
        Ok(())
    }

    /// The variables `PATH.…` as `vars` of the group.
    fn variables(&mut self, group: &mut Group, name: &str, path: &str) {
        let own = |name: &&String| name.rsplit_once('.').is_some_and(|(owner, _)| owner == path);
        let names = self.order.iter().filter(own);
        let held: Vec<(String, Tensor)> =
            names.filter_map(|name| Some((name.clone(), self.variables.get(name)?.clone()))).collect();
        self.placed.extend(held.iter().map(|(name, _)| name.clone()));
        group.set_vars(name, held.into_iter().map(|(_, tensor)| tensor).collect());
    }
}

//! Where a model's variables stand in a `.weights.h5`: by the classes of the layers and their order, not by their names
//! (`keras/src/saving/saving_lib.py`, `_save_state`).

use super::attention;
use super::hdf5::Group;
use crate::keras::layout::view::{self, View};
use crate::keras::names::{GroupNames, is_model, layer_of};
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
    let mut writer = Writer { order, variables, placed: BTreeSet::new() };
    writer.layers(&mut root, &view::layers(model, "")?, is_graph(model))?;
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
}

impl Writer<'_> {
    /// `layers/CLASS`, `layers/CLASS_1`, …; a Sequential does not count its InputLayer.
    fn layers(&mut self, group: &mut Group, layers: &[View<'_>], is_graph: bool) -> Result<()> {
        let counted = layers.iter().filter(|layer| is_graph || layer.class != "InputLayer");
        let mut names = GroupNames::default();
        for layer in counted {
            let class = if layer.class == "Model" { "Functional" } else { layer.class };
            let name = names.next(class);
            self.layer(group.at("layers").at(&name), layer)?;
        }
        Ok(())
    }

    fn layer(&mut self, group: &mut Group, layer: &View<'_>) -> Result<()> {
        match layer.class {
            class if is_model(class) => {
                group.set_vars(layer.name(), vec![]);
                let is_graph = layer.config.get("output_layers").is_some_and(|outputs| !outputs.is_null());
                self.layers(group, &layer.layers()?, is_graph)
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

//! Where a model's variables stand in a `.weights.h5`: by the classes of the layers and their order, not by their names
//! (`keras/src/saving/saving_lib.py`, `_save_state`).

use super::hdf5::Group;
use crate::keras::layout::view::{self, View};
use crate::{Error, Result};
use candle_core::Tensor;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Variables in the order that Keras creates them, for every class that has some.
const VARIABLES: [&str; 9] = [
    "embeddings",
    "kernel",
    "recurrent_kernel",
    "bias",
    "alpha",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
];

/// The groups of `model` (its JSON) with `variables`.
///
/// # Errors
/// Where a variable finds no place.
pub(super) fn groups(model: &Value, variables: &BTreeMap<String, Tensor>) -> Result<Group> {
    let mut root = Group::default();
    root.set_vars(model.get("name").and_then(Value::as_str).unwrap_or_default(), vec![]);
    let mut writer = Writer { variables, placed: BTreeSet::new() };
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

struct Writer<'a> {
    variables: &'a BTreeMap<String, Tensor>,
    placed: BTreeSet<String>,
}

impl Writer<'_> {
    /// `layers/CLASS`, `layers/CLASS_1`, …; a Sequential does not count its InputLayer.
    fn layers(&mut self, group: &mut Group, layers: &[View<'_>], is_graph: bool) -> Result<()> {
        let counted = layers.iter().filter(|layer| is_graph || layer.class != "InputLayer");
        let mut numbers = Numbers::default();
        for layer in counted {
            let class = if layer.class == "Model" { "Functional" } else { layer.class };
            let name = numbers.name(snake_case(class));
            self.layer(group.at("layers").at(&name), layer)?;
        }
        Ok(())
    }

    fn layer(&mut self, group: &mut Group, layer: &View<'_>) -> Result<()> {
        match layer.class {
            "Sequential" | "Functional" | "Model" => {
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
                let mut numbers = Numbers::default();
                for cell in layer.cells()? {
                    let name = numbers.name(snake_case(cell.class));
                    self.layer(group.at("cells").at(&name), &cell)?;
                }
                Ok(())
            }
            // These keep their variables in a cell of their own.
            "LSTM" | "GRU" | "SimpleRNN" | "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D" => {
                group.set_vars(layer.name(), vec![]);
                let cell = match layer.class {
                    "LSTM" => "lstm_cell",
                    "GRU" => "gru_cell",
                    "SimpleRNN" => "simple_rnn_cell",
                    _ => "conv_lstm_cell",
                };
                self.variables(group.at("cell"), cell, &layer.path);
                Ok(())
            }
            _ => {
                self.variables(group, layer.name(), &layer.path);
                Ok(())
            }
        }
    }

    /// The variables `PATH.…` as `vars` of the group.
    fn variables(&mut self, group: &mut Group, name: &str, path: &str) {
        let names = VARIABLES.iter().map(|variable| format!("{path}.{variable}"));
        let held: Vec<(String, Tensor)> =
            names.filter_map(|name| Some((name.clone(), self.variables.get(&name)?.clone()))).collect();
        self.placed.extend(held.iter().map(|(name, _)| name.clone()));
        group.set_vars(name, held.into_iter().map(|(_, tensor)| tensor).collect());
    }
}

/// How often a name came.
#[derive(Default)]
struct Numbers(BTreeMap<String, usize>);

impl Numbers {
    /// `dense`, `dense_1`, `dense_2`, …
    fn name(&mut self, name: String) -> String {
        let count = self.0.entry(name.clone()).and_modify(|count| *count += 1).or_default();
        match *count {
            0 => name,
            count => format!("{name}_{count}"),
        }
    }
}

/// `keras/src/utils/naming.py::to_snake_case`: `Conv1D` to `conv1d`, `PReLU` to `p_re_lu`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> =
        class.chars().filter(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    // A capital with small letters after it begins a word, after any letter; then any capital after a small letter.
    let at = |index: usize| letters.get(index).copied().unwrap_or_default();
    let mut words = String::new();
    for (index, &letter) in letters.iter().enumerate() {
        let starts = letter.is_ascii_uppercase() && at(index + 1).is_ascii_lowercase();
        let after_small = letter.is_ascii_uppercase() && index > 0 && at(index - 1).is_ascii_lowercase();
        if index > 0 && (starts || after_small) {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    /// What Keras 3.15 writes.
    #[test]
    fn classes_in_snake_case_are_keras_s() {
        let expected = [
            ("LSTM", "lstm"),
            ("SimpleRNN", "simple_rnn"),
            ("Conv1D", "conv1d"),
            ("ConvLSTM2D", "conv_lstm2d"),
            ("PReLU", "p_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ELU", "elu"),
            ("ReLU", "re_lu"),
            ("SpatialDropout1D", "spatial_dropout1d"),
            ("GlobalAveragePooling1D", "global_average_pooling1d"),
            ("StackedRNNCells", "stacked_rnn_cells"),
            ("GRUCell", "gru_cell"),
            ("BatchNormalization", "batch_normalization"),
            ("TimeDistributed", "time_distributed"),
        ];
        for (class, snake) in expected {
            assert_eq!(snake_case(class), snake, "{class}");
        }
    }
}

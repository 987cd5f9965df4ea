//! Keras's names and rules that reading and writing share.

use crate::layers::{Class, LayerConfig};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Keras's `to_snake_case` (`keras/src/utils/naming.py`), of which the names of groups in a `model.weights.h5` are made:
/// `Conv1D` to `conv1d`, `PReLU` to `p_re_lu`.
pub(super) fn snake_case(class: &str) -> String {
    let chars: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut snake = String::new();
    for (at, &c) in chars.iter().enumerate() {
        let (before, after) = (at.checked_sub(1).and_then(|at| chars.get(at)), chars.get(at + 1));
        // `(.)([A-Z][a-z]+)`, then `([a-z])([A-Z])`.
        let starts_word = c.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase);
        let ends_word = c.is_ascii_uppercase() && before.is_some_and(char::is_ascii_lowercase);
        if before.is_some_and(|&c| c != '_') && (starts_word || ends_word) {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// Hands out the names of groups: `lstm`, `lstm_1`, ….
#[derive(Default)]
pub(super) struct GroupNames(HashMap<String, usize>);

impl GroupNames {
    /// The name of the next group of a class.
    pub fn next(&mut self, class: &str) -> String {
        self.take(class, 1)
    }

    /// The same where the layer uses up so many numbers.
    ///
    /// tf.keras 2.12 and 2.13 walked a dictionary that held a layer with weights twice
    /// (`Functional._layer_checkpoint_dependencies`), and wrote it at the first place.
    pub fn take(&mut self, class: &str, numbers: usize) -> String {
        // Files name the class as Keras exports it, groups as it is.
        let name = snake_case(if class == "GroupQueryAttention" { "GroupedQueryAttention" } else { class });
        let count = self.0.entry(name.clone()).or_default();
        let first = *count;
        *count += numbers;
        match first {
            0 => name,
            more => format!("{name}_{more}"),
        }
    }
}

/// Whether a class is a model.
pub(super) fn is_model(class: &str) -> bool {
    matches!(class, "Sequential" | "Functional" | "Model")
}

/// The arguments of Keras's call, not of the layer, that this crate keeps among a layer's own.
pub(super) fn call_arguments(class: &str) -> &'static [&'static str] {
    match class {
        "Attention" | "AdditiveAttention" | "MultiHeadAttention" | "GroupedQueryAttention" => {
            &["use_causal_mask", "return_attention_scores"]
        }
        _ => &[],
    }
}

/// Arguments that a layer has here and that Keras knows neither of the layer nor of its call.
pub(super) const OWN_ARGUMENTS: [&str; 4] = ["mask_join", "attention_mask", "masked_softmax", "unmasked"];

/// A layer that is no model, from its class and its arguments in this crate's form; none where they make no sense, which
/// is complained of where the whole model is read.
pub(super) fn layer_of(class: &str, config: &Value) -> Option<Class> {
    let mut config = config.clone();
    config["name"] = "layer".into();
    let layer = json!({ "class_name": class, "config": config });
    serde_json::from_value::<LayerConfig>(layer).ok().map(|layer| layer.class)
}

/// Whether a mask begins anywhere in the model.
pub(super) fn begins_mask(value: &Value) -> bool {
    match value {
        Value::Object(object) => {
            object.get("class_name").is_some_and(|class| class == "Masking")
                || object.get("mask_zero") == Some(&Value::Bool(true))
                || object.values().any(begins_mask)
        }
        Value::Array(list) => list.iter().any(begins_mask),
        _ => false,
    }
}

/// Whether a layer in this crate's JSON takes initial states after its first input.
pub(super) fn takes_states(layer: &Value) -> bool {
    let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default();
    let config = layer.get("config").unwrap_or(&Value::Null);
    !is_model(class) && layer_of(class, config).is_some_and(|layer| layer.config().takes_states())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Keras 3.15 writes.
    #[test]
    fn groups_are_named_as_keras_names_them() {
        let names = [
            ("LSTM", "lstm"),
            ("SimpleRNN", "simple_rnn"),
            ("GRUCell", "gru_cell"),
            ("LSTMCell", "lstm_cell"),
            ("StackedRNNCells", "stacked_rnn_cells"),
            ("TimeDistributed", "time_distributed"),
            ("ConvLSTM2D", "conv_lstm2d"),
            ("Conv1D", "conv1d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("DepthwiseConv1D", "depthwise_conv1d"),
            ("SeparableConv2D", "separable_conv2d"),
            ("EinsumDense", "einsum_dense"),
            ("GroupNormalization", "group_normalization"),
            ("BatchNormalization", "batch_normalization"),
            ("PReLU", "p_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ReLU", "re_lu"),
            ("ELU", "elu"),
            ("SpatialDropout1D", "spatial_dropout1d"),
            ("GlobalAveragePooling1D", "global_average_pooling1d"),
            ("RNN", "rnn"),
            ("Dense", "dense"),
        ];
        for (class, snake) in names {
            assert_eq!(snake_case(class), snake);
        }
        let mut groups = GroupNames::default();
        assert_eq!(["LSTM", "Dense", "LSTM"].map(|class| groups.next(class)), ["lstm", "dense", "lstm_1"]);
        let mut gapped = GroupNames::default();
        let layers = [("Dense", 2), ("Dropout", 1), ("Dense", 2), ("Dropout", 1), ("Dense", 2)];
        let names = layers.map(|(class, numbers)| gapped.take(class, numbers));
        assert_eq!(names, ["dense", "dropout", "dense_2", "dropout_1", "dense_4"]);
    }

    #[test]
    fn recurrent_layers_take_states() {
        let lstm = json!({ "class_name": "LSTM", "config": { "name": "l", "units": 2 } });
        let both = json!({ "class_name": "Bidirectional", "config": { "name": "b", "layer": lstm } });
        let dense = json!({ "class_name": "Dense", "config": { "name": "d", "units": 2 } });
        assert_eq!([&lstm, &both, &dense].map(takes_states), [true, true, false]);
    }
}

//! Recurrent layers and what wraps them.

use super::classes::CLASSES;
use super::fields::{Arguments, Fields};
use super::{Context, Layer, Source, canonical, convolution};
use crate::Result;
use crate::keras::names::GroupNames;
use serde_json::{Map, Value, json};

impl Context {
    /// SimpleRNN, LSTM, GRU, ConvLSTM2D, and NVIDIA's forms of two of them.
    pub fn recurrent(&mut self, fields: &Fields) -> Result<Layer> {
        let class = match fields.class {
            "CuDNNLSTM" => "LSTM",
            "CuDNNGRU" => "GRU",
            "SimpleRNN" => "SimpleRNN",
            "LSTM" => "LSTM",
            "GRU" => "GRU",
            "ConvLSTM2D" => "ConvLSTM2D",
            _ => return Err(fields.unknown()),
        };
        let mut arguments = match class {
            "ConvLSTM2D" => convolution::conv_lstm(fields)?,
            _ => Arguments::new().put("units", Some(fields.need_count(&["units", "output_dim"])?)),
        };
        arguments = self.cell_arguments(class, fields, arguments)?;
        arguments = loop_arguments(fields, arguments)?;
        let mut layer = self.finish(class, arguments.done(), fields);
        // Its variables belong to its cell.
        layer.source.is_cell = true;
        Ok(layer)
    }

    /// What a cell of the class `class` (`LSTM`, …) has.
    fn cell_arguments(&self, class: &str, fields: &Fields, arguments: Arguments) -> Result<Arguments> {
        let mut arguments = arguments
            .put("activation", self.plain_activation(fields, &["activation"])?)
            .put("use_bias", fields.flag(&["use_bias"])?)
            .put("dropout", fields.number(&["dropout", "dropout_W"])?)
            .put("recurrent_dropout", fields.number(&["recurrent_dropout", "dropout_U"])?);
        if class != "SimpleRNN" {
            let inner = self.plain_activation(fields, &["recurrent_activation", "inner_activation"])?;
            arguments = arguments.put("recurrent_activation", inner);
        }
        if class == "LSTM" {
            arguments = arguments.put("unit_forget_bias", fields.flag(&["unit_forget_bias"])?);
        }
        if class == "GRU" {
            // The form that resets after the product came with Keras 2.1.3, and with it the argument.
            let missing = fields.class == "CuDNNGRU" || self.major >= 3;
            let reset_after = fields.flag(&["reset_after"])?.unwrap_or(missing);
            arguments = arguments.put("reset_after", Some(reset_after || fields.class == "CuDNNGRU"));
        }
        Ok(arguments)
    }

    /// A layer around a cell, or around several on top of each other.
    pub fn rnn(&mut self, fields: &Fields) -> Result<Layer> {
        let cell = fields.get(&["cell"]).ok_or_else(|| fields.error("`cell` is missing"))?;
        // What holds for the cells' variables in training is the layer's here.
        let mut rules = vec![];
        let (cell, source) = match cell {
            Value::Array(cells) => {
                let stacked = json!({ "class_name": "StackedRNNCells", "config": { "cells": cells } });
                self.cell(fields, &stacked, 0, &mut rules)?
            }
            cell => self.cell(fields, cell, 0, &mut rules)?,
        };
        let config = loop_arguments(fields, Arguments::new().put("cell", Some(cell)))?;
        let mut layer = self.finish("RNN", config.done(), fields);
        layer.source.children = vec![source.in_role("cell")];
        let first = rules.first().cloned().unwrap_or_default();
        if rules.iter().any(|other| *other != first) {
            self.warnings.push(format!(
                "layer {}: its cells differ in trainable, regularisers or constraints, which are left out; training would \
                 go without them",
                fields.name
            ));
        } else if let Some(config) = layer.config.as_object_mut() {
            config.extend(first);
        }
        Ok(layer)
    }

    /// A cell, or several on top of each other; `rules` gets what each says of its variables in training.
    fn cell(
        &mut self,
        fields: &Fields,
        value: &Value,
        depth: usize,
        rules: &mut Vec<Map<String, Value>>,
    ) -> Result<(Value, Source)> {
        let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
        let empty = json!({});
        let config = value.get("config").filter(|config| config.is_object()).unwrap_or(&empty);
        let mut source = Source::new(class, config);
        self.take_policy(class, config, &mut source)?;
        if let Some(custom) = super::custom_class(value) {
            return Err(fields.error(format!(
                "its cell is of the custom class `{custom}`, whose code is not in the file"
            )));
        }
        let map = serde_json::Map::new();
        let inner = Fields::new(fields.name, class, config.as_object().unwrap_or(&map));
        let (class, kind) = match class {
            "LSTMCell" => ("LSTMCell", "LSTM"),
            "GRUCell" => ("GRUCell", "GRU"),
            "SimpleRNNCell" => ("SimpleRNNCell", "SimpleRNN"),
            "StackedRNNCells" if depth == 0 => {
                let cells = inner.get(&["cells"]).and_then(Value::as_array);
                let cells = cells.ok_or_else(|| inner.error("`cells` is missing"))?;
                let mut groups = GroupNames::default();
                let (mut list, mut children) = (vec![], vec![]);
                for (index, cell) in cells.iter().enumerate() {
                    let (json, child) = self.cell(fields, cell, depth + 1, rules)?;
                    let group = format!("cells/{}", groups.next(&child.name));
                    children.push(Source { role: format!("cells_{index}"), group, ..child });
                    list.push(json);
                }
                inner.get(&["trainable"]);
                inner.check_all_known()?;
                let json = canonical("StackedRNNCells", json!({ "cells": list }));
                return Ok((json, Source { children, ..source }));
            }
            other => {
                let whose = match CLASSES.binary_search(&other) {
                    Ok(_) => "is one of Keras's that is not supported",
                    Err(_) => "is none of Keras's but a custom class, whose code is not in the file",
                };
                return Err(fields.error(format!(
                    "its cell `{other}` {whose}; read are LSTMCell, GRUCell, SimpleRNNCell and StackedRNNCells of these"
                )));
            }
        };
        let arguments = Arguments::new().put("units", Some(inner.need_count(&["units", "output_dim"])?));
        let mut config = self.cell_arguments(kind, &inner, arguments)?.done();
        if let Some(config) = config.as_object_mut() {
            config.shift_remove("name");
        }
        rules.push(self.training_rules(&inner));
        inner.check_all_known()?;
        Ok((canonical(class, config), source))
    }

    pub fn bidirectional(&mut self, fields: &Fields) -> Result<Layer> {
        let inner = fields.get(&["layer"]).ok_or_else(|| fields.error("`layer` is missing"))?;
        let forward = self.direction(fields, inner)?;
        let (mut children, mut config) = (vec![], json!({ "name": null }));
        let mut derived = forward.config.clone();
        let reversed = !derived.get("go_backwards").and_then(Value::as_bool).unwrap_or(false);
        derived["go_backwards"] = reversed.into();
        let mut backward_source = forward.source.clone();
        config["layer"] = canonical(forward.class, forward.config);
        if let Some(value) = fields.get(&["backward_layer"]) {
            let mut backward = self.direction(fields, value)?;
            let same = |name: &str| backward.config.get(name) == derived.get(name) || name == "name";
            let keys = |value: &Value| value.as_object().map_or(0, serde_json::Map::len);
            let is_derived = backward.class == forward.class
                && keys(&backward.config) == keys(&derived)
                && derived.as_object().is_some_and(|map| map.keys().all(|key| same(key)));
            backward_source = std::mem::replace(&mut backward.source, backward_source);
            if !is_derived {
                config["backward_layer"] = canonical(backward.class, backward.config);
            }
        }
        children.push(forward.source.in_role("forward_layer"));
        children.push(backward_source.in_role("backward_layer"));
        config["merge_mode"] = match fields.raw(&["merge_mode"]) {
            None => "concat".into(),
            Some(mode) => mode.clone(),
        };
        self.warn_masked_steps(fields, inner);
        let mut layer = self.finish("Bidirectional", config, fields);
        layer.source.children = children;
        Ok(layer)
    }

    /// Where Keras's own numbers at masked steps of a Bidirectional may be others than here.
    fn warn_masked_steps(&mut self, fields: &Fields, inner: &Value) {
        let is_set =
            |name: &str| inner.get("config").and_then(|config| config.get(name)) == Some(&Value::Bool(true));
        if !self.has_masks || !is_set("return_sequences") {
            return;
        }
        if self.holds_masked {
            self.warnings.push(format!(
                "layer {}: gives 0 at masked steps, as in every Keras since tf.keras; the Keras that wrote the file \
                 repeated the output before them there",
                fields.name
            ));
        }
        if is_set("unroll") {
            self.warnings.push(format!(
                "layer {}: with unroll=True Keras on TensorFlow gives 0 at the wrong steps where the mask is not the same \
                 from both ends; here they are the masked ones, as without it",
                fields.name
            ));
        }
    }

    fn direction(&mut self, fields: &Fields, value: &Value) -> Result<Layer> {
        let mut layer = self.layer(value, "layer")?;
        if !matches!(layer.class, "LSTM" | "GRU" | "SimpleRNN" | "RNN" | "ConvLSTM2D") {
            return Err(fields.error(format!("wraps a `{}`, expected a recurrent layer", layer.class)));
        }
        // As Keras does when it makes the wrapper, whatever the layer itself says.
        if let Some(config) = layer.config.as_object_mut() {
            let sequences = config.get("return_sequences").and_then(Value::as_bool).unwrap_or(false);
            config.shift_remove("zero_output_for_mask");
            if sequences && layer.class != "ConvLSTM2D" {
                config.insert("zero_output_for_mask".into(), true.into());
            }
        }
        Ok(layer)
    }
}

/// What the loop over time has.
fn loop_arguments(fields: &Fields, arguments: Arguments) -> Result<Arguments> {
    if fields.flag(&["time_major"])? == Some(true) {
        return Err(fields.error("`time_major` is not supported: Keras 3 has no such layers"));
    }
    let set = |name: &'static str| Ok::<_, crate::Error>(fields.flag(&[name])?.filter(|flag| *flag));
    let mut arguments = arguments
        .put("return_sequences", set("return_sequences")?)
        .put("return_state", set("return_state")?)
        .put("go_backwards", set("go_backwards")?)
        .put("stateful", set("stateful")?);
    if fields.class != "ConvLSTM2D" {
        arguments = arguments.put("zero_output_for_mask", set("zero_output_for_mask")?);
    }
    Ok(arguments)
}

//! Sequential models: a list of layers, bare or with a name, the input's shape in a layer of its own or in the first
//! one's arguments.

use super::fields::Fields;
use super::layers::input_shape;
use super::{Context, Layer, LayerNames, Source, canonical, ids};
use crate::keras::names::{GroupNames, snake_case};
use crate::model::{IS_INPUT, no_such_layer};
use crate::{Error, Result};
use serde_json::{Value, json};

impl Context {
    pub fn sequential(&mut self, name: &str, config: &Value) -> Result<(Value, Vec<Source>)> {
        let list = config.as_array().or_else(|| config.get("layers")?.as_array());
        let mut list =
            list.ok_or_else(|| Error::layer(name, "a Sequential without a list of layers"))?.as_slice();
        if let Some(until) = self.until() {
            let names: Vec<String> = list.iter().enumerate().map(|(at, value)| name_of(value, at)).collect();
            let last = names.iter().position(|name| *name == until || name.replace(['.', '/'], "_") == until);
            let last = last.ok_or_else(|| no_such_layer(&until, name, names.iter().map(String::as_str)))?;
            if list
                .get(last)
                .is_some_and(|layer| layer.get("class_name").is_some_and(|class| class == "InputLayer"))
            {
                return Err(Error::layer(until, IS_INPUT));
            }
            list = list.get(..=last).unwrap_or_default();
        }
        let (mut names, mut groups) = (LayerNames::default(), GroupNames::default());
        let (mut layers, mut sources) = (Vec::with_capacity(list.len() + 1), vec![]);
        let mut push = |layer: Layer, group: String, in_file: &str| {
            let Layer { class, mut config, source, tail } = layer;
            let role = names.take(&source.name);
            config["name"] = role.clone().into();
            layers.push(canonical(class, config));
            sources.push(Source { role: role.clone(), group, class: in_file.into(), ..source });
            if let Some((class, mut config)) = tail {
                let role = names.take(&format!("{role}_activation"));
                config["name"] = role.clone().into();
                layers.push(canonical(class, config));
                sources.push(Source::new(&role, &Value::Null));
            }
        };
        let mut is_first = true;
        for (index, value) in list.iter().enumerate() {
            let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
            if class == "Merge" {
                return Err(Error::layer(
                    name,
                    "begins with a Merge of other models, as Keras 1 allowed; build it as a functional model and save it \
                     again",
                ));
            }
            let layer = self.layer(value, &name_of(value, index))?;
            if std::mem::take(&mut is_first)
                && layer.class != "InputLayer"
                && let Some(input) = first_input(value, &layer, config)?
            {
                let input = json!({ "class_name": "InputLayer", "config": input });
                let input = self.layer(&input, "input")?;
                push(input, String::new(), "");
            }
            let group = match layer.class {
                "InputLayer" => String::new(),
                _ => format!("layers/{}", groups.next(class)),
            };
            push(layer, group, class);
        }
        if let [input, second, ..] = layers.as_mut_slice()
            && input["class_name"] == "InputLayer"
        {
            ids::set(input, ids::read_as(second, 0))?;
        }
        Ok((json!({ "name": name, "layers": layers }), sources))
    }
}

/// The name of the layer number `index`; what Keras might have called it where the file does not say.
fn name_of(value: &Value, index: usize) -> String {
    let name = value.pointer("/config/name").or_else(|| value.get("name")).and_then(Value::as_str);
    let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
    name.map_or_else(|| format!("{}_{index}", snake_case(class)), String::from)
}

/// The arguments of the InputLayer that the file leaves out.
fn first_input(value: &Value, layer: &Layer, model: &Value) -> Result<Option<Value>> {
    let empty = serde_json::Map::new();
    let map = value.get("config").and_then(Value::as_object).unwrap_or(&empty);
    let fields = Fields::new(&layer.source.name, layer.class, map);
    let input = |shape: Value| Ok(Some(json!({ "name": "input", "batch_shape": shape })));
    if let Some(shape) = input_shape(&fields)? {
        return input(shape);
    }
    // A nested model brings its own input.
    let nested = value.pointer("/config/layers").or_else(|| value.get("config")).and_then(Value::as_array);
    if let Some(inner) =
        nested.and_then(|layers| layers.first()).and_then(|first| first.get("config")?.as_object())
        && let Some(shape) = input_shape(&Fields::new(&layer.source.name, layer.class, inner))?
    {
        return input(shape);
    }
    let built = model.get("build_input_shape").or_else(|| value.pointer("/build_config/input_shape"));
    if let Some(Value::Array(axes)) = built {
        let shape: Vec<Value> = std::iter::once(Value::Null).chain(axes.iter().skip(1).cloned()).collect();
        if shape.len() > 1 {
            return input(shape.into());
        }
    }
    if matches!(layer.class, "TextVectorization" | "StringLookup") {
        return Ok(Some(json!({ "name": "input", "batch_shape": [null, 1], "dtype": "string" })));
    }
    if layer.class == "Embedding" {
        let length = fields.count(&["input_length"]).ok().flatten();
        return input(json!([null, length]));
    }
    // Keras 1 gave the number of features alone.
    if let Some(features) = fields.count(&["input_dim"])? {
        let recurrent = matches!(layer.class, "LSTM" | "GRU" | "SimpleRNN" | "Conv1D");
        let length = fields.count(&["input_length"])?;
        return match recurrent {
            true => input(json!([null, length, features])),
            false => input(json!([null, features])),
        };
    }
    Ok(None)
}

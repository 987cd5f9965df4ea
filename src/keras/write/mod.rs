//! Writing: a model's configuration and variables as files that Keras 3.15 loads.

mod activation;
mod attention;
mod config;
mod groups;
mod hdf5;
mod operation;
mod rules;
#[cfg(test)]
mod tests;
mod training;

use super::backends::check_backends;
use super::hard_sigmoid::{HardSigmoid, KEY as HARD_SIGMOID};
use super::layout::view;
use super::order;
use super::training::Training;
use crate::Result;
use crate::formats::archive::archive;
use crate::formats::file::write_atomic;
use crate::model::{Class, ModelConfig};
use candle_core::Tensor;
use hdf5::Group;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The Keras whose form the files have.
const KERAS_VERSION: &str = "3.15.1";

/// A file's bytes, and what its reader should know.
#[derive(Clone, Debug)]
pub struct Written {
    /// The file; the same model gives the same bytes.
    pub bytes: Vec<u8>,
    /// What in it is not as it was in the model though it gives the same numbers, a line each.
    pub notes: Vec<String>,
}

impl Written {
    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) where it cannot be written; an older file stays as it was then.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomic(path, &self.bytes)
    }
}

/// A `.keras` for `keras.saving.load_model`: configuration and weights, not compiled. [`to_keras_with`] compiles it.
///
/// # Errors
/// [`Error::Layer`](crate::Error::Layer) where Keras 3 has no form for a layer, with the reason; where `variables` do
/// not fit `config`.
pub fn to_keras(config: &ModelConfig, variables: &BTreeMap<String, Tensor>) -> Result<Written> {
    to_keras_with(config, variables, None)
}

/// The same, compiled as `training` says where it is given, and with the optimiser's state: Keras's `fit` goes on from there.
/// What of it is not known, and a state that Keras would not take, is left out and said in [`Written::notes`].
///
/// # Errors
/// As [`to_keras`], and where a variable of the optimiser is of another shape than the model's.
pub fn to_keras_with(
    config: &ModelConfig,
    variables: &BTreeMap<String, Tensor>,
    training: Option<&Training>,
) -> Result<Written> {
    let stateful = config.layers.iter().find(|layer| layer.class.config().is_stateful());
    if let (Some(layer), None) = (stateful, config.batch_size()) {
        let what = "it is stateful, and Keras opens such a .keras only if it holds the batch size, which the model does \
                    not say; give it in the InputLayer's batch_shape, set stateful to false, or write a .weights.h5";
        return Err(crate::Error::layer(layer.name.as_str(), what));
    }
    let (mut group, mut notes) = weights(config, variables)?;
    check_backends(config, "write a model folder instead")?;
    let mut model = order::arranged(model_json(config)?)?;
    close_axes(config, &mut model)?;
    let is_rescaled = !notes.is_empty();
    let mut keras = config::keras_model(&model, &mut notes)?;
    if let Some(training) = training {
        compile(training, &model, is_rescaled, &mut keras, &mut group, &mut notes)?;
        training::check(training, variables)?;
    }
    let model = config::text(&keras);
    let metadata = json!({"keras_version": KERAS_VERSION, "created_by": concat!("candle-recurrent ", env!("CARGO_PKG_VERSION"))});
    let members = [
        ("metadata.json", metadata.to_string().into_bytes()),
        ("config.json", model.into_bytes()),
        ("model.weights.h5", group.file()?),
    ];
    Ok(Written { bytes: archive(&members)?, notes })
}

/// Puts into `keras`, the `config.json`, what the model was compiled with, and into `group` its optimiser's variables.
fn compile(
    training: &Training,
    model: &Value,
    is_rescaled: bool,
    keras: &mut Value,
    group: &mut Group,
    notes: &mut Vec<String>,
) -> Result<()> {
    notes.extend(training.unknown.iter().cloned());
    let Some(compiled) = training::compile_config(training) else { return Ok(()) };
    keras["compile_config"] = compiled;
    let state = match is_rescaled && !training.state.is_empty() {
        true => {
            Err("weights were multiplied for Keras 3's hard_sigmoid, and their gradients would be others"
                .into())
        }
        false => training::state(training, model)?,
    };
    match state {
        Ok(Some(state)) => group.at("optimizer").set_vars(&state.name, state.variables),
        Ok(None) => {}
        Err(what) => notes.push(format!("the optimiser's state is left out: {what}")),
    }
    Ok(())
}

/// The model in JSON, as a graph where its layers run in a row but some are operations: Keras has no such row.
fn model_json(config: &ModelConfig) -> Result<Value> {
    let mut model = view::model_json(config)?;
    operation::as_graph(&mut model);
    Ok(model)
}

/// Puts sizes that are known here in the place of the open axes of an EinsumDense's `output_shape`: Keras would go on with
/// them open, and many a layer needs to know.
fn close_axes(config: &ModelConfig, model: &mut Value) -> Result<()> {
    for placed in config.place()?.layers {
        let (layer, [Some(shape)]) = (placed.layer, [placed.outputs.first()]) else { continue };
        if !matches!(layer.class, Class::EinsumDense(_)) || layer.inbound_nodes.len() > 1 {
            continue;
        }
        let layers = model.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten();
        for json in layers.filter(|json| json.pointer("/config/name") == Some(&json!(layer.name))) {
            // Axes that the equation leaves out are none of the `output_shape`'s.
            if json["config"]["equation"].as_str().is_some_and(|equation| equation.contains("...")) {
                continue;
            }
            json["config"]["output_shape"] = json!(shape.get(1..).unwrap_or_default());
        }
    }
    Ok(())
}

/// A `.weights.h5` for `Model.load_weights`: what `save_weights` of the same model writes.
///
/// # Errors
/// As [`to_keras`].
pub fn to_weights_h5(config: &ModelConfig, variables: &BTreeMap<String, Tensor>) -> Result<Written> {
    let (group, notes) = weights(config, variables)?;
    Ok(Written { bytes: group.file()?, notes })
}

/// The groups of such a file, and what is not as it was.
fn weights(config: &ModelConfig, variables: &BTreeMap<String, Tensor>) -> Result<(Group, Vec<String>)> {
    let mut order = vec![];
    for (name, expected) in config.variables()? {
        let found = variables.get(&name).map(|tensor| tensor.dims().to_vec());
        if found.as_ref() != Some(&expected) {
            return Err(crate::Error::Shape { name, expected, found: found.unwrap_or_default() });
        }
        order.push(name);
    }
    let model = order::arranged(model_json(config)?)?;
    let mut variables = variables.clone();
    let notes = activation::rescale(&model, &mut variables)?;
    let mut file = groups::groups(&model, &order, &variables)?;
    // Whichever it was: the weights carry the difference now.
    if !notes.is_empty() || HardSigmoid::used(&model).is_some() {
        file.attributes.insert(HARD_SIGMOID, HardSigmoid::Keras3.formula());
    }
    Ok((file, notes))
}

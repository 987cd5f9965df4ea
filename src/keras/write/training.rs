//! What a model was compiled with, and its optimiser's state, as Keras 3.15 writes them into a `.keras`.

use super::groups::is_graph;
use crate::keras::layout::view;
use crate::keras::names::{begins_mask, is_model, snake_case};
use crate::keras::order;
use crate::keras::read::trained_names;
use crate::keras::training::{Kind, Training, slots};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};

/// The `compile_config`; none where the optimiser is not known, for Keras would take another.
pub(super) fn compile_config(training: &Training) -> Option<Value> {
    let optimizer = keras(training.optimizer.as_ref()?, Kind::Optimizer);
    Some(json!({
        "optimizer": optimizer,
        "loss": keras(&training.loss, Kind::Loss),
        "loss_weights": training.loss_weights,
        "metrics": keras(&training.metrics, Kind::Metric),
        "weighted_metrics": keras(&training.weighted_metrics, Kind::Metric),
        "run_eagerly": false,
        "steps_per_execution": 1,
        "jit_compile": "auto",
    }))
}

/// Objects as Keras serialises them, however they are arranged.
fn keras(value: &Value, kind: Kind) -> Value {
    match value {
        Value::Array(list) => list.iter().map(|value| keras(value, kind)).collect(),
        Value::Object(object) => match object.get("class_name") {
            Some(class) => {
                let mut config = object.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
                if let Some(rate) = config.get_mut("learning_rate").filter(|rate| rate.is_object()) {
                    *rate = keras(rate, Kind::Schedule);
                }
                json!({ "module": kind.module(), "class_name": class, "config": config, "registered_name": null })
            }
            None => {
                let by_output = object.iter().map(|(output, value)| (output.clone(), keras(value, kind)));
                Value::Object(by_output.collect::<Map<_, _>>())
            }
        },
        value => value.clone(),
    }
}

/// An optimiser's variables in Keras 3.15's order.
#[derive(Debug)]
pub(super) struct State {
    /// The optimiser's name.
    pub name: String,
    pub variables: Vec<Tensor>,
}

/// The variables for `model` (its JSON, the layers in the order in which Keras lists them); none where there are none.
///
/// # Errors
/// In a sentence, where Keras would not take them.
pub(super) fn state(
    training: &Training,
    model: &Value,
) -> Result<std::result::Result<Option<State>, String>> {
    let (Some(optimizer), false) = (&training.optimizer, training.state.is_empty()) else {
        return Ok(Ok(None));
    };
    let class = optimizer.get("class_name").and_then(Value::as_str).unwrap_or_default();
    let Some(slots) = slots(optimizer) else {
        return Ok(Err(format!("which variables {class} keeps is not known")));
    };
    let trained = trained_names(model)?;
    if begins_mask(model) && !is_settled(model, "", &trained)? {
        return Ok(Err(
            "in a model with masks it is not certain in which order Keras lists these layers".into()
        ));
    }
    let state = &training.state;
    let steps = i64::try_from(state.iterations.unwrap_or(0)).unwrap_or(i64::MAX);
    let mut variables = vec![Tensor::new(steps, &Device::Cpu)?];
    if slots.has_rate {
        let said = optimizer.pointer("/config/learning_rate").and_then(Value::as_f64);
        match (state.get("learning_rate"), said) {
            (Some(rate), _) => variables.push(rate.clone()),
            (None, Some(rate)) => variables.push(Tensor::new(rate as f32, &Device::Cpu)?),
            (None, None) => return Ok(Err("it has no learning rate".into())),
        }
    }
    let shapes = |name: &str, tensor: &Tensor| format!("its `{name}` is {:?}", tensor.dims());
    let mut needed = vec![];
    for group in &slots.groups {
        needed.extend(trained.iter().flat_map(|name| group.iter().map(move |kept| format!("{name}/{kept}"))));
    }
    if slots.has_product {
        needed.push("u_product".into());
    }
    for name in needed {
        match state.get(&name) {
            Some(variable) if name == "u_product" && variable.elem_count() != 1 => {
                return Ok(Err(shapes(&name, variable)));
            }
            Some(variable) => variables.push(variable.clone()),
            None => return Ok(Err(format!("it lacks `{name}`"))),
        }
    }
    let name = optimizer.pointer("/config/name").and_then(Value::as_str).map(String::from);
    Ok(Ok(Some(State { name: name.unwrap_or_else(|| snake_case(class)), variables })))
}

/// Whether layers with trained variables stand in the same order with the operations of masks and without.
fn is_settled(model: &Value, path: &str, trained: &[String]) -> Result<bool> {
    let layers = view::layers(model, path)?;
    if is_graph(model) {
        let has = |layer: &usize| {
            let own = layers.get(*layer).map(|layer| format!("{}.", layer.path)).unwrap_or_default();
            trained.iter().any(|name| name.starts_with(&own))
        };
        let order: Vec<usize> = order::of_layers(model)?.into_iter().filter(has).collect();
        if !order.is_sorted() {
            return Ok(false);
        }
    }
    for layer in layers.iter().filter(|layer| is_model(layer.class)) {
        if !is_settled(&Value::Object(layer.config.clone()), &layer.path, trained)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses a state whose variables have other shapes than the model's.
pub(super) fn check(
    training: &Training,
    variables: &std::collections::BTreeMap<String, Tensor>,
) -> Result<()> {
    for (name, kept) in &training.state.variables {
        let Some((owner, _)) = name.rsplit_once('/') else { continue };
        let expected = variables.get(owner).map(|variable| variable.dims().to_vec());
        let Some(expected) = expected else {
            return Err(Error::argument(
                name.as_str(),
                "the model has no such variable for its optimiser to keep",
            ));
        };
        if kept.dims() != expected {
            return Err(Error::Shape { name: name.clone(), expected, found: kept.dims().to_vec() });
        }
    }
    Ok(())
}

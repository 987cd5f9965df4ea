//! Several trained models as one that gives the mean of their answers.

use super::Config;
use crate::layers::{Activation, ActivationConfig, AverageConfig};
use crate::model::{Class, LayerConfig, ModelConfig, TensorRef};
use crate::text::Padding;
use crate::train::Objective;
use crate::{Error, Result};
use candle_core::Tensor;
use serde_json::json;
use std::collections::BTreeMap;

/// A model's configuration with its weights by name.
pub type Member = (Config, BTreeMap<String, Tensor>);

/// One model of all `members`: its layers are the members, called on one input, and an `Average` of what they give. Recipe and
/// classes are those of the first.
///
/// # Errors
/// [`Error::Argument`] for fewer than two members; [`Error::Layer`] where members have several inputs or outputs, or read or
/// give other shapes than the first, or other classes.
pub fn ensemble(name: &str, members: &[Member]) -> Result<Member> {
    let [(first, _), _, ..] = members else {
        let what = format!("{} given, expected two or more", members.len());
        return Err(Error::argument("members", what));
    };
    let input = single_input(&first.model)?;
    let mut layers = vec![input.clone()];
    let mut weights = BTreeMap::new();
    let expected = first.model.outputs()?;
    for ((config, variables), number) in members.iter().zip(1..) {
        let model = &config.model;
        let wrong = |what: &str| Err(Error::layer(model.name.as_str(), what));
        let shape = |layer: &LayerConfig| layer.class.config().input_shape().cloned();
        if shape(&single_input(model)?) != shape(&input) || encoding(config) != encoding(first) {
            return wrong(
                "reads texts in another way than the first model: vocabulary, length, padding and truncating are to be the same",
            );
        }
        if config.series.is_some() || config.sequences.is_some() {
            return wrong(
                "takes measurements by scales of its own, which a mean of several models cannot keep",
            );
        }
        let outputs = model.outputs()?;
        match (outputs.as_slice(), expected.as_slice()) {
            ([(_, shape, activation)], [(_, other, of_other)])
                if (shape, activation) == (other, of_other)
                    && classes(config) == classes(first)
                    && config.multi_label == first.multi_label => {}
            ([_], [_]) => return wrong("gives other answers than the first model, or other classes"),
            _ => return wrong("has several outputs; a member of an ensemble has one"),
        }
        let member = format!("model_{number}");
        weights.extend(variables.iter().map(|(name, values)| (format!("{member}.{name}"), values.clone())));
        let model = ModelConfig { name: member.clone(), ..model.clone() };
        let class = if model.is_graph() { Class::Functional(model) } else { Class::Sequential(model) };
        layers.push(called_on(LayerConfig::new(member, class), vec![TensorRef(input.name.clone(), 0, 0)]));
    }
    let mean = layers.iter().skip(1).map(|layer| TensorRef(layer.name.clone(), 0, 0)).collect();
    layers.push(called_on(LayerConfig::new("average", Class::Average(AverageConfig::default())), mean));
    let mut last = "average".to_string();
    if classes(first).is_empty() {
        // So that a model of numbers says that it is one.
        let linear = Class::Activation(ActivationConfig { activation: Activation::Linear });
        layers.push(called_on(LayerConfig::new("linear", linear), vec![TensorRef(last, 0, 0)]));
        last = "linear".into();
    }
    let model = ModelConfig {
        name: name.into(),
        layers,
        input_layers: vec![TensorRef(input.name.clone(), 0, 0)],
        output_layers: vec![TensorRef(last, 0, 0)],
    };
    let mut config = Config { model, results: None, command: None, ..first.clone() };
    config.recipe.group_by_length = false;
    if config.recipe.loss.is_null() && first.model.check_binary_classifier().is_ok() {
        // The mean does not say what the members' last activation said.
        config.recipe.set_loss(json!("binary_crossentropy"));
        config.recipe.metrics = json!([Objective::guess_metric("binary_crossentropy")]);
    }
    config.classes = classes(first);
    config.check()?;
    Ok((config, weights))
}

/// How texts become ids.
fn encoding(config: &Config) -> Option<(usize, usize, Padding)> {
    let recipe = &config.recipe;
    config.model.vocab_size().map(|size| (size, recipe.max_len, recipe.padding()))
}

/// The names of the classes, those of sentiment where a binary classifier has none.
fn classes(config: &Config) -> Vec<String> {
    match config.classes.is_empty() && config.model.check_binary_classifier().is_ok() {
        true => ["negative", "positive"].map(String::from).to_vec(),
        false => config.classes.clone(),
    }
}

fn called_on(layer: LayerConfig, inputs: Vec<TensorRef>) -> LayerConfig {
    LayerConfig { inbound_nodes: vec![inputs], ..layer }
}

/// The InputLayer of a model that has one.
fn single_input(model: &ModelConfig) -> Result<LayerConfig> {
    match model.inputs().as_slice() {
        [input] => Ok(LayerConfig { name: "input".into(), inbound_nodes: vec![], ..(*input).clone() }),
        _ => Err(Error::layer(
            model.name.as_str(),
            "has not one InputLayer, which a member of an ensemble needs",
        )),
    }
}

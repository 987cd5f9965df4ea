//! Several trained models as one that gives the mean of their answers.

use super::Config;
use crate::layers::AverageConfig;
use crate::model::{Class, LayerConfig, ModelConfig, TensorRef};
use crate::{Error, Result};
use candle_core::Tensor;
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
    let output = |config: &Config| {
        config.model.outputs().map(|outputs| outputs.into_iter().map(|it| it.1).collect::<Vec<_>>())
    };
    let expected = output(first)?;
    for ((config, variables), number) in members.iter().zip(1..) {
        let model = &config.model;
        let wrong = |what: &str| Err(Error::layer(model.name.as_str(), what));
        if single_input(model)?.class != input.class {
            return wrong(
                "reads another input than the first model: train both with one vocabulary and length",
            );
        }
        match output(config)?.as_slice() {
            [_] if output(config)? == expected && config.classes == first.classes => {}
            [_] => return wrong("gives other classes than the first model"),
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
    let model = ModelConfig {
        name: name.into(),
        layers,
        input_layers: vec![TensorRef(input.name.clone(), 0, 0)],
        output_layers: vec![TensorRef("average".into(), 0, 0)],
    };
    let mut config = Config { model, results: None, ..first.clone() };
    if config.classes.is_empty() && first.model.check_binary_classifier().is_ok() {
        config.classes = ["negative", "positive"].map(String::from).to_vec();
    }
    config.check()?;
    Ok((config, weights))
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

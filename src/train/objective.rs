//! What a training is to reach: for each output of a model its loss, how much that counts, and its metrics; in Keras's words
//! what `compile` is given.

use super::callbacks::KnownFigure;
use super::losses::Loss;
use super::metrics::{Direction, MetricConfig};
use crate::data::{Array, Examples};
use crate::error::nearest;
use crate::layers::Activation;
use crate::model::{ModelConfig, Shape};
use crate::{Error, Result, json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The arguments of Keras's `compile`, as JSON has them: one for all outputs, a list in the order of the outputs, or an
/// object by the outputs' names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compile {
    /// `"mse"`, or `{"class_name": "Huber", "config": {"delta": 2.0}}`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub loss: Value,
    /// What the outputs' losses are multiplied by in the sum.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub loss_weights: Value,
    /// `["accuracy", "auc"]`; sample weights do not matter to them.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub metrics: Value,
    /// The same, with sample weights.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub weighted_metrics: Value,
}

/// What one output is to reach.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputObjective {
    /// The output's name: that of its layer.
    pub name: String,
    /// Its loss; none for an output that is not trained.
    pub loss: Option<Loss>,
    /// What the loss is multiplied by in the sum.
    pub loss_weight: f64,
    /// Its metrics.
    pub metrics: Vec<MetricConfig>,
    /// Those that sample weights matter to.
    pub weighted_metrics: Vec<MetricConfig>,
}

impl OutputObjective {
    /// This loss, and no metrics.
    pub fn new(name: &str, loss: Loss) -> Self {
        Self {
            name: name.into(),
            loss: Some(loss),
            loss_weight: 1.0,
            metrics: vec![],
            weighted_metrics: vec![],
        }
    }
}

/// What a training is to reach, an entry for each of the model's outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// In the order of the outputs.
    pub outputs: Vec<OutputObjective>,
}

/// A metric of an output, by the name of its figure.
pub(super) struct NamedMetric {
    pub(super) name: String,
    /// The output's index.
    pub(super) output: usize,
    /// Whether sample weights matter to it.
    pub(super) weighted: bool,
    pub(super) metric: MetricConfig,
}

/// An output of a model, as far as losses and metrics are concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The name of the layer that gives it.
    pub name: String,
    /// (batch, …, width).
    pub shape: Shape,
    /// The activation that it went through last, where that is known.
    pub activation: Option<Activation>,
}

impl Head {
    /// The length of the last axis; 1 where it is open.
    pub fn width(&self) -> usize {
        self.shape.last().copied().flatten().unwrap_or(1)
    }
}

/// The outputs of a model.
///
/// # Errors
/// If the layers do not fit each other.
pub fn heads(model: &ModelConfig) -> Result<Vec<Head>> {
    let outputs = model.outputs()?;
    Ok(outputs.into_iter().map(|(name, shape, activation)| Head { name, shape, activation }).collect())
}

impl Objective {
    /// One output with this loss and these metrics.
    pub fn new(loss: impl Into<Loss>, metrics: impl IntoIterator<Item = MetricConfig>) -> Self {
        let metrics = metrics.into_iter().collect();
        Self { outputs: vec![OutputObjective { metrics, ..OutputObjective::new("output", loss.into()) }] }
    }

    /// The same by Keras's names: `named("mse", &["mae"])`.
    ///
    /// # Errors
    /// A name that nobody knows, with the nearest one.
    pub fn named(loss: &str, metrics: &[&str]) -> Result<Self> {
        let metrics = metrics.iter().map(|name| name.parse()).collect::<Result<Vec<MetricConfig>>>()?;
        Ok(Self::new(loss.parse::<Loss>()?, metrics))
    }

    /// What `compile` says, for a model with these outputs.
    ///
    /// # Errors
    /// [`Error::Argument`] with the field's name: a loss or metric that nobody knows, with the nearest; lists and names that do
    /// not fit the outputs; a loss that does not fit its output.
    pub fn of_compile(compile: &Compile, heads: &[Head]) -> Result<Self> {
        let losses = per_output("loss", &compile.loss, heads, false)?;
        let weights = per_output("loss_weights", &compile.loss_weights, heads, false)?;
        let metrics = per_output("metrics", &compile.metrics, heads, true)?;
        let weighted = per_output("weighted_metrics", &compile.weighted_metrics, heads, true)?;
        let mut outputs = Vec::with_capacity(heads.len());
        for (at, head) in heads.iter().enumerate() {
            let loss: Option<Loss> = losses[at].as_ref().map(|value| read("loss", value)).transpose()?;
            let weight: Option<f64> =
                weights[at].as_ref().map(|value| read("loss_weights", value)).transpose()?;
            outputs.push(OutputObjective {
                name: head.name.clone(),
                loss,
                loss_weight: weight.unwrap_or(1.0),
                metrics: list("metrics", metrics[at].as_ref())?,
                weighted_metrics: list("weighted_metrics", weighted[at].as_ref())?,
            });
        }
        let objective = Self { outputs };
        objective.check(heads)?;
        Ok(objective)
    }

    /// Checks every argument, and that the losses fit the outputs.
    ///
    /// # Errors
    /// [`Error::Argument`] with what does not fit and what to do.
    pub fn check(&self, heads: &[Head]) -> Result<()> {
        if self.outputs.iter().all(|output| output.loss.is_none()) {
            return Err(Error::argument("loss", "no output has a loss, so there is nothing to train"));
        }
        if self.outputs.len() != heads.len() {
            let what = format!("{} are given for {} outputs", self.outputs.len(), heads.len());
            return Err(Error::argument("loss", what));
        }
        self.check_names()?;
        if self.outputs.iter().all(|output| output.loss.is_none() || output.loss_weight == 0.0) {
            return Err(Error::argument("loss_weights", "all are 0, so there is nothing to train"));
        }
        for (output, head) in self.outputs.iter().zip(heads) {
            let wrong = |argument: &str, what: String| match heads.len() {
                1 => Error::argument(argument, what),
                _ => Error::argument(format!("{argument} of output {}", head.name), what),
            };
            if !(output.loss_weight.is_finite()) {
                return Err(wrong("loss_weights", format!("{} is no finite number", output.loss_weight)));
            }
            if let Some(loss) = &output.loss {
                loss.check()?;
                loss.check_output(&head.shape, head.activation).map_err(|what| wrong("loss", what))?;
            }
            for metric in output.metrics.iter().chain(&output.weighted_metrics) {
                metric.check()?;
            }
        }
        Ok(())
    }

    /// The loss that an output most likely is to have: by its last activation, and by the shape of its targets.
    pub fn guess_loss(head: &Head, targets: &Array) -> &'static str {
        let per_step = head.shape.len().saturating_sub(1);
        let has_axis =
            targets.row_shape().len() >= per_step && targets.row_shape().last() == Some(&head.width());
        match head.activation {
            Some(Activation::Sigmoid) => "binary_crossentropy",
            Some(Activation::Softmax) if has_axis && head.width() > 1 => "categorical_crossentropy",
            Some(Activation::Softmax) => "sparse_categorical_crossentropy",
            _ => "mse",
        }
    }

    /// The metric that goes with a guessed loss.
    pub fn guess_metric(loss: &str) -> &'static str {
        if loss.ends_with("crossentropy") { "accuracy" } else { "mae" }
    }

    /// The figures that an epoch will have, and which way each is better.
    pub(super) fn figures(&self, targets: &[usize], widths: &[usize]) -> Vec<KnownFigure> {
        let mut known = vec![("loss".to_string(), Some(false))];
        for NamedMetric { name, metric, .. } in self.named_metrics(targets, widths) {
            let highest = metric.direction().map(|direction| direction == Direction::Up);
            known.push((name, highest));
        }
        known.extend(self.loss_names().into_iter().map(|(_, name)| (name, Some(false))));
        known
    }

    /// Whether the figures of batches without masks and weights are means over their rows.
    pub(super) fn is_mean_over_rows(&self) -> bool {
        // Of several outputs each batch's own losses count alike.
        self.loss_names().is_empty()
            && self.outputs.iter().filter_map(|output| output.loss.as_ref()).all(Loss::is_mean_over_rows)
    }

    /// Whether all losses are cross-entropies, each a mean that counts once.
    pub(super) fn is_plainly_of_classes(&self) -> bool {
        self.outputs.iter().all(|output| {
            let is_mean = |loss: &Loss| loss.name().ends_with("crossentropy") && loss.is_mean();
            output.loss_weight <= 1.0 && output.loss.as_ref().is_none_or(is_mean)
        })
    }

    /// The losses of several outputs by the names that Keras gives their figures; nothing for one output.
    pub(super) fn loss_names(&self) -> Vec<(usize, String)> {
        let with_loss: Vec<_> =
            self.outputs.iter().enumerate().filter(|(_, output)| output.loss.is_some()).collect();
        match with_loss.len() {
            0 | 1 => vec![],
            _ => with_loss.into_iter().map(|(at, output)| (at, format!("{}_loss", output.name))).collect(),
        }
    }

    /// Refuses metrics whose figures would have the name of another figure.
    fn check_names(&self) -> Result<()> {
        let losses: Vec<String> = self.loss_names().into_iter().map(|(_, name)| name).collect();
        let metrics =
            self.outputs.iter().flat_map(|output| output.metrics.iter().chain(&output.weighted_metrics));
        for name in metrics.map(MetricConfig::name) {
            let is_taken = matches!(name.as_str(), "" | "loss" | "learning_rate" | "epoch" | "seconds")
                || losses.contains(&name)
                || ["val_", "test_"].iter().any(|prefix| name.starts_with(prefix))
                || name.contains([',', '"', '\n', '\r']);
            if is_taken {
                let what =
                    format!("`{name}` is or may be the name of another figure; give the metric another name");
                return Err(Error::argument("metrics", what));
            }
        }
        Ok(())
    }

    /// Every metric, resolved for its output, by the name that Keras gives its figure: metrics first, then weighted ones.
    pub(super) fn named_metrics(&self, targets: &[usize], widths: &[usize]) -> Vec<NamedMetric> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut named = vec![];
        for weighted in [false, true] {
            for (at, output) in self.outputs.iter().enumerate() {
                let prefix = if self.outputs.len() > 1 { format!("{}_", output.name) } else { String::new() };
                let metrics = if weighted { &output.weighted_metrics } else { &output.metrics };
                for metric in metrics {
                    let own = metric.name();
                    let metric = metric.resolve(widths[at], targets[at]);
                    let mut name = format!("{prefix}{own}");
                    if weighted && counts.contains_key(&name) {
                        name = format!("{prefix}weighted_{own}");
                    }
                    let count = counts.entry(name.clone()).or_default();
                    if *count > 0 {
                        name = format!("{name}_{count}");
                    }
                    *count += 1;
                    named.push(NamedMetric { name, output: at, weighted, metric });
                }
            }
        }
        named
    }

    /// Checks that the targets are what the losses take, row by row; `of` says whose they are: `training`, `validation`.
    ///
    /// # Errors
    /// [`Error::Data`] with the array and the row.
    pub fn check_targets(&self, of: &str, examples: &Examples, heads: &[Head]) -> Result<()> {
        let targets = examples.targets();
        if targets.len() != self.outputs.len() {
            let (given, needed) = (targets.len(), self.outputs.len());
            let what = format!("{given} arrays of targets ({of}) for {needed} outputs; give y0, y1, … or y");
            return Err(Error::Data(what));
        }
        for (at, ((output, array), head)) in self.outputs.iter().zip(targets).zip(heads).enumerate() {
            let name = if targets.len() == 1 { "y".to_string() } else { format!("y{at}") };
            let Some(loss) = &output.loss else { continue };
            check_shape(&name, loss, array, head)?;
            let checked = array.try_for_each_part(|first, values| {
                loss.check_targets(values, head.width()).map_err(|(place, what)| (first + place, what))
            });
            if let Err((place, what)) = checked {
                let row = place / array.row_shape().iter().product::<usize>().max(1);
                return Err(Error::Data(format!("{name} ({of}), row {row} counted from 0: {what}")));
            }
        }
        Ok(())
    }
}

impl Objective {
    /// Refuses training targets that nothing can be learnt from: classes of which there is one.
    ///
    /// # Errors
    /// [`Error::Data`] with the array.
    pub(super) fn check_learnable(&self, examples: &Examples) -> Result<()> {
        let several = examples.targets().len() > 1;
        for (at, (output, array)) in self.outputs.iter().zip(examples.targets()).enumerate() {
            let is_of_classes =
                output.loss.as_ref().is_some_and(|loss| loss.name().ends_with("crossentropy"));
            if !is_of_classes || array.rows() < 2 {
                continue;
            }
            let mut label = None;
            let same = array.try_for_each_part(|_, values| {
                let first = *label.get_or_insert(values.first().copied().unwrap_or(f32::NAN));
                if values.iter().all(|value| *value == first) { Ok(()) } else { Err(()) }
            });
            if let (Some(first), Ok(())) = (label, same) {
                let of = if several { format!(" of y{at}") } else { String::new() };
                let what = format!(
                    "all {} training rows{of} have label {first}; two classes are needed",
                    array.rows()
                );
                return Err(Error::Data(what));
            }
        }
        Ok(())
    }
}

/// Whether targets have the axes that a loss takes; one of length 1 may be missing at the end, or be there once too often.
fn check_shape(name: &str, loss: &Loss, array: &Array, head: &Head) -> Result<()> {
    let open = |axis: &Option<usize>| axis.unwrap_or(0);
    let output: Vec<usize> = head.shape.iter().map(open).collect();
    let mut needed = loss.target_shape(&output);
    let mut found = [&[0], array.row_shape()].concat();
    for shape in [&mut needed, &mut found] {
        if shape.len() > 1 && shape.last() == Some(&1) {
            shape.pop();
        }
    }
    let fits = needed.len() == found.len()
        && needed.iter().zip(&found).skip(1).all(|(needed, found)| *needed == 0 || needed == found);
    if fits {
        return Ok(());
    }
    let words = |shape: &[usize]| {
        let axes = shape.iter().skip(1).map(|&axis| if axis == 0 { "any".into() } else { axis.to_string() });
        std::iter::once("rows".to_string()).chain(axes).collect::<Vec<_>>().join(", ")
    };
    let what = format!(
        "{name} has shape ({}), and the loss of output `{}` takes ({})",
        words(&[&[0], array.row_shape()].concat()),
        head.name,
        words(&loss.target_shape(&output))
    );
    Err(Error::Data(what))
}

fn read<T: serde::de::DeserializeOwned>(field: &str, value: &Value) -> Result<T> {
    json::from_value(value).map_err(|wrong| {
        let what = wrong.to_string();
        Error::argument(field, what.strip_prefix("metrics: ").unwrap_or(&what))
    })
}

/// A metric, or a list of metrics.
fn list(field: &str, value: Option<&Value>) -> Result<Vec<MetricConfig>> {
    match value {
        None | Some(Value::Null) => Ok(vec![]),
        Some(Value::Array(values)) => {
            values.iter().filter(|value| !value.is_null()).map(|value| read(field, value)).collect()
        }
        Some(value) => Ok(vec![read(field, value)?]),
    }
}

/// What each output is given: `is_list` where one output takes a list.
fn per_output(field: &str, value: &Value, heads: &[Head], is_list: bool) -> Result<Vec<Option<Value>>> {
    let count = heads.len();
    let wrong = |what: String| Err(Error::argument(field, what));
    let given = |value: &Value| Some(value.clone()).filter(|value| !value.is_null());
    match value {
        Value::Null => Ok(vec![None; count]),
        Value::Array(values) if is_list && values.is_empty() => Ok(vec![None; count]),
        // A class with its arguments is an object too.
        Value::Object(named) if !named.contains_key("class_name") => {
            let names: Vec<&str> = heads.iter().map(|head| head.name.as_str()).collect();
            if let Some(unknown) = named.keys().find(|name| !names.contains(&name.as_str())) {
                let hint = match nearest(unknown, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the outputs are {}", names.join(", ")),
                };
                return wrong(format!("the model has no output `{unknown}`; {hint}"));
            }
            Ok(names.iter().map(|name| named.get(*name).and_then(given)).collect())
        }
        Value::Array(values) if !is_list || count > 1 => {
            if values.len() != count {
                return wrong(format!("a list of {} for {count} outputs; give as many", values.len()));
            }
            Ok(values.iter().map(given).collect())
        }
        // What several outputs would be given.
        Value::Array(values) if values.iter().any(Value::is_array) => match values.as_slice() {
            [own] => Ok(vec![given(own)]),
            several => wrong(format!(
                "lists for {} outputs, and the model has one; separate by commas",
                several.len()
            )),
        },
        // Metrics of several outputs are given output by output.
        _ if is_list && count > 1 => {
            wrong(format!("the model has {count} outputs; give a list for each, or an object by their names"))
        }
        value => Ok(vec![given(value); count]),
    }
}

//! What holds for a layer's variables in training: whether they are trained, what they add to the loss, what is done to
//! them after each step. Any layer can have these arguments, so they are read and carried beside its own.

use super::constraint::Constraint;
use super::initializer::Variable;
use super::regularizer::Regularizer;
use super::shape::Checked;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Keras's names of regularisers and constraints, without their ending, and the variable that each is of.
const VARIABLES: [(&str, &str); 9] = [
    ("kernel", "kernel"),
    ("recurrent", "recurrent_kernel"),
    ("bias", "bias"),
    ("embeddings", "embeddings"),
    ("gamma", "gamma"),
    ("beta", "beta"),
    ("alpha", "alpha"),
    ("depthwise", "depthwise_kernel"),
    ("pointwise", "pointwise_kernel"),
];
/// Of the variables that a layer may lack, depending on its other arguments.
const OPTIONAL: [&str; 3] = ["bias", "gamma", "beta"];

/// The arguments of training that every layer has.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingRules {
    /// Whether its variables are trained. Those of a frozen layer stay as they are, and a BatchNormalization within goes
    /// by its moving statistics.
    pub trainable: bool,
    /// `kernel_regularizer` and so on, by the name without its ending.
    pub regularizers: BTreeMap<String, Regularizer>,
    /// `kernel_constraint` and so on, by the name without its ending.
    pub constraints: BTreeMap<String, Constraint>,
    /// What the outputs add to the loss, divided by the number of samples.
    pub activity_regularizer: Option<Regularizer>,
}

impl Default for TrainingRules {
    fn default() -> Self {
        Self {
            trainable: true,
            regularizers: BTreeMap::new(),
            constraints: BTreeMap::new(),
            activity_regularizer: None,
        }
    }
}

impl TrainingRules {
    /// Takes the arguments of training out of a layer's.
    ///
    /// # Errors
    /// The argument that is not understood.
    pub(super) fn take(arguments: &mut Map<String, Value>) -> Checked<Self> {
        let mut rules = Self::default();
        let is_rule = |key: &String| key.ends_with("_regularizer") || key.ends_with("_constraint");
        let keys: Vec<String> = arguments.keys().filter(|key| is_rule(key)).cloned().collect();
        for key in keys {
            let value = arguments.shift_remove(&key).unwrap_or_default();
            if !value.is_null() {
                rules.put(&key, &value).map_err(|what| format!("`{key}`: {what}"))?;
            }
        }
        match arguments.shift_remove("trainable") {
            None => {}
            Some(Value::Bool(trainable)) => rules.trainable = trainable,
            Some(other) => return Err(format!("`trainable` is {other}, expected true or false")),
        }
        Ok(rules)
    }

    fn put(&mut self, key: &str, value: &Value) -> Checked<()> {
        if key == "activity_regularizer" {
            self.activity_regularizer = Some(regularizer(value)?);
            return Ok(());
        }
        let known = |stem: &str| VARIABLES.iter().any(|(name, _)| *name == stem);
        let unknown =
            || format!("no such argument; known are those of {}", VARIABLES.map(|it| it.0).join(", "));
        if let Some(stem) = key.strip_suffix("_regularizer") {
            let stem = Some(stem).filter(|stem| known(stem)).ok_or_else(unknown)?;
            self.regularizers.insert(stem.into(), regularizer(value)?);
        } else if let Some(stem) = key.strip_suffix("_constraint") {
            let stem = Some(stem).filter(|stem| known(stem)).ok_or_else(unknown)?;
            let constraint = crate::json::from_value(value).map_err(|wrong| wrong.to_string())?;
            self.constraints.insert(stem.into(), constraint);
        }
        Ok(())
    }

    /// Puts them among a layer's arguments; those that are Keras's defaults are left out.
    pub(super) fn put_into(&self, arguments: &mut Map<String, Value>) {
        if !self.trainable {
            arguments.insert("trainable".into(), false.into());
        }
        // Plain data: nothing in it can fail.
        for (stem, regularizer) in &self.regularizers {
            let value = serde_json::to_value(regularizer).unwrap_or_default();
            arguments.insert(format!("{stem}_regularizer"), value);
        }
        for (stem, constraint) in &self.constraints {
            let value = serde_json::to_value(constraint).unwrap_or_default();
            arguments.insert(format!("{stem}_constraint"), value);
        }
        if let Some(regularizer) = &self.activity_regularizer {
            let value = serde_json::to_value(regularizer).unwrap_or_default();
            arguments.insert("activity_regularizer".into(), value);
        }
    }

    /// Marks a layer's variables with the rules.
    ///
    /// # Errors
    /// A rule of a variable that the layer cannot have.
    pub(super) fn mark(&self, variables: &mut [Variable]) -> Checked<()> {
        // A DepthwiseConv's only kernel is plain `kernel`, and its arguments are of the `depthwise` one.
        let has_depthwise = variables.iter().any(|it| it.name.ends_with("depthwise_kernel"));
        let variable = |stem: &str| match stem {
            "depthwise" if !has_depthwise => "kernel",
            stem => VARIABLES.iter().find(|(name, _)| *name == stem).map_or("", |it| it.1),
        };
        let own = |name: &str, of: &str| name.rsplit('.').next() == Some(of);
        for (stem, regularizer) in &self.regularizers {
            let fail = |what: String| format!("`{stem}_regularizer`: {what}");
            regularizer.check().map_err(fail)?;
            let mut count = 0;
            for of in variables.iter_mut().filter(|it| own(&it.name, variable(stem))) {
                if matches!(regularizer, Regularizer::OrthogonalRegularizer { .. }) && of.shape.len() != 2 {
                    let what = format!("an OrthogonalRegularizer is for a matrix, not for {:?}", of.shape);
                    return Err(fail(what));
                }
                of.regularizer = Some(*regularizer);
                count += 1;
            }
            if count == 0 && !OPTIONAL.contains(&stem.as_str()) {
                return Err(fail("the layer has no such variable".into()));
            }
        }
        for (stem, constraint) in &self.constraints {
            let fail = |what: String| format!("`{stem}_constraint`: {what}");
            let mut count = 0;
            for of in variables.iter_mut().filter(|it| own(&it.name, variable(stem))) {
                constraint.check(&of.shape).map_err(fail)?;
                of.constraint = Some(constraint.clone());
                count += 1;
            }
            if count == 0 && !OPTIONAL.contains(&stem.as_str()) {
                return Err(fail("the layer has no such variable".into()));
            }
        }
        if let Some(regularizer) = &self.activity_regularizer {
            regularizer.check().map_err(|what| format!("`activity_regularizer`: {what}"))?;
        }
        if !self.trainable {
            variables.iter_mut().for_each(|variable| {
                variable.trainable = false;
                variable.frozen = true;
            });
        }
        Ok(())
    }
}

/// A regulariser, or the name of one, which then has Keras's default.
fn regularizer(value: &Value) -> Checked<Regularizer> {
    match value.as_str() {
        Some("l1" | "L1") => Ok(Regularizer::L1 { l1: 0.01 }),
        Some("l2" | "L2") => Ok(Regularizer::L2 { l2: 0.01 }),
        Some(other) => {
            Err(format!("`{other}` is unknown; known are l1 and l2, or an object of class_name and config"))
        }
        None => crate::json::from_value(value).map_err(|wrong| wrong.to_string()),
    }
}

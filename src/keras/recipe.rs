//! Between what a file of Keras's says of training and a recipe of this crate.

use super::training::{OptimizerState, Training};
use crate::checkpoint::Recipe;
use crate::train::{Compile, Head, Objective, OptimizerConfig};
use crate::{Error, Result, json};
use candle_core::{DType, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;

impl Training {
    /// Puts optimiser, loss and metrics into the recipe of a model with these outputs. What cannot be taken over stays as the
    /// recipe has it, and is said, a sentence each.
    pub fn put_into(&self, recipe: &mut Recipe, heads: &[Head]) -> Vec<String> {
        let mut left = self.unknown.clone();
        if let Some(optimizer) = &self.optimizer {
            match json::from_value::<OptimizerConfig>(optimizer) {
                Ok(mut optimizer) => {
                    if let Some(rate) = self.state.get("learning_rate").and_then(number) {
                        optimizer.learning_rate = rate.into();
                    }
                    recipe.optimizer = optimizer;
                }
                Err(wrong) => left.push(format!("its optimizer is not taken over: {wrong}")),
            }
        }
        if self.loss.is_null() {
            return left;
        }
        let Self { loss, loss_weights, metrics, weighted_metrics, .. } = self.clone();
        let mut compile = Compile { loss, loss_weights, metrics, weighted_metrics };
        let mut checked = Objective::of_compile(&compile, heads);
        if let (Err(error), false) =
            (&checked, compile.metrics.is_null() && compile.weighted_metrics.is_null())
        {
            let what = format!("its metrics are not taken over: {error}");
            (compile.metrics, compile.weighted_metrics) = (Value::Null, Value::Null);
            checked = Objective::of_compile(&compile, heads);
            left.extend(checked.is_ok().then_some(what));
        }
        match checked {
            Ok(_) => {
                recipe.loss = compile.loss;
                recipe.loss_weights = compile.loss_weights;
                recipe.metrics = compile.metrics;
                recipe.weighted_metrics = compile.weighted_metrics;
            }
            Err(error) => left.push(format!("its loss is not taken over: {error}")),
        }
        left
    }

    /// What a recipe says, for a file of Keras's that goes on from there; with the optimiser's state by name
    /// ([`Optimizer::state`](crate::train::Optimizer::state)), where there is one. A loss that Keras does not have is left out.
    ///
    /// # Errors
    /// Candle's own.
    pub fn of(recipe: &Recipe, state: Option<&BTreeMap<String, Tensor>>) -> Result<Self> {
        let wrong = |error: serde_json::Error| Error::argument("optimizer", error);
        let mut own = OptimizerState::default();
        for (name, value) in state.into_iter().flatten() {
            match name.as_str() {
                "iterations" => own.iterations = number(value).map(|steps| steps as u64),
                _ => own.variables.push((name.clone(), value.clone())),
            }
        }
        let (optimizer, state) = (serde_json::to_value(&recipe.optimizer).map_err(wrong)?, own);
        if recipe.loss.to_string().to_lowercase().contains("pinball") {
            let unknown = vec!["the loss `pinball` is left out: Keras has none such".to_string()];
            return Ok(Self { optimizer: Some(optimizer), state, unknown, ..Self::default() });
        }
        Ok(Self {
            optimizer: Some(optimizer),
            loss: recipe.loss.clone(),
            loss_weights: recipe.loss_weights.clone(),
            metrics: recipe.metrics.clone(),
            weighted_metrics: recipe.weighted_metrics.clone(),
            state,
            ..Self::default()
        })
    }
}

impl OptimizerState {
    /// The state as [`Optimizer::load_state`](crate::train::Optimizer::load_state) takes it; nothing where there is none.
    ///
    /// # Errors
    /// Candle's own.
    pub fn by_name(&self) -> Result<Option<BTreeMap<String, Tensor>>> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut state: BTreeMap<String, Tensor> = self.variables.iter().cloned().collect();
        let steps = i64::try_from(self.iterations.unwrap_or(0)).unwrap_or(i64::MAX);
        state.insert("iterations".into(), Tensor::new(steps, &candle_core::Device::Cpu)?);
        Ok(Some(state))
    }
}

fn number(tensor: &Tensor) -> Option<f64> {
    tensor.flatten_all().ok()?.to_dtype(DType::F64).ok()?.to_vec1::<f64>().ok()?.first().copied()
}

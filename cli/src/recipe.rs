//! The options that change a recipe: loss, optimiser, metrics, callbacks, in Keras's words.

use super::{values, words};
use anyhow::Context;
use candle_recurrent::checkpoint::Recipe;
use candle_recurrent::train::{CallbackConfig, OptimizerConfig};
use serde_json::{Value, json};

/// How a model is trained, where its own recipe is to be changed.
#[derive(clap::Args)]
pub(super) struct RecipeArgs {
    /// The most epochs [default: the recipe's, 100 in the zoo]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    pub(super) epochs: Option<usize>,
    /// Rows a step [default: the recipe's, 64 in the zoo]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    batch_size: Option<usize>,
    /// The loss in Keras's words: mse, huber(delta=2), sparse_categorical_crossentropy; of several outputs separated by
    /// commas [default: the recipe's, else by the last activation and the labels]
    #[arg(long, value_name = "LOSS", value_parser = words::class_per_output)]
    loss: Option<Value>,
    /// What the outputs' losses are multiplied by, separated by commas
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', allow_negative_numbers = true)]
    loss_weights: Vec<f64>,
    /// The metrics, separated by commas: accuracy,auc(curve=PR); of several outputs separated by semicolons [default:
    /// the recipe's, else accuracy or mae]
    #[arg(long, value_name = "METRICS", value_parser = words::classes)]
    metrics: Option<Value>,
    /// The metrics that sample weights matter to, likewise
    #[arg(long, value_name = "METRICS", value_parser = words::classes)]
    weighted_metrics: Option<Value>,
    /// The optimiser: adam, sgd(momentum=0.9, nesterov=true), or Keras's JSON [default: the recipe's, rmsprop in the zoo]
    #[arg(long, value_name = "OPTIMIZER", value_parser = words::class)]
    optimizer: Option<Value>,
    /// The optimiser's step size [default: the recipe's, 0.0001 in the zoo]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, value_parser = values::rate)]
    learning_rate: Option<f64>,
    /// A learning rate that changes with the steps: cosine_decay(initial_learning_rate=0.001, decay_steps=1000)
    #[arg(long, value_name = "SCHEDULE", conflicts_with = "learning_rate", value_parser = words::class)]
    learning_rate_schedule: Option<Value>,
    /// Reduce the learning rate where the validation loss stands still: factor=0.5,patience=2 (ReduceLROnPlateau)
    #[arg(long, value_name = "ARGUMENTS", num_args = 0..=1, default_missing_value = "", value_parser = words::arguments)]
    reduce_lr: Option<Value>,
    /// Epochs without a better figure (see --monitor) before training stops [default: the recipe's, 3 in the zoo]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::whole)]
    patience: Option<usize>,
    /// The figure by which training stops and the best epoch is kept: val_loss, val_accuracy, … [default: the recipe's,
    /// val_loss in the zoo]
    #[arg(long, value_name = "FIGURE")]
    monitor: Option<String>,
    /// How much the rows of a class count: 0=1,1=5
    #[arg(long, value_name = "CLASS=WEIGHT", value_parser = words::class_weight)]
    class_weight: Option<std::vec::Vec<(u32, f64)>>,
}

impl RecipeArgs {
    /// Changes a recipe's loss and metrics.
    pub(super) fn apply_objective(&self, recipe: &mut Recipe) {
        if let Some(loss) = &self.loss {
            recipe.set_loss(loss.clone());
        }
        if let Some(metrics) = &self.metrics {
            recipe.metrics = metrics.clone();
        }
    }

    /// Changes a recipe.
    pub(super) fn apply(&self, recipe: &mut Recipe) -> anyhow::Result<()> {
        recipe.epochs = self.epochs.unwrap_or(recipe.epochs);
        recipe.batch_size = self.batch_size.unwrap_or(recipe.batch_size);
        self.apply_objective(recipe);
        if let Some(weight) = self.loss_weights.iter().find(|weight| !weight.is_finite()) {
            anyhow::bail!("--loss-weights: {weight}, expected finite numbers");
        }
        if !self.loss_weights.is_empty() {
            recipe.loss_weights = json!(self.loss_weights);
        }
        if let Some(metrics) = &self.weighted_metrics {
            recipe.weighted_metrics = metrics.clone();
        }
        if let Some(optimizer) = &self.optimizer {
            recipe.optimizer = read::<OptimizerConfig>("--optimizer", optimizer)?;
        }
        if let Some(rate) = self.learning_rate {
            recipe.optimizer.learning_rate = rate.into();
        }
        if let Some(schedule) = &self.learning_rate_schedule {
            recipe.optimizer.learning_rate = read("--learning-rate-schedule", schedule)?;
        }
        if let Some(patience) = self.patience {
            recipe.set_patience(patience);
        }
        if let Some(monitor) = &self.monitor {
            recipe.set_monitor(monitor);
        }
        if let Some(arguments) = &self.reduce_lr {
            let mut arguments = arguments.clone();
            if let (Some(monitor), Some(own)) = (&self.monitor, arguments.as_object_mut()) {
                own.entry("monitor").or_insert_with(|| monitor.as_str().into());
            }
            let config = json!({ "class_name": "ReduceLROnPlateau", "config": arguments });
            recipe.callbacks.retain(|callback| !matches!(callback, CallbackConfig::ReduceLROnPlateau(_)));
            recipe.callbacks.push(read("--reduce-lr", &config)?);
        }
        if let Some(weights) = &self.class_weight {
            recipe.class_weight = weights.iter().copied().collect();
        }
        Ok(())
    }
}

fn read<T: serde::de::DeserializeOwned>(option: &str, value: &Value) -> anyhow::Result<T> {
    candle_recurrent::checkpoint::from_value(value).with_context(|| option.to_string())
}

//! A model with all that its training needs.

use super::evaluate::{Evaluation, check_batches, evaluate};
use super::fit::{FitConfig, Outcome, Training, fit_from};
use super::objective::{Head, Objective, heads};
use super::observer::{Observer, Silent};
use super::optimizers::{Optimizer, OptimizerConfig};
use super::state::RunState;
use crate::Result;
use crate::data::Examples;
use crate::layers::ModelConfig;
use crate::model::{Model, Weights};
use candle_core::{Device, Var};

/// A model in training, its optimiser, and what it is to reach. It changes the [`Weights`] that it was given.
pub struct Trainer {
    tracked: Model,
    /// The same over detached tensors: no graph is kept of what it computes.
    model: Model,
    optimizer: Optimizer,
    objective: Objective,
    heads: Vec<Head>,
    device: Device,
}

impl Trainer {
    /// A trainer of the model `config` with these weights.
    ///
    /// # Errors
    /// If the weights are not the model's, an option is out of range, or the objective does not fit the outputs.
    pub fn new(
        config: &ModelConfig,
        weights: &Weights,
        optimizer: impl Into<OptimizerConfig>,
        objective: Objective,
    ) -> Result<Self> {
        let heads = heads(config)?;
        objective.check(&heads)?;
        let variables: Vec<(String, Var)> =
            weights.trainable().map(|(name, var)| (name.to_string(), var.clone())).collect();
        let device = variables.first().map_or(Device::Cpu, |(_, var)| var.device().clone());
        let tracked = Model::new(config, weights.var_builder())?;
        // Layers that carry states are to carry the same in validation.
        let model = match config.is_stateful() {
            true => tracked.clone(),
            false => Model::new(config, weights.detached())?,
        };
        let optimizer = Optimizer::new(variables, optimizer)?;
        Ok(Self { tracked, model, optimizer, objective, heads, device })
    }

    /// Trains: see [`fit`](super::fit()).
    ///
    /// # Errors
    /// As [`fit`](super::fit()), and for targets that the losses do not take.
    pub fn fit(
        &mut self,
        train: &Examples,
        validation: Option<&Examples>,
        config: &FitConfig,
    ) -> Result<Outcome> {
        self.fit_watched(train, validation, config, &mut Silent)
    }

    /// As [`fit`](Self::fit), with an observer that watches the run and can end it.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_watched(
        &mut self,
        train: &Examples,
        validation: Option<&Examples>,
        config: &FitConfig,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        self.fit_from(None, train, validation, config, observer)
    }

    /// As [`fit_watched`](Self::fit_watched), from where a run of the same configuration on the same data stood.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and a state of another model or run.
    pub fn fit_from(
        &mut self,
        state: Option<RunState>,
        train: &Examples,
        validation: Option<&Examples>,
        config: &FitConfig,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        self.objective.check_targets("training", train, &self.heads)?;
        self.objective.check_learnable(train)?;
        if let Some(validation) = validation {
            self.objective.check_targets("validation", validation, &self.heads)?;
        }
        let training = Training {
            model: &self.tracked,
            detached: &self.model,
            optimizer: &mut self.optimizer,
            objective: &self.objective,
        };
        fit_from(training, state, train, validation, config, observer)
    }

    /// Checks that data can be measured in batches of this size; `of` says whose they are: `test`.
    ///
    /// # Errors
    /// For targets that the losses do not take, and rows that make no whole batches of a stateful model.
    pub fn check(&self, of: &str, examples: &Examples, batch_size: usize) -> Result<()> {
        check_batches(&self.model, of, examples, batch_size)?;
        self.objective.check_targets(of, examples, &self.heads)
    }

    /// Loss and metrics on data; `batch_size` is Keras's (see [`evaluate`](super::evaluate())).
    ///
    /// # Errors
    /// As [`evaluate`](super::evaluate()), and for targets that the losses do not take.
    pub fn evaluate(&self, examples: &Examples, batch_size: usize) -> Result<Evaluation> {
        self.check("test", examples, batch_size)?;
        evaluate(&self.model, &self.objective, examples, batch_size, &self.device)
    }

    /// The model with the weights as they are now, for prediction.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What it is to reach.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// The optimiser, with its state.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// The same, to change: its learning rate, or the state that it goes on from.
    pub fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }
}

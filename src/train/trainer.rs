//! A model with all that its training needs.

use super::fit::{Evaluation, FitConfig, Observer, Outcome, Silent, evaluate, fit};
use super::optimizers::{Optimizer, RmsProp, RmsPropConfig};
use crate::data::Dataset;
use crate::layers::ModelConfig;
use crate::model::{Model, Weights};
use crate::{Error, Result};
use candle_core::{Device, Var};

/// Rows a step of evaluation.
const EVALUATION_BATCH: usize = 1024;

/// A model in training, and its optimiser. It changes the [`Weights`] that it was given.
pub struct Trainer<O = RmsProp> {
    tracked: Model,
    /// The same over detached tensors: no graph is kept of what it computes.
    model: Model,
    optimizer: O,
    device: Device,
}

impl Trainer {
    /// A trainer of the model `config` with these weights, by RMSprop.
    ///
    /// # Errors
    /// If the weights are not the model's, an option is out of range, or a layer is stateful.
    pub fn new(config: &ModelConfig, weights: &Weights, optimizer: RmsPropConfig) -> Result<Self> {
        Self::with(config, weights, |variables| RmsProp::named(variables, optimizer))
    }
}

impl<O: Optimizer> Trainer<O> {
    /// The same by any optimiser, made of the variables that are trained, by full name.
    ///
    /// # Errors
    /// As [`new`](Trainer::new).
    pub fn with(
        config: &ModelConfig,
        weights: &Weights,
        optimizer: impl FnOnce(Vec<(String, Var)>) -> Result<O>,
    ) -> Result<Self> {
        if config.is_stateful() {
            let what = "a stateful layer carries its state from one batch to the next, and batches of training are of \
                        separate samples; set stateful to false";
            return Err(Error::argument("config", what));
        }
        let variables: Vec<_> =
            weights.trainable().map(|(name, var)| (name.to_string(), var.clone())).collect();
        let device = variables.first().map_or(Device::Cpu, |(_, var)| var.device().clone());
        Ok(Self {
            tracked: Model::new(config, weights.var_builder())?,
            model: Model::new(config, weights.detached())?,
            optimizer: optimizer(variables)?,
            device,
        })
    }

    /// Trains: see [`fit`].
    ///
    /// # Errors
    /// As [`fit`].
    pub fn fit(&mut self, train: &Dataset, validation: &Dataset, config: &FitConfig) -> Result<Outcome> {
        self.fit_watched(train, validation, config, &mut Silent)
    }

    /// As [`fit`](Self::fit), with an observer that watches the run and can end it.
    ///
    /// # Errors
    /// As [`fit`].
    pub fn fit_watched(
        &mut self,
        train: &Dataset,
        validation: &Dataset,
        config: &FitConfig,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        fit(&self.tracked, &self.model, &mut self.optimizer, train, validation, config, observer)
    }

    /// Loss and accuracy on a data set.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn evaluate(&self, dataset: &Dataset) -> Result<Evaluation> {
        evaluate(&self.model, dataset, EVALUATION_BATCH, &self.device)
    }

    /// The model with the weights as they are now, for prediction.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The optimiser, with its state.
    pub fn optimizer(&self) -> &O {
        &self.optimizer
    }

    /// The same, to change: its learning rate, or the state that it goes on from.
    pub fn optimizer_mut(&mut self) -> &mut O {
        &mut self.optimizer
    }
}

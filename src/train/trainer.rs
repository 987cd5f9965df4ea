//! A model with all that its training needs.

use super::fit::{Evaluation, FitConfig, Observer, Outcome, Silent, evaluate, fit};
use super::optimizers::{RmsProp, RmsPropConfig};
use crate::Result;
use crate::data::Dataset;
use crate::layers::ModelConfig;
use crate::model::{Model, Weights};
use candle_core::Device;

/// Rows a step of evaluation.
const EVALUATION_BATCH: usize = 1024;

/// A model in training. It changes the [`Weights`] that it was given.
pub struct Trainer {
    tracked: Model,
    /// The same over detached tensors: no graph is kept of what it computes.
    model: Model,
    optimizer: RmsProp,
    device: Device,
}

impl Trainer {
    /// A trainer of the model `config` with these weights.
    ///
    /// # Errors
    /// If the weights are not the model's, or an option is out of range.
    pub fn new(config: &ModelConfig, weights: &Weights, optimizer: RmsPropConfig) -> Result<Self> {
        let variables: Vec<_> =
            weights.trainable().map(|(name, var)| (name.to_string(), var.clone())).collect();
        let device = variables.first().map_or(Device::Cpu, |(_, var)| var.device().clone());
        Ok(Self {
            tracked: Model::new(config, weights.var_builder())?,
            model: Model::new(config, weights.detached())?,
            optimizer: RmsProp::named(variables, optimizer)?,
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

    /// The optimiser.
    pub fn optimizer(&self) -> &RmsProp {
        &self.optimizer
    }
}

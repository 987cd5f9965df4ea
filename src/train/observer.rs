//! Watching a run.

use super::history::{Epoch, History};
use super::meters::Meters;
use super::optimizers::Optimizer;
use super::state::{RunState, Snapshot};
use crate::{Error, Result};
use std::ops::ControlFlow;

/// Where an epoch stands after a batch.
pub struct Step<'a> {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Batches done in this epoch.
    pub batch: usize,
    /// Batches in this epoch.
    pub batches: usize,
    /// The figures of the epoch so far.
    pub meters: &'a Meters,
}

/// Watches a run: shows it, saves from it, ends it. Every method does nothing unless written.
///
/// An error from a method ends the run with that error; `ControlFlow::Break` ends it in good order, as for Ctrl-C.
pub trait Observer {
    /// Before an epoch's first batch: the epoch (from 1), the most epochs there can be, the batches in each.
    ///
    /// # Errors
    /// The observer's own.
    fn on_epoch_begin(&mut self, _epoch: usize, _epochs: usize, _batches: usize) -> Result<()> {
        Ok(())
    }

    /// After every step. On `Break` this epoch is given up and leaves no line in the history.
    ///
    /// # Errors
    /// The observer's own.
    fn on_step(&mut self, _step: &Step) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// After validation, with the epochs so far, the last one new.
    ///
    /// # Errors
    /// The observer's own.
    fn on_epoch(&mut self, _history: &History) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// Whether [`on_state`](Self::on_state) is to be called: asked before the first step, after every step, and after every
    /// epoch when its best weights are written.
    fn wants_state(&mut self, _epoch_is_done: bool) -> bool {
        false
    }

    /// Whether the run is to end in good order: asked while a validation runs. What was measured by then is given up; the run
    /// goes on with a validation from its beginning.
    fn is_interrupted(&mut self) -> bool {
        false
    }

    /// Where the run stands: [`fit_from`](super::fit_from) goes on from it.
    ///
    /// # Errors
    /// The observer's own.
    fn on_state(&mut self, _state: RunState) -> Result<()> {
        Ok(())
    }

    /// Where the run goes back to the end of the epoch before, for the reason given, with this learning rate.
    ///
    /// # Errors
    /// The observer's own.
    fn on_rollback(&mut self, _reason: &Error, _learning_rate: f64) -> Result<()> {
        Ok(())
    }

    /// After [`Self::on_epoch`] where a [`ModelCheckpoint`](super::ModelCheckpoint) keeps the epoch: here the weights are
    /// written, and the optimiser's state where it is wanted.
    ///
    /// # Errors
    /// The observer's own.
    fn on_best(&mut self, _epoch: &Epoch, _weights: &Snapshot, _optimizer: &Optimizer) -> Result<()> {
        Ok(())
    }
}

/// An observer that does nothing.
pub struct Silent;

impl Observer for Silent {}

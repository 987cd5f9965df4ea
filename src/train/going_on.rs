//! Where a run stands, taken and given: going on from a state, going back to an earlier one.

use super::fit::Run;
use super::observer::Observer;
use super::state::{RunState, Snapshot, Standing};
use super::trainable::Trainable;
use crate::{Error, Result};
use candle_core::{Tensor, Var};

/// How often a run goes back.
const ROLLBACKS: usize = 3;

impl<T: Trainable + ?Sized, F: Trainable + ?Sized> Run<'_, T, F> {
    /// Goes on from where a run stood.
    pub(super) fn resume(&mut self, mut state: RunState) -> Result<()> {
        let batches = self.train.rows().div_ceil(self.config.batch_size);
        if state.batches > batches || state.epochs != state.history.epochs.len() {
            let what = format!(
                "it stands at batch {} of epoch {}, and the data make {batches} batches an epoch; is it of another run?",
                state.batches,
                state.epochs + 1
            );
            return Err(Error::argument("state", what));
        }
        self.stand(&std::mem::take(&mut state.now))?;
        self.state = state;
        Ok(())
    }

    /// Goes back to the end of the epoch before at half the rate, or ends with the fault.
    pub(super) fn roll_back(&mut self, fault: Error, observer: &mut dyn Observer) -> Result<()> {
        let Some(before) = self.state.before.take() else { return Err(fault) };
        if self.state.rollbacks == ROLLBACKS {
            return Err(fault);
        }
        self.stand(&before)?;
        let rate = self.training.optimizer.learning_rate() / 2.0;
        self.training.optimizer.set_learning_rate(rate)?;
        self.state.rollbacks += 1;
        self.state.batches = 0;
        self.state.meters.clear();
        observer.on_rollback(&fault, rate)
    }

    /// All that steps change, copied.
    pub(super) fn standing(&self) -> Result<Standing> {
        let mut weights = self.snapshot()?;
        for (name, _) in self.training.model.frozen() {
            weights.remove(&name);
        }
        let (optimizer, carried) = (self.training.optimizer.state()?, self.training.model.carried());
        Ok(Standing { weights, optimizer, carried })
    }

    /// Stands as it stood.
    fn stand(&mut self, standing: &Standing) -> Result<()> {
        let moving = self.training.model.moving();
        let variables = self.training.optimizer.variables().iter().chain(&moving);
        for (name, var) in variables.clone() {
            let wrong = |what: String| Error::argument(name.as_str(), what);
            match standing.weights.get(name) {
                Some(value) if value.dims() == var.dims() => {}
                Some(value) => {
                    let (needed, found) = (var.dims(), value.dims());
                    return Err(wrong(format!("the state has shape {found:?}, the model's is {needed:?}")));
                }
                None => return Err(wrong("the state lacks this variable".to_string())),
            }
        }
        if let Some(name) =
            standing.weights.keys().find(|name| variables.clone().all(|(own, _)| own != *name))
        {
            return Err(Error::argument(name, "the state has this variable, and the model does not"));
        }
        self.training.optimizer.load_state(&standing.optimizer)?;
        let on_device = |states: &Vec<Tensor>| states.iter().map(|it| it.to_device(&self.device)).collect();
        let carried = standing.carried.iter().map(|layer| layer.as_ref().map(on_device).transpose());
        self.training.model.set_carried(&carried.collect::<candle_core::Result<_>>()?)?;
        self.restore(&standing.weights)
    }

    /// Hands the state to an observer that wants it.
    pub(super) fn hand_over(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let now = self.standing()?;
        observer.on_state(RunState { now, ..self.state.clone() })
    }

    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        let moving = self.training.model.moving();
        let variables = self.training.optimizer.variables().iter().chain(&moving);
        let copy =
            |(name, var): &(String, Var)| Ok((name.clone(), var.as_detached_tensor().copy()?.detach()));
        let mut snapshot = variables.map(copy).collect::<Result<Snapshot>>()?;
        snapshot.extend(self.training.model.frozen());
        Ok(snapshot)
    }

    pub(super) fn restore(&self, weights: &Snapshot) -> Result<()> {
        for (name, var) in self.training.optimizer.variables().iter().chain(&self.training.model.moving()) {
            if let Some(value) = weights.get(name) {
                var.set(&value.to_device(var.device())?)?;
            }
        }
        Ok(())
    }
}

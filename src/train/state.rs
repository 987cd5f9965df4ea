//! Where a run stands, so that it can go on from there as if it had never stopped.

use super::history::History;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Copies of a model's variables by full name.
pub type Snapshot = BTreeMap<String, Tensor>;

/// The states that a model's stateful layers carry, in the order of its layers; none where one has not run.
pub type CarriedStates = Vec<Option<Vec<Tensor>>>;

/// All that a step changes.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The variables by full name: those that the optimiser moves, and moving statistics.
    pub weights: Snapshot,
    /// The optimiser's state by variable.
    pub optimizer: BTreeMap<String, Tensor>,
    /// What stateful layers carry.
    pub carried: CarriedStates,
}

/// Where a run stands after a step or an epoch. Everything else that a run depends on follows from its configuration: orders
/// and dropout masks from the seed, the epoch and the batch, and what callbacks think from the history.
#[derive(Clone, Debug, Default)]
pub struct RunState {
    /// Epochs that are done.
    pub epochs: usize,
    /// Batches that are done of the epoch under way.
    pub batches: usize,
    /// The seconds that the epoch under way has taken.
    pub seconds: f64,
    /// The figures of the epochs that are done.
    pub history: History,
    /// The epoch that a callback kept last.
    pub kept: Option<usize>,
    /// Whether a callback has ended the run.
    pub stopped: bool,
    /// How often the run went back after a loss that was no number.
    pub rollbacks: usize,
    /// Where it stands.
    pub now: Standing,
    /// Where it stood before the epoch under way, where it may go back to that.
    pub before: Option<Standing>,
    /// The epoch that comes back at the end, with its weights.
    pub restorable: Option<(usize, Snapshot)>,
    /// What the meters of the epoch under way have gathered ([`Meters::state`](super::Meters::state)).
    pub meters: Vec<Vec<f64>>,
}

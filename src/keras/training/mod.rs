//! How a model was trained, as Keras's files say it: what its `compile` said, and the optimiser's state.

mod classes;
mod slots;

pub(super) use classes::{Kind, defaults, find, knows, name_of};
pub(super) use slots::{Slots, slots};

use candle_core::Tensor;
use serde_json::Value;

/// How a file's model was trained: what its `compile` said, in Keras 3.15's words, and the optimiser's state.
///
/// An object is `{"class_name": "Adam", "config": {…}}` with Keras 3.15's argument names, whichever Keras wrote the file.
#[derive(Clone, Debug, Default)]
pub struct Training {
    /// The optimiser with all its arguments, those that the file leaves out at Keras's defaults; `learning_rate` is a
    /// number or a schedule as an object. Where [`OptimizerState::variables`] holds a `learning_rate`, that is the one which
    /// training had come to. None where it is not known.
    pub optimizer: Option<Value>,
    /// A name, an object, a list by output or an object by output name; null where there is none or it is not known.
    pub loss: Value,
    /// A list of numbers, or an object of them by output name; null where there are none.
    pub loss_weights: Value,
    /// A list of names and objects, a list of such lists by output, or an object of them by output name; null where there
    /// are none. Those that are not known are left out.
    pub metrics: Value,
    /// As `metrics`: those that heed sample weights.
    pub weighted_metrics: Value,
    /// The optimiser's variables. Empty where the file has none, where they do not fit the model, or where they were not asked
    /// for ([`Options::state`](super::Options::state)).
    pub state: OptimizerState,
    /// What the file says or holds and is not in the other fields, a sentence each: somebody's own code, a state that does
    /// not fit. A training that goes on without is another one.
    pub unknown: Vec<String>,
    /// Where Keras 3 computes otherwise than the Keras that wrote the file, a sentence each: a training that goes on differs
    /// from its own.
    pub differs: Vec<String>,
}

/// An optimiser's variables.
#[derive(Clone, Debug, Default)]
pub struct OptimizerState {
    /// The steps so far (with `gradient_accumulation_steps` the batches), where the file says.
    pub iterations: Option<u64>,
    /// Each with its name: `lstm.kernel/momentum`, a variable of the model and what the optimiser keeps of it (`velocity`,
    /// `average`, … as in the `build` of Keras 3.15's optimisers), of the variable's shape; or a scalar of the optimiser's own
    /// (`learning_rate`, `u_product`). Those of one kind stand together, in the order of Keras's `trainable_weights`.
    pub variables: Vec<(String, Tensor)>,
}

impl OptimizerState {
    /// The variable of a name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor)
    }

    /// Whether the file held none.
    pub fn is_empty(&self) -> bool {
        self.iterations.is_none() && self.variables.is_empty()
    }
}

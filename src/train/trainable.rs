//! What can be trained: a model of this crate, or any other module.

use super::output::Output;
use super::state::CarriedStates;
use crate::Result;
use crate::layers::Mode;
use crate::model::Model;
use candle_core::{Tensor, Var};

/// What a call for a loss gives.
#[derive(Clone, Debug)]
pub struct Called {
    /// The outputs in order.
    pub outputs: Vec<Output>,
    /// What is added to the loss of the batch, a scalar: the penalties of regularisers.
    pub penalty: Option<Tensor>,
}

impl From<Tensor> for Called {
    /// One output as it is.
    fn from(values: Tensor) -> Self {
        Self { outputs: vec![Output { values, activation: None, mask: None }], penalty: None }
    }
}

/// A module that [`fit`](super::fit) can train and [`evaluate`](super::evaluate()) can measure. A closure from one input to
/// one output is such a module: its output is taken as it is, so that a loss of its logits is to say `from_logits`.
pub trait Trainable {
    /// From the inputs, each (batch, …), to the outputs.
    ///
    /// # Errors
    /// Whatever the module finds wrong with its input.
    fn call(&self, inputs: &[Tensor], mode: Mode) -> Result<Called>;

    /// Variables by name that a training pass moves and the optimiser does not hold, such as moving statistics:
    /// [`fit`](super::fit) keeps and restores them with the others.
    fn moving(&self) -> Vec<(String, Var)> {
        vec![]
    }

    /// Variables by name that nothing changes and that belong to the module:
    /// [`Observer::on_best`](super::Observer::on_best) gets them with the others.
    fn frozen(&self) -> Vec<(String, Tensor)> {
        vec![]
    }

    /// Brings the variables within their constraints, after each step.
    ///
    /// # Errors
    /// The module's own.
    fn constrain(&self) -> Result<()> {
        Ok(())
    }

    /// Whether it carries states from batch to batch, so that all batches are to have as many rows.
    fn is_stateful(&self) -> bool {
        false
    }

    /// What it carries from batch to batch.
    fn carried(&self) -> CarriedStates {
        vec![]
    }

    /// Goes on from what it carried.
    ///
    /// # Errors
    /// What is carried by another module.
    fn set_carried(&self, _carried: &CarriedStates) -> Result<()> {
        Ok(())
    }

    /// Where NaN or infinite numbers came up first, in words that go on from "the loss became NaN in step 3"; nothing where
    /// the module does not know.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    fn first_not_finite(&self, _inputs: &[Tensor], _mode: Mode) -> Result<String> {
        Ok(String::new())
    }

    /// Whether padding around ids neither changes what it gives nor takes time.
    fn skips_padding(&self) -> bool {
        false
    }
}

impl Trainable for Model {
    fn call(&self, inputs: &[Tensor], mode: Mode) -> Result<Called> {
        let (flows, penalty) = self.call_for_loss(inputs, mode)?;
        let output = |(flow, &activation): (crate::layers::Flow, _)| {
            Ok(Output { values: flow.floats()?, activation, mask: flow.mask })
        };
        let outputs = flows.into_iter().zip(self.end_activations()).map(output).collect::<Result<_>>()?;
        Ok(Called { outputs, penalty })
    }

    fn moving(&self) -> Vec<(String, Var)> {
        Self::moving(self)
    }

    fn frozen(&self) -> Vec<(String, Tensor)> {
        Self::frozen(self).to_vec()
    }

    fn constrain(&self) -> Result<()> {
        Self::constrain(self)
    }

    fn is_stateful(&self) -> bool {
        self.config().is_stateful()
    }

    fn carried(&self) -> CarriedStates {
        Self::carried(self)
    }

    fn set_carried(&self, carried: &CarriedStates) -> Result<()> {
        Self::set_carried(self, carried)
    }

    fn first_not_finite(&self, inputs: &[Tensor], mode: Mode) -> Result<String> {
        Ok(match Self::first_not_finite(self, inputs, mode)? {
            Some(layer) => format!(", first in what layer {layer} gives"),
            None => ", where all layers gave finite numbers, too great for a loss".into(),
        })
    }

    fn skips_padding(&self) -> bool {
        Self::skips_padding(self)
    }
}

impl<F: Fn(&Tensor, Mode) -> Result<Tensor>> Trainable for F {
    fn call(&self, inputs: &[Tensor], mode: Mode) -> Result<Called> {
        match inputs {
            [xs] => Ok(self(xs, mode)?.into()),
            _ => Err(crate::Error::argument(
                "inputs",
                format!("{} are given to a closure of one", inputs.len()),
            )),
        }
    }
}

//! What a model gives for one of its outputs, as losses and metrics take it.

use crate::Result;
use crate::layers::Activation;
use candle_core::Tensor;

/// One output of a model for a batch.
#[derive(Clone, Debug)]
pub struct Output {
    /// (batch, …, width): what the output gives, or the logits of [`activation`](Self::activation).
    pub values: Tensor,
    /// The activation that `values` have still to go through; None where they are the output itself.
    pub activation: Option<Activation>,
    /// (batch, time…) of u8, 0 where a step is to be skipped: Keras's mask of the output.
    pub mask: Option<Tensor>,
}

impl Output {
    /// The output itself: the values after the activation, if one is left.
    ///
    /// # Errors
    /// Candle's own.
    pub fn applied(&self) -> Result<Tensor> {
        match self.activation {
            Some(activation) => Ok(activation.forward(&self.values)?),
            None => Ok(self.values.clone()),
        }
    }
}

impl From<Tensor> for Output {
    fn from(values: Tensor) -> Self {
        Self { values, activation: None, mask: None }
    }
}

//! Keras's `SimpleRNN` (`keras/src/layers/rnn/simple_rnn.py`).

use super::recurrent::recurrent_layer;
use super::settings::Settings;
use crate::layers::activation::Activation;
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::TimeLoop;
use candle_core::{Result, Tensor, bail};
use candle_nn::rnn::RNN;
use candle_recurrent_kernel::Kind;
use serde::{Deserialize, Serialize};

/// The arguments of [`SimpleRnn`], with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimpleRnnConfig {
    /// Dimension of the state and the output.
    pub units: usize,
    /// Activation of the state.
    pub activation: Activation,
    /// Whether there is a bias.
    pub use_bias: bool,
    /// Fraction of the input features to drop in training, the same at every step.
    pub dropout: f64,
    /// Fraction of the state to drop where it enters the recurrent product, in training.
    pub recurrent_dropout: f64,
    /// Give the output of every step rather than the last.
    pub return_sequences: bool,
    /// In a model, give the states after the last step as well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub return_state: bool,
    /// Walk from the last step to the first; outputs come in the order walked.
    pub go_backwards: bool,
    /// Begin each batch with the state that the last one left.
    pub stateful: bool,
    /// At a masked step give 0 rather than the previous output.
    pub zero_output_for_mask: bool,
}

impl Default for SimpleRnnConfig {
    fn default() -> Self {
        Self {
            units: 0,
            activation: Activation::Tanh,
            use_bias: true,
            dropout: 0.0,
            recurrent_dropout: 0.0,
            return_sequences: false,
            return_state: false,
            go_backwards: false,
            stateful: false,
            zero_output_for_mask: false,
        }
    }
}

impl SimpleRnnConfig {
    /// Keras's defaults with so many units.
    pub fn new(units: usize) -> Self {
        Self { units, ..Self::default() }
    }

    fn settings(&self) -> Settings {
        Settings {
            kind: Kind::SimpleRnn,
            units: self.units,
            activation: self.activation,
            recurrent_activation: Activation::Linear,
            use_bias: self.use_bias,
            bias: Initializer::Zeros,
            dropout: self.dropout,
            recurrent_dropout: self.recurrent_dropout,
            time_loop: TimeLoop {
                return_sequences: self.return_sequences,
                return_state: self.return_state,
                go_backwards: self.go_backwards,
                stateful: self.stateful,
                zero_output_for_mask: self.zero_output_for_mask,
            },
        }
    }

    /// kernel (`input_dim`, units), recurrent_kernel (units, units), bias (units).
    pub fn variables(&self, input_dim: usize) -> Vec<Variable> {
        self.settings().variables(input_dim)
    }
}

recurrent_layer! {
    /// Simple recurrent layer (Elman 1990). State: h.
    SimpleRnn, SimpleRnnConfig
}

/// The state of a [`SimpleRnn`] between two steps.
#[derive(Clone, Debug)]
pub struct SimpleRnnState {
    /// (batch, units)
    pub h: Tensor,
}

/// Candle's own interface: one step, or every step with the state after each. Over a whole sequence `call` is many
/// times faster; it gives the states after the last step only. Steps go forwards, whatever `go_backwards` says.
impl RNN for SimpleRnn {
    type State = SimpleRnnState;

    fn zero_state(&self, batch: usize) -> Result<SimpleRnnState> {
        state(self.inner.zero_states(batch)?)
    }

    fn step(&self, xs: &Tensor, state_before: &SimpleRnnState) -> Result<SimpleRnnState> {
        let states = std::slice::from_ref(&state_before.h);
        state(self.inner.step(xs, states)?)
    }

    fn seq_init(&self, xs: &Tensor, state_before: &SimpleRnnState) -> Result<Vec<SimpleRnnState>> {
        let states = std::slice::from_ref(&state_before.h);
        self.inner.walk(xs, states)?.into_iter().map(state).collect()
    }

    fn states_to_tensor(&self, states: &[SimpleRnnState]) -> Result<Tensor> {
        Tensor::stack(&states.iter().map(|state| &state.h).collect::<Vec<_>>(), 1)
    }
}

fn state(states: Vec<Tensor>) -> Result<SimpleRnnState> {
    match <[Tensor; 1]>::try_from(states) {
        Ok([h]) => Ok(SimpleRnnState { h }),
        Err(states) => bail!("a SimpleRNN has one state, not {}", states.len()),
    }
}

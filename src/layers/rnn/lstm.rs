//! Keras's `LSTM` (`keras/src/layers/rnn/lstm.py`).

use super::recurrent::recurrent_layer;
use super::settings::Settings;
use crate::layers::activation::Activation;
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::TimeLoop;
use candle_core::{Result, Tensor, bail};
use candle_nn::rnn::{LSTMState, RNN};
use candle_recurrent_kernel::Kind;
use serde::{Deserialize, Serialize};

/// The arguments of [`Lstm`], with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LstmConfig {
    /// Dimension of the state and the output.
    pub units: usize,
    /// Activation of the candidate and of c.
    pub activation: Activation,
    /// Activation of the gates i, f and o.
    pub recurrent_activation: Activation,
    /// Whether there is a bias.
    pub use_bias: bool,
    /// Start the forget gate's bias at 1.
    pub unit_forget_bias: bool,
    /// Fraction of the input features to drop in training, the same at every step.
    pub dropout: f64,
    /// Fraction of the state to drop where it enters the gates, in training.
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

impl Default for LstmConfig {
    fn default() -> Self {
        Self {
            units: 0,
            activation: Activation::Tanh,
            recurrent_activation: Activation::Sigmoid,
            use_bias: true,
            unit_forget_bias: true,
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

impl LstmConfig {
    /// Keras's defaults with so many units.
    pub fn new(units: usize) -> Self {
        Self { units, ..Self::default() }
    }

    fn settings(&self) -> Settings {
        Settings {
            kind: Kind::Lstm,
            units: self.units,
            activation: self.activation,
            recurrent_activation: self.recurrent_activation,
            use_bias: self.use_bias,
            bias: if self.unit_forget_bias { Initializer::UnitForgetBias } else { Initializer::Zeros },
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

    /// kernel (`input_dim`, 4 units), recurrent_kernel (units, 4 units), bias (4 units); gates i, f, c, o.
    pub fn variables(&self, input_dim: usize) -> Vec<Variable> {
        self.settings().variables(input_dim)
    }
}

recurrent_layer! {
    /// Long short-term memory (Hochreiter and Schmidhuber 1997). States: h and c.
    Lstm, LstmConfig
}

/// Candle's own interface: one step, or every step with the state after each. Over a whole sequence `call` is many
/// times faster; it gives the states after the last step only. Steps go forwards, whatever `go_backwards` says.
impl RNN for Lstm {
    type State = LSTMState;

    fn zero_state(&self, batch: usize) -> Result<LSTMState> {
        state(self.inner.zero_states(batch)?)
    }

    fn step(&self, xs: &Tensor, state_before: &LSTMState) -> Result<LSTMState> {
        let states = &[state_before.h.clone(), state_before.c.clone()];
        state(self.inner.step(xs, states)?)
    }

    fn seq_init(&self, xs: &Tensor, state_before: &LSTMState) -> Result<Vec<LSTMState>> {
        let states = &[state_before.h.clone(), state_before.c.clone()];
        self.inner.walk(xs, states)?.into_iter().map(state).collect()
    }

    fn states_to_tensor(&self, states: &[LSTMState]) -> Result<Tensor> {
        Tensor::stack(&states.iter().map(|state| &state.h).collect::<Vec<_>>(), 1)
    }
}

fn state(states: Vec<Tensor>) -> Result<LSTMState> {
    match <[Tensor; 2]>::try_from(states) {
        Ok([h, c]) => Ok(LSTMState::new(h, c)),
        Err(states) => bail!("an LSTM has two states, not {}", states.len()),
    }
}

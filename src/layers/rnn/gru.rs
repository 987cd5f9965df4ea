//! Keras's `GRU` (`keras/src/layers/rnn/gru.py`).

use super::recurrent::recurrent_layer;
use super::settings::Settings;
use crate::layers::activation::Activation;
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::TimeLoop;
use candle_core::{Result, Tensor, bail};
use candle_nn::rnn::{GRUState, RNN};
use candle_recurrent_kernel::Kind;
use serde::{Deserialize, Serialize};

/// The arguments of [`Gru`], with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GruConfig {
    /// Dimension of the state and the output.
    pub units: usize,
    /// Activation of the candidate.
    pub activation: Activation,
    /// Activation of the gates z and r.
    pub recurrent_activation: Activation,
    /// Whether there is a bias.
    pub use_bias: bool,
    /// The reset gate acts after the recurrent product, as in cuDNN, rather than before it.
    pub reset_after: bool,
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

impl Default for GruConfig {
    fn default() -> Self {
        Self {
            units: 0,
            activation: Activation::Tanh,
            recurrent_activation: Activation::Sigmoid,
            use_bias: true,
            reset_after: true,
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

impl GruConfig {
    /// Keras's defaults with so many units.
    pub fn new(units: usize) -> Self {
        Self { units, ..Self::default() }
    }

    fn settings(&self) -> Settings {
        Settings {
            kind: Kind::Gru { reset_after: self.reset_after },
            units: self.units,
            activation: self.activation,
            recurrent_activation: self.recurrent_activation,
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

    /// kernel (`input_dim`, 3 units), recurrent_kernel (units, 3 units), bias (2, 3 units) or, without `reset_after`,
    /// (3 units); gates z, r, h.
    pub fn variables(&self, input_dim: usize) -> Vec<Variable> {
        self.settings().variables(input_dim)
    }
}

recurrent_layer! {
    /// Gated recurrent unit (Cho et al. 2014). State: h.
    Gru, GruConfig
}

/// Candle's own interface: one step, or every step with the state after each. Over a whole sequence `call` is many
/// times faster; it gives the states after the last step only. Steps go forwards, whatever `go_backwards` says.
impl RNN for Gru {
    type State = GRUState;

    fn zero_state(&self, batch: usize) -> Result<GRUState> {
        state(self.inner.zero_states(batch)?)
    }

    fn step(&self, xs: &Tensor, state_before: &GRUState) -> Result<GRUState> {
        let states = std::slice::from_ref(&state_before.h);
        state(self.inner.step(xs, states)?)
    }

    fn seq_init(&self, xs: &Tensor, state_before: &GRUState) -> Result<Vec<GRUState>> {
        let states = std::slice::from_ref(&state_before.h);
        self.inner.walk(xs, states)?.into_iter().map(state).collect()
    }

    /// (batch, time · units), as candle-nn's GRU gives it; its LSTM gives (batch, time, units).
    fn states_to_tensor(&self, states: &[GRUState]) -> Result<Tensor> {
        Tensor::cat(&states.iter().map(|state| &state.h).collect::<Vec<_>>(), 1)
    }
}

fn state(states: Vec<Tensor>) -> Result<GRUState> {
    match <[Tensor; 1]>::try_from(states) {
        Ok([h]) => Ok(GRUState { h }),
        Err(states) => bail!("a GRU has one state, not {}", states.len()),
    }
}

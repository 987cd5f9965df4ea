//! Recurrent layers (`keras/src/layers/rnn/`).

mod candle_layout;
mod cells;
mod conv_lstm;
mod conv_lstm_op;
mod gru;
mod lstm;
mod op;
mod parameters;
mod recurrent;
mod settings;
mod simple_rnn;
mod steps;
#[cfg(test)]
mod tests;

pub(crate) use candle_layout::swap_first_gates;
pub use cells::{CellConfig, Rnn, RnnConfig};
pub use conv_lstm::{ConvLstm, ConvLstmConfig};
pub use gru::{Gru, GruConfig};
pub use lstm::{Lstm, LstmConfig};
pub use settings::{Call, RnnOutput};
pub use simple_rnn::{SimpleRnn, SimpleRnnConfig, SimpleRnnState};

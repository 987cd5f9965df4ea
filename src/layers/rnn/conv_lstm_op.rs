//! A ConvLSTM as one op, with a hand-written backward pass, in f32 on the CPU.

use crate::layers::cpu::with_floats;
use crate::layers::strand::{Back, Strand, op};
use candle_core::{Result, Tensor};
use candle_recurrent_kernel::{ConvLstm, ConvLstmInput};
use std::sync::{Mutex, PoisonError};

/// The input, the weights in one row, and the states h and c if there are any (batch, rows, columns, filters), to h after
/// each step in the order walked (batch, time, rows, columns, filters), or after the last (batch, rows, columns, filters);
/// with `return_state`, h after each step or the last, and then the last c, (batch, pictures, rows, columns, filters).
pub(super) fn run(
    x: &Strand,
    weights: &Strand,
    states: Option<&[Tensor]>,
    layer: ConvLstm,
) -> Result<Strand> {
    let given = states.is_some();
    // Without states the third tensor is of no importance.
    let states = match states {
        Some(states) => Tensor::stack(states, 0)?,
        None => weights.tensor().detach(),
    };
    let inputs = [x, weights, &states.into()];
    let save = inputs.iter().any(|input| input.tracks());
    let (out, saved) = with_floats(inputs.map(Strand::tensor), |values| {
        let [x, weights, states] = values;
        layer.forward(&ConvLstmInput { x, weights, states: given.then_some(states) }, save)
    })?;
    let of = &layer.recurrent;
    let mut shape = vec![layer.batch];
    if layer.return_sequences || layer.return_state {
        let steps = if layer.return_sequences { layer.time } else { 1 };
        shape.push(steps + usize::from(layer.return_state));
    }
    shape.extend(of.axes.iter().map(|axis| axis.length).chain([of.channels]));
    // The first backward pass takes what the forward pass left; a second one runs forward again.
    let saved = Mutex::new(saved);
    op("conv-lstm", inputs, out, shape, move |back: Back<'_, 3>| {
        let Back { x: [x, weights, states], y, d, wanted: [want_x, _, want_states] } = back;
        let input = ConvLstmInput { x, weights, states: given.then_some(states) };
        let saved = saved.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(saved) = saved.or_else(|| layer.forward(&input, true).1) else {
            return back.x.map(|values| vec![0.0; values.len()]);
        };
        let gradients = layer.backward(&input, y, saved, &d, (want_x, given && want_states));
        [gradients.x, gradients.weights, gradients.states]
    })
}

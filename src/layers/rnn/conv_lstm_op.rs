//! The time loop of a ConvLSTM as one op, with a hand-written backward pass, in f32 on the CPU.

use crate::layers::cpu::with_floats;
use crate::layers::strand::{Back, Strand, op};
use candle_core::{Result, Tensor};
use candle_recurrent_kernel::ConvLstm;
use std::sync::{Mutex, PoisonError};

/// The input's part of the gates (batch, time, rows, columns, 4 filters), the recurrent kernel, and the states h and c
/// (batch, rows, columns, filters), to h after each step in the order walked and the last c, (batch, time + 1, rows,
/// columns, filters).
pub(super) fn run(
    projected: &Strand,
    kernel: &Tensor,
    states: &[Tensor],
    time_loop: ConvLstm,
) -> Result<Strand> {
    let inputs = [projected, &kernel.clone().into(), &Tensor::stack(states, 0)?.into()];
    let save = inputs.iter().any(|input| input.tracks());
    let (out, saved) = with_floats(inputs.map(Strand::tensor), |[projected, kernel, states]| {
        time_loop.forward(projected, kernel, states, save)
    })?;
    let of = &time_loop.recurrent;
    let mut shape = vec![of.batch, time_loop.time + 1];
    shape.extend(of.axes.iter().map(|axis| axis.length).chain([of.channels]));
    // The first backward pass takes what the forward pass left; a second one runs forward again.
    let saved = Mutex::new(saved);
    op("conv-lstm", inputs, out, shape, move |back: Back<'_, 3>| {
        let Back { x: [projected, kernel, states], y, d, .. } = back;
        let saved = saved.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(saved) = saved.or_else(|| time_loop.forward(projected, kernel, states, true).1) else {
            return back.x.map(|values| vec![0.0; values.len()]);
        };
        let gradients = time_loop.backward(kernel, states, y, saved, &d);
        [gradients.projected, gradients.kernel, gradients.states]
    })
}

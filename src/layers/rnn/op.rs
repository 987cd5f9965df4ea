//! The kernels as one Candle op a layer: the whole sequence forward, and a hand-written backward pass.
//!
//! Candle's ops take three tensors and give one. The three are the input (or the embedding table), the weights in one
//! row, and a third one: the initial states if there are any, else the companion of a table in training. The one
//! holds each sequence's outputs, followed by its final states where somebody wants them.

use super::parameters::Parameters;
use super::settings::{DropoutMask, Source};
use crate::layers::cpu::with_floats;
use crate::layers::strand::{self, Back, Strand};
use crate::layers::table::Table;
use candle_core::{Result, Tensor};
use candle_recurrent_kernel::{self as kernel, Layer, Saved};
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

/// Runs the layer on the kernels: the output, and the final states where the layer gives them.
pub fn run(
    parameters: &Parameters,
    layer: Layer,
    source: Source<'_>,
    mask: Option<&Tensor>,
    states: Option<&[Tensor]>,
    input_dropout: Option<DropoutMask>,
    recurrent_dropout: Option<DropoutMask>,
) -> Result<(Strand, Vec<Tensor>)> {
    let weights = pack(parameters)?;
    let (batch, time, _) = source.shape()?;
    let (x, rows) = match source {
        Source::Features(xs) => (xs.clone(), None),
        // There is room for either the states or the companion of the table.
        Source::Rows(rows) if states.is_some() && rows.table.squares().is_some() => (rows.strand()?, None),
        Source::Rows(rows) => {
            let ids = rows.ids.flatten_all()?.to_vec1::<u32>()?;
            (rows.table.vectors().clone().into(), Some((rows.table.clone(), ids)))
        }
    };
    let squares = rows.as_ref().and_then(|(table, _)| table.squares());
    let (third, tensor) = match (states, squares) {
        (Some(states), _) => (Third::States, Tensor::stack(states, 1)?),
        (None, Some(squares)) => (Third::Companion, squares.companion().clone()),
        (None, None) => (Third::Nothing, weights.tensor().detach()),
    };
    let mask = mask.map(|mask| mask.flatten_all()?.to_vec1::<u8>()).transpose()?;
    let (units, count, steps) = (layer.units, layer.kind.states(), layer.steps_out(time));
    let (return_sequences, return_state) = (layer.return_sequences, layer.return_state);
    let inputs = [&x, &weights, &tensor.into()];
    let save = inputs.iter().any(|input| input.tracks());
    let op = RecurrentOp {
        rows_out: layer.rows_out(time),
        layer,
        batch,
        time,
        rows,
        mask,
        input_dropout,
        recurrent_dropout,
        third,
        save,
        saved: Mutex::new(None),
    };
    let shape = match return_sequences || return_state {
        true => vec![batch, op.rows_out, units],
        false => vec![batch, units],
    };
    let out = with_floats(inputs.map(Strand::tensor), |[x, weights, third]| {
        let (out, saved) = op.forward(x, weights, &op.states(third));
        *op.saved.lock().unwrap_or_else(PoisonError::into_inner) = saved;
        out
    })?;
    let packed = strand::op("recurrent", inputs, out, shape, move |back| op.backward(back))?;
    if !return_state {
        return Ok((packed, vec![]));
    }
    let packed = packed.tensor();
    let output = packed.narrow(1, 0, steps)?.contiguous()?;
    let states = (0..count)
        .map(|state| packed.narrow(1, steps + state, 1)?.squeeze(1)?.contiguous())
        .collect::<Result<_>>()?;
    let output = if return_sequences { output } else { output.reshape((batch, units))? };
    Ok((output.into(), states))
}

/// kernel, recurrent kernel and bias in one row.
fn pack(parameters: &Parameters) -> Result<Strand> {
    let strand = |tensor: &Tensor| Strand::from(tensor.clone());
    let (kernel, recurrent) = (strand(&parameters.kernel), strand(&parameters.recurrent_kernel));
    match &parameters.bias {
        Some(bias) => strand::row([&kernel, &recurrent, &strand(bias)]),
        None => strand::row([&kernel, &recurrent]),
    }
}

/// What the third tensor of the op is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Third {
    /// The initial states, (B, S, u).
    States,
    /// The companion of the table that the input is read from: what its gradient is for. The states are zeros.
    Companion,
    /// Nothing of importance. The states are zeros.
    Nothing,
}

struct RecurrentOp {
    layer: Layer,
    batch: usize,
    time: usize,
    /// Where the input is read from the rows of a table: the table and the ids.
    rows: Option<(Table, Vec<u32>)>,
    mask: Option<Vec<u8>>,
    input_dropout: Option<DropoutMask>,
    recurrent_dropout: Option<DropoutMask>,
    third: Third,
    /// Rows of a sequence's output.
    rows_out: usize,
    /// Whether a backward pass may follow.
    save: bool,
    /// What the forward pass left for the backward pass; the first one takes it, a second one would run forward again, on
    /// the table as it is then.
    saved: Mutex<Option<Saved>>,
}

impl RecurrentOp {
    fn input<'a>(&'a self, x: &'a [f32], states: &'a [f32]) -> kernel::Input<'a> {
        let dropout = |mask: &'a Option<DropoutMask>| {
            mask.as_ref().map(|mask| kernel::Dropout { masks: &mask.values, per_gate: mask.per_gate })
        };
        kernel::Input {
            batch: self.batch,
            time: self.time,
            x,
            rows: self.rows.as_ref().map(|(table, ids)| table.rows(ids)),
            mask: self.mask.as_deref(),
            states,
            input_dropout: dropout(&self.input_dropout),
            recurrent_dropout: dropout(&self.recurrent_dropout),
        }
    }

    /// The initial states, given the third tensor.
    fn states<'a>(&self, third: &'a [f32]) -> Cow<'a, [f32]> {
        match self.third {
            Third::States => Cow::Borrowed(third),
            _ => Cow::Owned(vec![0.0; self.batch * self.layer.kind.states() * self.layer.units]),
        }
    }

    fn forward(&self, x: &[f32], weights: &[f32], states: &[f32]) -> (Vec<f32>, Option<Saved>) {
        let mut out = kernel::zeros(self.batch * self.rows_out * self.layer.units);
        let saved = kernel::forward(&self.layer, &self.input(x, states), weights, self.save, &mut out);
        (out, saved)
    }

    fn backward(&self, back: Back<'_, 3>) -> [Vec<f32>; 3] {
        let Back { x: [x, weights, third], d, wanted: [want_x, _, want_third], .. } = back;
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take();
        let states = self.states(third);
        // There is always something saved where gradients are asked for.
        let Some(saved) = saved.or_else(|| self.forward(x, weights, &states).1) else {
            return [x, weights, third].map(|values| vec![0.0; values.len()]);
        };
        let gradients = kernel::backward(&self.layer, &self.input(x, &states), weights, saved, &d, want_x);
        let d_third = match self.third {
            Third::States if want_third => gradients.states,
            Third::Companion if want_x => gradients.squares,
            _ => vec![0.0; if want_third { third.len() } else { 0 }],
        };
        [gradients.x, gradients.weights, d_third]
    }
}

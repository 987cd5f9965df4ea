//! The kernels as one Candle op a layer: the whole sequence forward, and a hand-written backward pass.
//!
//! Candle's ops take three tensors and give one. The three are the input (or the embedding table), the weights in one
//! row, and a third one: the initial states if there are any, else the companion of a table in training. The one
//! holds each sequence's outputs, followed by its final states where somebody wants them.

use super::parameters::Parameters;
use super::settings::{DropoutMask, RnnOutput, Source};
use crate::layers::cpu::{floats, with_floats};
use crate::layers::table::Table;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use candle_recurrent_kernel::{self as kernel, Layer, Saved};
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

/// Runs the layer on the kernels.
pub fn run(
    parameters: &Parameters,
    layer: Layer,
    source: Source<'_>,
    mask: Option<&Tensor>,
    states: Option<&[Tensor]>,
    input_dropout: Option<DropoutMask>,
    recurrent_dropout: Option<DropoutMask>,
) -> Result<RnnOutput> {
    let weights = pack(parameters)?;
    let (batch, time, _) = source.shape()?;
    let (x, rows) = match source {
        Source::Features(xs) => (xs.contiguous()?, None),
        // There is room for either the states or the companion of the table.
        Source::Rows(rows) if states.is_some() && rows.table.squares().is_some() => (rows.look_up()?, None),
        Source::Rows(rows) => {
            let ids = rows.ids.flatten_all()?.to_vec1::<u32>()?;
            (rows.table.vectors().contiguous()?, Some((rows.table.clone(), ids)))
        }
    };
    let squares = rows.as_ref().and_then(|(table, _)| table.squares());
    let (third, tensor) = match (states, squares) {
        (Some(states), _) => (Third::States, Tensor::stack(states, 1)?.contiguous()?),
        (None, Some(squares)) => (Third::Companion, squares.companion().clone()),
        (None, None) => (Third::Nothing, weights.clone()),
    };
    let mask = mask.map(|mask| mask.flatten_all()?.to_vec1::<u8>()).transpose()?;
    let (units, count, steps) = (layer.units, layer.kind.states(), layer.steps_out(time));
    let (return_sequences, return_state) = (layer.return_sequences, layer.return_state);
    let op = RecurrentOp {
        layer,
        batch,
        time,
        rows,
        mask,
        input_dropout,
        recurrent_dropout,
        third,
        save: x.track_op() || weights.track_op() || tensor.track_op(),
        want_x: x.track_op(),
        saved: Mutex::new(None),
    };
    let packed = x.apply_op3(&weights, &tensor, op)?;
    if !return_state {
        return Ok(RnnOutput { hidden: packed, states: vec![] });
    }
    let output = packed.narrow(1, 0, steps)?.contiguous()?;
    let states = (0..count)
        .map(|state| packed.narrow(1, steps + state, 1)?.squeeze(1)?.contiguous())
        .collect::<Result<_>>()?;
    Ok(RnnOutput { hidden: if return_sequences { output } else { output.reshape((batch, units))? }, states })
}

/// kernel, recurrent kernel and bias in one row.
fn pack(parameters: &Parameters) -> Result<Tensor> {
    let mut parts = vec![parameters.kernel.flatten_all()?, parameters.recurrent_kernel.flatten_all()?];
    if let Some(bias) = &parameters.bias {
        parts.push(bias.flatten_all()?);
    }
    Tensor::cat(&parts, 0)
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
    /// Whether a backward pass may follow, and whether it will be asked for the input's gradient.
    save: bool,
    want_x: bool,
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
        let mut out = vec![0.0; self.batch * self.layer.rows_out(self.time) * self.layer.units];
        let saved = kernel::forward(&self.layer, &self.input(x, states), weights, self.save, &mut out);
        (out, saved)
    }
}

impl CustomOp3 for RecurrentOp {
    fn name(&self) -> &'static str {
        "recurrent"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        third: &CpuStorage,
        third_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let states = self.states(floats(third, third_layout)?);
        let (out, saved) = self.forward(floats(x, x_layout)?, floats(weights, weights_layout)?, &states);
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = saved;
        let (batch, units) = (self.batch, self.layer.units);
        let shape: Shape = match self.layer.return_sequences || self.layer.return_state {
            true => (batch, self.layer.rows_out(self.time), units).into(),
            false => (batch, units).into(),
        };
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        third: &Tensor,
        _: &Tensor,
        d_out: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (shape, device) = (x.shape(), x.device());
        let gradients = with_floats([x, weights, third, d_out], |[x, weights, third, d_out]| {
            let states = self.states(third);
            let saved = saved.or_else(|| self.forward(x, weights, &states).1);
            saved.map(|saved| {
                let input = self.input(x, &states);
                kernel::backward(&self.layer, &input, weights, saved, d_out, self.want_x)
            })
        })?;
        let Some(gradients) = gradients else {
            bail!("a recurrent layer was asked for gradients of tensors that are not tracked")
        };
        let mut d_x = gradients.x;
        let d_third = match self.third {
            Third::States if third.track_op() => Some(gradients.states),
            Third::Companion if self.want_x => Some(d_x.split_off(x.elem_count())),
            _ => None,
        };
        let d_x = self.want_x.then_some(d_x);
        Ok((
            d_x.map(|d_x| Tensor::from_vec(d_x, shape, device)).transpose()?,
            Some(Tensor::from_vec(gradients.weights, weights.shape(), device)?),
            d_third.map(|d_third| Tensor::from_vec(d_third, third.shape(), device)).transpose()?,
        ))
    }
}

//! The kernels as one Candle op a layer: the whole sequence forward, and a hand-written backward pass.
//!
//! Candle's ops take three tensors and give one. The three are the input (or the embedding table), the weights in one
//! row, and a third one: the initial states if there are any, else the companion of an embedding in training. The one
//! holds each sequence's outputs, followed by its final states where somebody wants them.

use super::Embedding;
use super::recurrent::{DropoutMask, Output, Recurrent, Source};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};
use candle_recurrent_kernel::{self as kernel, Layer, Saved};
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

/// Runs `recurrent` on the kernels.
pub(super) fn run(
    recurrent: &Recurrent,
    layer: Layer,
    source: Source<'_>,
    mask: Option<&Tensor>,
    states: Option<&[Tensor]>,
    input_dropout: Option<DropoutMask>,
    recurrent_dropout: Option<DropoutMask>,
) -> Result<Output> {
    let weights = pack(recurrent)?;
    let (x, companion, batch, time, rows) = match source {
        Source::Features(xs) => (xs.contiguous()?, None, xs.dim(0)?, xs.dim(1)?, None),
        Source::Rows { embedding, ids } => {
            let (batch, time) = ids.dims2()?;
            let ids = ids.flatten_all()?.to_vec1::<u32>()?;
            let companion = embedding.companion().filter(|_| states.is_none());
            let table =
                if companion.is_some() { embedding.embeddings().clone() } else { embedding.stacked()? };
            (table.contiguous()?, companion, batch, time, Some((embedding.clone(), ids)))
        }
    };
    let (third, tensor) = match (states, companion) {
        (Some(states), _) => (Third::States, Tensor::stack(states, 1)?.contiguous()?),
        (None, Some(companion)) => (Third::Companion, companion.contiguous()?),
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
        return Ok(Output { output: packed, states: vec![] });
    }
    let output = packed.narrow(1, 0, steps)?;
    let states =
        (0..count).map(|state| packed.narrow(1, steps + state, 1)?.squeeze(1)).collect::<Result<_>>()?;
    Ok(Output { output: if return_sequences { output } else { output.reshape((batch, units))? }, states })
}

/// kernel, recurrent kernel and bias in one row.
fn pack(recurrent: &Recurrent) -> Result<Tensor> {
    let mut parts = vec![recurrent.kernel.flatten_all()?, recurrent.recurrent_kernel.flatten_all()?];
    if let Some(bias) = &recurrent.bias {
        parts.push(bias.flatten_all()?);
    }
    Tensor::cat(&parts, 0)
}

/// What the third tensor of the op is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Third {
    /// The initial states, (B, S, u).
    States,
    /// The companion of the embedding that the input is read from: what its gradient is for. The states are zeros.
    Companion,
    /// Nothing of importance. The states are zeros.
    Nothing,
}

struct RecurrentOp {
    layer: Layer,
    batch: usize,
    time: usize,
    /// Where the input is read from the rows of an embedding: the embedding and the ids.
    rows: Option<(Embedding, Vec<u32>)>,
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
            rows: self.rows.as_ref().map(|(embedding, ids)| embedding.rows(ids)),
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

/// The floats of a contiguous CPU tensor.
pub(super) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&all[start..end]),
        None => bail!("a recurrent layer's kernel needs contiguous tensors"),
    }
}

/// Calls `f` with the floats of each tensor.
pub(super) fn with_floats<T>(tensors: [&Tensor; 4], f: impl FnOnce([&[f32]; 4]) -> T) -> Result<T> {
    let tensors = [
        tensors[0].contiguous()?,
        tensors[1].contiguous()?,
        tensors[2].contiguous()?,
        tensors[3].contiguous()?,
    ];
    let held = tensors.each_ref().map(Tensor::storage_and_layout);
    let mut slices = [&[][..]; 4];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&held) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("a recurrent layer's kernel runs on the CPU only")
        };
        *slice = floats(storage, layout)?;
    }
    Ok(f(slices))
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

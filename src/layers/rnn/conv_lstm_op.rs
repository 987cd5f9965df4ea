//! The time loop of a ConvLSTM as one op, with a hand-written backward pass, in f32 on the CPU.

use crate::layers::cpu::{floats, with_floats};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use candle_recurrent_kernel::{ConvLstm, ConvLstmSaved};
use std::sync::{Mutex, PoisonError};

/// The input's part of the gates (batch, time, rows, columns, 4 filters), the recurrent kernel, and the states h and c
/// (batch, rows, columns, filters), to h after each step in the order walked and the last c, (batch, time + 1, rows,
/// columns, filters).
pub(super) fn run(
    projected: &Tensor,
    kernel: &Tensor,
    states: &[Tensor],
    time_loop: ConvLstm,
) -> Result<Tensor> {
    let (projected, kernel) = (projected.contiguous()?, kernel.contiguous()?);
    let states = Tensor::stack(states, 0)?.contiguous()?;
    let save = projected.track_op() || kernel.track_op() || states.track_op();
    projected.apply_op3(&kernel, &states, ConvLstmOp { time_loop, save, saved: Mutex::new(None) })
}

struct ConvLstmOp {
    time_loop: ConvLstm,
    /// Whether a backward pass may follow.
    save: bool,
    /// What the forward pass left for the backward pass; the first one takes it, a second one would run forward again.
    saved: Mutex<Option<ConvLstmSaved>>,
}

impl CustomOp3 for ConvLstmOp {
    fn name(&self) -> &'static str {
        "conv-lstm"
    }

    fn cpu_fwd(
        &self,
        projected: &CpuStorage,
        projected_layout: &Layout,
        kernel: &CpuStorage,
        kernel_layout: &Layout,
        states: &CpuStorage,
        states_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (projected, kernel) = (floats(projected, projected_layout)?, floats(kernel, kernel_layout)?);
        let (out, saved) =
            self.time_loop.forward(projected, kernel, floats(states, states_layout)?, self.save);
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = saved;
        let of = &self.time_loop.recurrent;
        let mut shape = vec![of.batch, self.time_loop.time + 1];
        shape.extend(of.axes.iter().map(|axis| axis.length).chain([of.channels]));
        Ok((CpuStorage::F32(out), shape.into()))
    }

    fn bwd(
        &self,
        projected: &Tensor,
        kernel: &Tensor,
        states: &Tensor,
        out: &Tensor,
        d_out: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take();
        let all = [projected, kernel, states, out, d_out];
        let gradients = with_floats(all, |[projected, kernel, states, out, d_out]| {
            let saved = saved.or_else(|| self.time_loop.forward(projected, kernel, states, true).1);
            saved.map(|saved| self.time_loop.backward(kernel, states, out, saved, d_out))
        })?;
        let Some(gradients) = gradients else { bail!("a ConvLSTM2D kept nothing for its gradients") };
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        Ok((
            tensor(gradients.projected, projected)?,
            tensor(gradients.kernel, kernel)?,
            tensor(gradients.states, states)?,
        ))
    }
}

//! Attention as one op in f32 on the CPU.

use crate::layers::strand::{Back, Strand, fused};
use candle_core::{DType, Result, Tensor};
use candle_recurrent_kernel::attention::{AdditiveScores, Attention, Hidden, Visible};
use std::sync::Arc;

/// The means of values (batch, places, heads, features) by queries (batch, steps, heads, dim) and keys (batch, places,
/// heads, dim), in this shape.
pub(super) fn attend(of: Attention, [q, k, v]: [&Strand; 3], shape: Vec<usize>) -> Result<Strand> {
    let of = Arc::new(of);
    let back = of.clone();
    fused(
        "attention",
        [q, k, v],
        shape,
        |[q, k, v], out| of.forward(q, k, v, out),
        move |Back { x: [q, k, v], d, .. }: Back<'_, 3>| back.backward(q, k, v, &d),
    )
}

/// The means of values (batch, places, features) by the sums of scale · tanh(query + key); `scale` is (dim).
pub(super) fn attend_additively(of: Attention, [q, k, v]: [&Strand; 3], scale: &Tensor) -> Result<Strand> {
    let sizes = AdditiveScores { steps: of.steps, places: of.places, dim: of.dim };
    let scores = fused(
        "additive-scores",
        [q, k, &scale.clone().into()],
        (of.batch, of.steps, of.places),
        |[q, k, scale], out| sizes.forward(q, k, scale, out),
        move |Back { x: [q, k, scale], d, .. }: Back<'_, 3>| sizes.backward(q, k, scale, &d),
    )?;
    let shape = (of.batch, of.steps, of.features);
    let of = Arc::new(of);
    let back = of.clone();
    fused(
        "weigh",
        [&scores, v],
        shape,
        |[scores, v], out| of.weigh(scores, v, out),
        move |Back { x: [scores, v], d, .. }: Back<'_, 2>| back.weigh_back(scores, v, &d),
    )
}

/// What `mask` (batch, heads, steps, places) leaves; its axes may be 1, where it is the same for all.
pub(super) fn visible(mask: &Tensor, places: usize, hidden: Hidden) -> Result<Visible> {
    let (batch, heads, steps, _) = mask.dims4()?;
    let mask = mask.broadcast_as((batch, heads, steps, places))?.to_dtype(DType::U8)?;
    let stride = |axis: usize, size: usize| if axis == 1 { 0 } else { size };
    Ok(Visible {
        seen: mask.contiguous()?.flatten_all()?.to_vec1()?,
        strides: [
            stride(batch, heads * steps * places),
            stride(heads, steps * places),
            stride(steps, places),
        ],
        hidden,
    })
}

/// Whether axes of these sizes are 1 or those of what they are broadcast to.
pub(super) fn broadcasts(mask: &Tensor, to: [usize; 4]) -> bool {
    mask.rank() == 4 && mask.dims().iter().zip(to).all(|(&axis, size)| axis == 1 || axis == size)
}

//! The factors that dropout multiplies with.

use super::strand::{Back, Strand, fused};
use crate::random::Stream;
use candle_core::{Result, Tensor};
use candle_recurrent_kernel::{elementwise, unwritten};
use std::sync::Arc;

/// `count` factors: 0 with probability `rate`, else 1 / (1 - rate).
pub(crate) fn mask(stream: &mut Stream, rate: f64, count: usize) -> Vec<f32> {
    stream.choices(rate, [(1.0 / (1.0 - rate)) as f32, 0.0], count)
}

/// `xs` times such factors, drawn in this shape, which broadcasts to that of `xs`.
pub(crate) fn drop_out(xs: &Strand, stream: &mut Stream, rate: f64, drawn: Vec<usize>) -> Result<Strand> {
    let values = xs.tensor();
    let mask = mask(stream, rate, drawn.iter().product());
    let Some((places, channels)) = repeats(&drawn, values.dims()).filter(|_| xs.fuses()) else {
        let mask = Tensor::from_vec(mask, drawn, values.device())?.to_dtype(values.dtype())?;
        return values.broadcast_mul(&mask).map(Strand::from);
    };
    let mask = Arc::new(mask);
    let of_forward = mask.clone();
    fused(
        "dropout",
        [xs],
        values.shape(),
        |[x], out| elementwise::multiply(places, channels, x, &of_forward, out),
        move |Back { d, .. }: Back<'_, 1>| {
            let mut d_x = unwritten(d.len());
            elementwise::multiply(places, channels, &d, &mask, &mut d_x);
            [d_x]
        },
    )
}

/// How many places of a sample share their factors, and how many factors a place has; none where axes share them otherwise.
fn repeats(drawn: &[usize], dims: &[usize]) -> Option<(usize, usize)> {
    if drawn == dims {
        return Some((1, 1));
    }
    let ([batch, between @ .., channels], [.., last]) = (drawn, dims) else { return None };
    let alike = drawn.len() == dims.len() && *batch == dims[0] && channels == last && *channels > 0;
    (alike && between.iter().all(|&axis| axis == 1))
        .then(|| (dims[1..dims.len() - 1].iter().product(), *channels))
}

//! Tensors side by side along their last axis, and steps from the last to the first.

use super::strand::{Back, Strand, fused};
use candle_core::{Result, Tensor, bail};
use candle_recurrent_kernel::{copy, unwritten};
use rayon::prelude::*;

/// Numbers that one thread copies at a time.
const SHARE: usize = 1 << 15;

/// Rows that one thread copies at a time, `width` numbers each; whole samples of `steps` rows.
fn rows(width: usize, steps: usize) -> usize {
    (SHARE / (width * steps).max(1)).max(1) * steps
}

/// `a` and `b` side by side along their last axis, the other axes alike; with `flips`, the steps of `b` (its axis 1) from
/// the last to the first.
pub fn beside(a: &Strand, b: &Strand, flips: bool) -> Result<Strand> {
    if flips && b.tensor().rank() != 3 {
        return beside(a, &flip(b)?, false);
    }
    let (left, right) = (a.tensor(), b.tensor());
    let last = left.rank().saturating_sub(1);
    let alike = left.rank() == right.rank() && left.rank() > 0 && left.dims()[..last] == right.dims()[..last];
    if !alike || !a.fuses() || !b.fuses() {
        let turned = if flips { flip(b)? } else { b.clone() };
        return Tensor::cat(&[left, turned.tensor()], last).map(Strand::from);
    }
    let widths = [left.dim(last)?, right.dim(last)?];
    let steps = if flips { left.dim(1)? } else { 1 };
    let mut shape = left.dims().to_vec();
    shape[last] = widths[0] + widths[1];
    let back = move |Back { x: [a, b], d, .. }: Back<'_, 2>| {
        let (mut d_a, mut d_b) = (unwritten(a.len()), unwritten(b.len()));
        cut(widths, steps, &d, &mut d_a, &mut d_b);
        [d_a, d_b]
    };
    fused("beside", [a, b], shape, |[a, b], out| place(widths, steps, a, b, out), back)
}

/// The inputs side by side along their last axis.
pub fn all_beside(inputs: &[Strand]) -> Result<Strand> {
    match inputs {
        [] => bail!("there is nothing to put side by side"),
        [one] => Ok(one.clone()),
        [a, b] => beside(a, b, false),
        _ => {
            let (left, right) = inputs.split_at(inputs.len() / 2);
            beside(&all_beside(left)?, &all_beside(right)?, false)
        }
    }
}

/// The inputs after each other along an axis that is not their last, the other axes alike: none where no op of this crate can.
pub fn after(inputs: &[Strand], axis: usize) -> Result<Option<Strand>> {
    let Some(first) = inputs.first() else { bail!("there is nothing to put side by side") };
    let mut shape = first.tensor().dims().to_vec();
    if axis + 1 >= shape.len() {
        return Ok(None);
    }
    let leading: usize = shape[..axis].iter().product();
    shape[axis] = 0;
    let mut rows = vec![];
    for input in inputs {
        let dims = input.tensor().dims();
        let alike = dims.len() == shape.len()
            && dims[..axis] == shape[..axis]
            && dims[axis + 1..] == shape[axis + 1..];
        if !alike || !input.fuses() {
            return Ok(None);
        }
        shape[axis] += dims[axis];
        rows.push(input.reshape(vec![leading, dims[axis..].iter().product()])?);
    }
    all_beside(&rows)?.reshape(shape).map(Some)
}

/// Where the row stands that is `row` with the steps of its sample from the last to the first.
fn turned(row: usize, steps: usize) -> usize {
    row - row % steps + (steps - 1 - row % steps)
}

fn place([left, right]: [usize; 2], steps: usize, a: &[f32], b: &[f32], out: &mut [f32]) {
    let rows = rows(left + right, steps);
    let part = |((a, b), out): ((&[f32], &[f32]), &mut [f32])| {
        for (row, out) in out.chunks_exact_mut(left + right).enumerate() {
            let (into_left, into_right) = out.split_at_mut(left);
            copy(&a[row * left..][..left], into_left);
            copy(&b[turned(row, steps) * right..][..right], into_right);
        }
    };
    let parts = a.par_chunks(rows * left).zip(b.par_chunks(rows * right));
    parts.zip(out.par_chunks_mut(rows * (left + right))).for_each(part);
}

fn cut([left, right]: [usize; 2], steps: usize, d: &[f32], d_a: &mut [f32], d_b: &mut [f32]) {
    let rows = rows(left + right, steps);
    let part = |((d_a, d_b), d): ((&mut [f32], &mut [f32]), &[f32])| {
        for (row, d) in d.chunks_exact(left + right).enumerate() {
            let (from_left, from_right) = d.split_at(left);
            copy(from_left, &mut d_a[row * left..][..left]);
            copy(from_right, &mut d_b[turned(row, steps) * right..][..right]);
        }
    };
    let parts = d_a.par_chunks_mut(rows * left).zip(d_b.par_chunks_mut(rows * right));
    parts.zip(d.par_chunks(rows * (left + right))).for_each(part);
}

/// The steps (axis 1) from the last to the first.
pub fn flip(xs: &Strand) -> Result<Strand> {
    let values = xs.tensor();
    let time = values.dim(1)?;
    if !xs.fuses() {
        let steps: Vec<u32> = (0..time as u32).rev().collect();
        let steps = Tensor::from_vec(steps, time, values.device())?;
        return values.contiguous()?.index_select(&steps, 1).map(Strand::from);
    }
    let width = values.dims().iter().skip(2).product();
    let back = move |Back { d, .. }: Back<'_, 1>| {
        let mut d_x = unwritten(d.len());
        turn(width, time, &d, &mut d_x);
        [d_x]
    };
    fused("flip", [xs], values.shape(), |[x], out| turn(width, time, x, out), back)
}

fn turn(width: usize, steps: usize, x: &[f32], out: &mut [f32]) {
    let size = rows(width, steps) * width;
    let part = |(x, out): (&[f32], &mut [f32])| {
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            copy(&x[turned(row, steps) * width..][..width], out);
        }
    };
    x.par_chunks(size).zip(out.par_chunks_mut(size)).for_each(part);
}

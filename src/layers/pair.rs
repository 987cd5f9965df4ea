//! Two tensors of one shape, element by element.

use super::strand::{Back, Strand, fused, fused_alike};
use candle_core::{Result, Tensor};
use candle_recurrent_kernel::pooling::{Places, global_sum};
use candle_recurrent_kernel::{column_sums, elementwise, unwritten};
use rayon::prelude::*;
use std::sync::Arc;

/// What becomes of each two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Their sum.
    Sum,
    /// Half of their sum.
    Mean,
    /// The first less the second.
    Difference,
    /// Their product.
    Product,
    /// The larger; NaN where one is. The first has the gradient where both are equal.
    Larger,
    /// The smaller, likewise.
    Smaller,
}

/// Numbers that one thread works through at a time.
const SHARE: usize = 1 << 15;

impl Pair {
    /// Whether [`of`](Self::of) can take the two.
    pub fn fits(a: &Strand, b: &Strand) -> bool {
        a.fuses() && b.fuses() && a.tensor().dims() == b.tensor().dims()
    }

    /// The pairs of `a` and `b`, which must fit.
    pub fn of(self, a: &Strand, b: &Strand) -> Result<Strand> {
        let forward = |[a, b]: [&[f32]; 2], out: &mut [f32]| match self {
            Self::Sum => each(a, b, out, |a, b| a + b),
            Self::Mean => each(a, b, out, |a, b| (a + b) / 2.0),
            Self::Difference => each(a, b, out, |a, b| a - b),
            Self::Product => each(a, b, out, |a, b| a * b),
            Self::Larger => each(a, b, out, |a, b| if first_wins(a, b, true) { a } else { b }),
            Self::Smaller => each(a, b, out, |a, b| if first_wins(a, b, false) { a } else { b }),
        };
        if matches!(self, Self::Sum | Self::Mean) {
            let backward = move |mut d: Vec<f32>| {
                if self == Self::Mean {
                    halve(&mut d);
                }
                d
            };
            return fused_alike("pair", [a, b], a.tensor().shape(), forward, backward);
        }
        let backward = move |Back { x: [a, b], mut d, wanted, .. }: Back<'_, 2>| {
            if !wanted[1] && self == Self::Product {
                in_place(b, &mut d, |b, d| d * b);
                return [d, vec![]];
            }
            let mut other = unwritten(d.len());
            match self {
                Self::Sum | Self::Mean => {}
                Self::Difference => each(&d, &d, &mut other, |d, _| -d),
                Self::Product => both(a, b, &mut d, &mut other, |a, b, d| (d * b, d * a)),
                Self::Larger => both(a, b, &mut d, &mut other, |a, b, d| to_winner(a, b, d, true)),
                Self::Smaller => both(a, b, &mut d, &mut other, |a, b, d| to_winner(a, b, d, false)),
            }
            [d, other]
        };
        fused("pair", [a, b], a.tensor().shape(), forward, backward)
    }
}

#[inline(always)]
fn first_wins(a: f32, b: f32, larger: bool) -> bool {
    a.is_nan() | if larger { a >= b } else { a <= b }
}

/// The gradient for the one that is taken, 0 for the other.
#[inline(always)]
fn to_winner(a: f32, b: f32, d: f32, larger: bool) -> (f32, f32) {
    let first = first_wins(a, b, larger);
    (if first { d } else { 0.0 }, if first { 0.0 } else { d })
}

/// Gradients of two in one pass: `d`, which comes in as that of what they give, and `other`.
fn both(
    a: &[f32],
    b: &[f32],
    d: &mut [f32],
    other: &mut [f32],
    f: impl Fn(f32, f32, f32) -> (f32, f32) + Sync,
) {
    type Parts<'a> = ((&'a [f32], &'a [f32]), (&'a mut [f32], &'a mut [f32]));
    let part = |((a, b), (d, other)): Parts<'_>| {
        for ((&a, &b), (d, other)) in a.iter().zip(b).zip(d.iter_mut().zip(other)) {
            (*d, *other) = f(a, b, *d);
        }
    };
    let given = a.par_chunks(SHARE).zip(b.par_chunks(SHARE));
    given.zip(d.par_chunks_mut(SHARE).zip(other.par_chunks_mut(SHARE))).for_each(part);
}

fn each(a: &[f32], b: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    let part = |((a, b), out): ((&[f32], &[f32]), &mut [f32])| {
        for ((&a, &b), out) in a.iter().zip(b).zip(out) {
            *out = f(a, b);
        }
    };
    a.par_chunks(SHARE).zip(b.par_chunks(SHARE)).zip(out.par_chunks_mut(SHARE)).for_each(part);
}

fn halve(d: &mut [f32]) {
    d.par_chunks_mut(SHARE).for_each(|d| d.iter_mut().for_each(|d| *d /= 2.0));
}

fn in_place(x: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    let part = |(x, out): (&[f32], &mut [f32])| {
        for (&x, out) in x.iter().zip(out) {
            *out = f(x, *out);
        }
    };
    x.par_chunks(SHARE).zip(out.par_chunks_mut(SHARE)).for_each(part);
}

/// `xs` times the factor of each element, plus the first number, or the second where the factor is 0.
pub fn times_plus(xs: &Strand, factors: Vec<f32>, [other, of_zero]: [f32; 2]) -> Result<Strand> {
    let factors = Arc::new(factors);
    let of_forward = factors.clone();
    let forward = |[x]: [&[f32]; 1], out: &mut [f32]| {
        each(x, &of_forward, out, |x, factor| x * factor + if factor == 0.0 { of_zero } else { other });
    };
    let back = move |Back { mut d, .. }: Back<'_, 1>| {
        in_place(&factors, &mut d, |factor, d| d * factor);
        [d]
    };
    fused("times-plus", [xs], xs.tensor().shape(), forward, back)
}

/// A function of each element, and its slope there.
pub fn mapped(
    xs: &Strand,
    value: impl Fn(f32) -> f32 + Sync,
    slope: impl Fn(f32) -> f32 + Send + Sync + 'static,
) -> Result<Strand> {
    let back = move |Back { x: [x], mut d, .. }: Back<'_, 1>| {
        in_place(x, &mut d, |x, d| d * slope(x));
        [d]
    };
    fused("mapped", [xs], xs.tensor().shape(), |[x], out| each(x, x, out, |x, _| value(x)), back)
}

/// x where it is above 0, else x times the slope of its place in a sample or in the last axes; `slopes` has as many numbers
/// as those axes.
pub fn with_slopes(xs: &Strand, slopes: &Tensor) -> Result<Strand> {
    let width = slopes.elem_count();
    let rows = (SHARE / width).max(1) * width;
    let back = move |Back { x: [x, slopes], mut d, wanted, .. }: Back<'_, 2>| {
        let mut d_slopes = vec![];
        if wanted[1] {
            let mut products = unwritten(d.len());
            each(x, &d, &mut products, |x, d| d * if x < 0.0 { x } else { 0.0 });
            d_slopes = column_sums(&products, width);
        }
        let part = |(x, d): (&[f32], &mut [f32])| {
            for (x, d) in x.chunks_exact(width).zip(d.chunks_exact_mut(width)) {
                for ((&x, d), &slope) in x.iter().zip(d).zip(slopes) {
                    // The slope at 0 is 0 from either side.
                    let below = if x == 0.0 { 0.0 } else { slope };
                    *d *= if x > 0.0 { 1.0 } else { below };
                }
            }
        };
        x.par_chunks(rows).zip(d.par_chunks_mut(rows)).for_each(part);
        [d, d_slopes]
    };
    let forward = |[x, slopes]: [&[f32]; 2], out: &mut [f32]| {
        let part = |(x, out): (&[f32], &mut [f32])| {
            for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                for ((&x, out), &slope) in x.iter().zip(out).zip(slopes) {
                    // A factor that is chosen, rather than a way that is gone: signs are hard to foresee.
                    *out = x * if x > 0.0 { 1.0 } else { slope };
                }
            }
        };
        x.par_chunks(rows).zip(out.par_chunks_mut(rows)).for_each(part);
    };
    fused("slopes", [xs, &slopes.clone().into()], xs.tensor().shape(), forward, back)
}

/// How often, and how many of the numbers of `xs` come again side by side where its axes of 1 are as long as these; none
/// where they lie apart.
fn repeats(xs: &Strand, dims: &[usize]) -> Option<Places> {
    let given = xs.tensor().dims();
    if given.len() != dims.len() || !xs.fuses() {
        return None;
    }
    let differs = |axis: &usize| given[*axis] != dims[*axis];
    let (first, last) = ((0..dims.len()).find(differs)?, (0..dims.len()).rfind(differs)?);
    let of =
        Places { places: dims[first..=last].iter().product(), channels: dims[last + 1..].iter().product() };
    given[first..=last].iter().all(|&axis| axis == 1).then_some(of)
}

/// `xs` plus `vector` as often as its axes of 1 ask for: none where they do not lie side by side.
pub fn plus_repeated(xs: &Strand, vector: &Strand) -> Result<Option<Strand>> {
    let dims = xs.tensor().dims();
    let Some(of) = repeats(vector, dims).filter(|_| xs.fuses()) else { return Ok(None) };
    let back = move |Back { x: [_, vector], d, wanted, .. }: Back<'_, 2>| {
        let mut d_vector = unwritten(if wanted[1] { vector.len() } else { 0 });
        if wanted[1] {
            global_sum(of, &d, &mut d_vector);
        }
        [d, d_vector]
    };
    let forward = |[x, vector]: [&[f32]; 2], out: &mut [f32]| {
        elementwise::add_repeated(of.places, of.channels, x, vector, out);
    };
    fused("plus", [xs, vector], dims.to_vec(), forward, back).map(Some)
}

/// `xs` as often as its axes of 1 ask for to be of these sizes: none where they do not lie side by side.
pub fn widened(xs: &Strand, dims: &[usize]) -> Result<Option<Strand>> {
    if xs.tensor().dims() == dims {
        return Ok(Some(xs.clone()));
    }
    let Some(of) = repeats(xs, dims) else { return Ok(None) };
    let (channels, size) = (of.channels, of.places * of.channels);
    let count = (SHARE / size.max(1)).max(1);
    let forward = |[x]: [&[f32]; 1], out: &mut [f32]| {
        let part = |(x, out): (&[f32], &mut [f32])| {
            for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(size)) {
                match x {
                    [x] => out.fill(*x),
                    _ => out.chunks_exact_mut(channels).for_each(|out| out.copy_from_slice(x)),
                }
            }
        };
        x.par_chunks(count * channels).zip(out.par_chunks_mut(count * size)).for_each(part);
    };
    let back = move |Back { x: [x], d, .. }: Back<'_, 1>| {
        let mut d_x = unwritten(x.len());
        global_sum(of, &d, &mut d_x);
        [d_x]
    };
    if size == 0 {
        return Ok(None);
    }
    fused("widened", [xs], dims.to_vec(), forward, back).map(Some)
}

/// `xs`, whose last axis has a number each: times these, none where they are not so.
pub fn times_numbers(xs: &Strand, numbers: &Strand) -> Result<Option<Strand>> {
    let (dims, given) = (xs.tensor().dims(), numbers.tensor().dims());
    let ([leading @ .., width], [of_numbers @ .., 1]) = (dims, given) else { return Ok(None) };
    if leading != of_numbers || !xs.fuses() || !numbers.fuses() {
        return Ok(None);
    }
    let width = *width;
    let back = move |Back { x: [x, numbers], mut d, .. }: Back<'_, 2>| {
        let mut d_numbers = unwritten(numbers.len());
        elementwise::multiply_rows_back(width, x, numbers, &mut d, &mut d_numbers);
        [d, d_numbers]
    };
    let forward =
        |[x, numbers]: [&[f32]; 2], out: &mut [f32]| elementwise::multiply_rows(width, x, numbers, out);
    fused("rows", [xs, numbers], dims.to_vec(), forward, back).map(Some)
}

/// `xs` times a number, plus another.
pub fn rescaled(xs: &Strand, scale: f32, offset: f32) -> Result<Strand> {
    mapped(xs, move |x| x * scale + offset, move |_| scale)
}

/// `xs` divided by a number.
pub fn divided(xs: &Strand, by: f32) -> Result<Strand> {
    let back = move |Back { x: [x], mut d, .. }: Back<'_, 1>| {
        in_place(x, &mut d, |_, d| d / by);
        [d]
    };
    fused("divided", [xs], xs.tensor().shape(), |[x], out| each(x, x, out, |x, _| x / by), back)
}

//! Two tensors of one shape, element by element.

use super::strand::{Back, Strand, fused};
use candle_core::Result;
use rayon::prelude::*;

/// What becomes of each two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Their sum.
    Sum,
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
            Self::Difference => each(a, b, out, |a, b| a - b),
            Self::Product => each(a, b, out, |a, b| a * b),
            Self::Larger => each(a, b, out, |a, b| if first_wins(a, b, true) { a } else { b }),
            Self::Smaller => each(a, b, out, |a, b| if first_wins(a, b, false) { a } else { b }),
        };
        let backward = move |Back { x: [a, b], mut d, .. }: Back<'_, 2>| {
            let mut other = vec![0.0; d.len()];
            match self {
                Self::Sum => other.copy_from_slice(&d),
                Self::Difference => each(&d, &d, &mut other, |d, _| -d),
                Self::Product => {
                    each(&d, a, &mut other, |d, a| d * a);
                    in_place(b, &mut d, |b, d| d * b);
                }
                Self::Larger | Self::Smaller => {
                    let larger = self == Self::Larger;
                    // What the second wins is 0 for the first.
                    let mut first = vec![0.0; d.len()];
                    each(a, b, &mut first, |a, b| f32::from(first_wins(a, b, larger)));
                    each(&d, &first, &mut other, |d, first| if first == 0.0 { d } else { 0.0 });
                    in_place(&first, &mut d, |first, d| if first == 0.0 { 0.0 } else { d });
                }
            }
            [d, other]
        };
        fused("pair", [a, b], a.tensor().shape(), forward, backward)
    }
}

fn first_wins(a: f32, b: f32, larger: bool) -> bool {
    a.is_nan() || if larger { a >= b } else { a <= b }
}

fn each(a: &[f32], b: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    let part = |((a, b), out): ((&[f32], &[f32]), &mut [f32])| {
        for ((&a, &b), out) in a.iter().zip(b).zip(out) {
            *out = f(a, b);
        }
    };
    a.par_chunks(SHARE).zip(b.par_chunks(SHARE)).zip(out.par_chunks_mut(SHARE)).for_each(part);
}

fn in_place(x: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    let part = |(x, out): (&[f32], &mut [f32])| {
        for (&x, out) in x.iter().zip(out) {
            *out = f(x, *out);
        }
    };
    x.par_chunks(SHARE).zip(out.par_chunks_mut(SHARE)).for_each(part);
}

/// `xs` divided by a number.
pub fn divided(xs: &Strand, by: f32) -> Result<Strand> {
    let back = move |Back { x: [x], mut d, .. }: Back<'_, 1>| {
        in_place(x, &mut d, |_, d| d / by);
        [d]
    };
    fused("divided", [xs], xs.tensor().shape(), |[x], out| each(x, x, out, |x, _| x / by), back)
}

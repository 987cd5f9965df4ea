//! Element by element: activations of whole tensors and of their last axis, and products with masks.

use crate::activation::{Activation, Elementwise, with_function};
use crate::isa::{dispatch, outline};
use crate::logarithm;
use crate::math;
use crate::vectorized::{SHARE, vectorized};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Vectors side by side.
const ABREAST: usize = 4;

/// An activation of each element.
pub fn activate(activation: Activation, x: &[f32], out: &mut [f32]) {
    let part = |x: &[f32], out: &mut [f32]| dispatch(Activate { activation, x, out });
    if x.len() < 2 * SHARE {
        return part(x, out);
    }
    x.par_chunks(SHARE).zip(out.par_chunks_mut(SHARE)).for_each(|(x, out)| part(x, out));
}

/// The gradient of [`activate`], whose input was `x` and output `y`, in place of that of its output.
pub fn activate_back(activation: Activation, x: &[f32], y: &[f32], d: &mut [f32]) {
    let part = |x: &[f32], y: &[f32], d: &mut [f32]| dispatch(ActivateBack { activation, x, y, d });
    if x.len() < 2 * SHARE {
        return part(x, y, d);
    }
    let given = x.par_chunks(SHARE).zip(y.par_chunks(SHARE));
    given.zip(d.par_chunks_mut(SHARE)).for_each(|((x, y), d)| part(x, y, d));
}

struct Activate<'a> {
    activation: Activation,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { activation, x, out } = self;
        with_function!(activation, f => outline(simd, Forward(f, x, out)));
    }
}

struct Forward<'a, F>(F, &'a [f32], &'a mut [f32]);

impl<F: Elementwise> WithSimd for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(f, x, out) = self;
        let tile = ABREAST * S::F32_LANES;
        let whole = x.len() / tile * tile;
        let tiles = pulp::as_arrays::<ABREAST, _>(S::as_simd_f32s(&x[..whole]).0).0;
        let into = pulp::as_arrays_mut::<ABREAST, _>(S::as_mut_simd_f32s(&mut out[..whole]).0).0;
        for t in 0..tiles.len() {
            into[t] = f.values(simd, tiles[t]);
        }
        // What is left, in whole vectors.
        let left = x.len() - whole;
        let mut rest = [0.0f32; LONGEST];
        rest[..left].copy_from_slice(&x[whole..]);
        let vectors = S::as_mut_simd_f32s(&mut rest).0;
        for v in 0..left.div_ceil(S::F32_LANES) {
            vectors[v] = f.values(simd, [vectors[v]])[0];
        }
        out[whole..].copy_from_slice(&rest[..left]);
    }
}

/// The longest that is left of whole tiles.
const LONGEST: usize = ABREAST * 16;

struct ActivateBack<'a> {
    activation: Activation,
    x: &'a [f32],
    y: &'a [f32],
    d: &'a mut [f32],
}

impl WithSimd for ActivateBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { activation, x, y, d } = self;
        with_function!(activation, f => outline(simd, Backward(f, x, y, d)));
    }
}

struct Backward<'a, F>(F, &'a [f32], &'a [f32], &'a mut [f32]);

impl<F: Elementwise> WithSimd for Backward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(f, x, y, d) = self;
        let tile = ABREAST * S::F32_LANES;
        let whole = x.len() / tile * tile;
        let xs = pulp::as_arrays::<ABREAST, _>(S::as_simd_f32s(&x[..whole]).0).0;
        let ys = pulp::as_arrays::<ABREAST, _>(S::as_simd_f32s(&y[..whole]).0).0;
        let ds = pulp::as_arrays_mut::<ABREAST, _>(S::as_mut_simd_f32s(&mut d[..whole]).0).0;
        for t in 0..xs.len() {
            let slopes = f.slopes(simd, xs[t], ys[t]);
            for m in 0..ABREAST {
                ds[t][m] = simd.mul_f32s(ds[t][m], slopes[m]);
            }
        }
        let left = x.len() - whole;
        let mut rest = [[0.0f32; LONGEST]; 2];
        rest[0][..left].copy_from_slice(&x[whole..]);
        rest[1][..left].copy_from_slice(&y[whole..]);
        let mut slopes = [0.0f32; LONGEST];
        let (xs, ys) = (S::as_simd_f32s(&rest[0]).0, S::as_simd_f32s(&rest[1]).0);
        let into = S::as_mut_simd_f32s(&mut slopes).0;
        for v in 0..left.div_ceil(S::F32_LANES) {
            into[v] = f.slopes(simd, [xs[v]], [ys[v]])[0];
        }
        for i in 0..left {
            d[whole + i] *= slopes[i];
        }
    }
}

/// Softmax of rows of `width` numbers, or its logarithm.
pub fn softmax(width: usize, logarithm: bool, x: &[f32], out: &mut [f32]) {
    let size = rows(width) * width;
    let part = |x: &[f32], out: &mut [f32]| dispatch(Softmax { width, logarithm, x, out });
    if x.len() < 2 * SHARE {
        return part(x, out);
    }
    x.par_chunks(size).zip(out.par_chunks_mut(size)).for_each(|(x, out)| part(x, out));
}

/// The gradient of [`softmax`], whose output was `y`, in place of that of its output.
pub fn softmax_back(width: usize, logarithm: bool, y: &[f32], d: &mut [f32]) {
    let size = rows(width) * width;
    let part = |y: &[f32], d: &mut [f32]| dispatch(SoftmaxBack { width, logarithm, y, d });
    if y.len() < 2 * SHARE {
        return part(y, d);
    }
    y.par_chunks(size).zip(d.par_chunks_mut(size)).for_each(|(y, d)| part(y, d));
}

fn rows(width: usize) -> usize {
    (SHARE / width.max(1)).max(1)
}

struct Softmax<'a> {
    width: usize,
    logarithm: bool,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { width, logarithm, x, out } = self;
        // Rows may be short, so that the exponentials are taken of all of them at once.
        for row in 0..x.len() / width {
            let (x, out) = (&x[row * width..][..width], &mut out[row * width..][..width]);
            let largest = largest(x);
            for c in 0..width {
                out[c] = x[c] - largest;
            }
        }
        if logarithm {
            let mut exponentials = out.to_vec();
            outline(simd, Exponentials(&mut exponentials));
            // Each sum is 1 at least, or NaN. Their logarithms are taken side by side.
            let mut logarithms = vec![0.0f64; x.len() / width];
            for row in 0..logarithms.len() {
                logarithms[row] = sum(&exponentials[row * width..][..width]);
            }
            for row in 0..logarithms.len() {
                let sum = logarithms[row];
                logarithms[row] = if sum.is_nan() { sum } else { logarithm::logarithm(sum) };
            }
            for row in 0..logarithms.len() {
                let sum = logarithms[row] as f32;
                let out = &mut out[row * width..][..width];
                for c in 0..width {
                    out[c] -= sum;
                }
            }
        } else {
            outline(simd, Exponentials(&mut *out));
            for row in 0..x.len() / width {
                let out = &mut out[row * width..][..width];
                let share = (1.0 / sum(out)) as f32;
                for c in 0..width {
                    out[c] *= share;
                }
            }
        }
    }
}

/// The largest of a row; a NaN shows in its exponential.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 8];
    for eight in 0..x.len() / 8 {
        for lane in 0..8 {
            let x = x[eight * 8 + lane];
            lanes[lane] = if x > lanes[lane] { x } else { lanes[lane] };
        }
    }
    for half in [4, 2, 1] {
        for lane in 0..half {
            let x = lanes[lane + half];
            lanes[lane] = if x > lanes[lane] { x } else { lanes[lane] };
        }
    }
    let mut largest = lanes[0];
    for i in x.len() / 8 * 8..x.len() {
        largest = if x[i] > largest { x[i] } else { largest };
    }
    largest
}

/// The sum of eight sums, as a tree: nothing waits for a chain.
#[inline(always)]
fn total(lanes: &[f64; 8]) -> f64 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

#[inline(always)]
fn sum(values: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    for eight in 0..values.len() / 8 {
        for lane in 0..8 {
            lanes[lane] += f64::from(values[eight * 8 + lane]);
        }
    }
    for i in values.len() / 8 * 8..values.len() {
        lanes[i % 8] += f64::from(values[i]);
    }
    total(&lanes)
}

/// Turns numbers into their exponentials.
struct Exponentials<'a>(&'a mut [f32]);

impl WithSimd for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (vectors, rest) = S::as_mut_simd_f32s(self.0);
        for v in 0..vectors.len() {
            vectors[v] = math::exp(simd, vectors[v]);
        }
        let mut last = [0.0f32; 16];
        last[..rest.len()].copy_from_slice(rest);
        let vector = S::as_mut_simd_f32s(&mut last).0;
        vector[0] = math::exp(simd, vector[0]);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

struct SoftmaxBack<'a> {
    width: usize,
    logarithm: bool,
    y: &'a [f32],
    d: &'a mut [f32],
}

impl WithSimd for SoftmaxBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { width, logarithm, y, d } = self;
        let mut exponentials = vec![];
        if logarithm {
            exponentials.extend_from_slice(y);
            outline(simd, Exponentials(&mut exponentials));
        }
        for row in 0..y.len() / width {
            let d = &mut d[row * width..][..width];
            if logarithm {
                let sum = sum(d) as f32;
                let p = &exponentials[row * width..][..width];
                for c in 0..width {
                    d[c] = p[c].mul_add(-sum, d[c]);
                }
            } else {
                let y = &y[row * width..][..width];
                let mean = product(y, d) as f32;
                for c in 0..width {
                    d[c] = y[c] * (d[c] - mean);
                }
            }
        }
    }
}

#[inline(always)]
fn product(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    for eight in 0..a.len() / 8 {
        for lane in 0..8 {
            let at = eight * 8 + lane;
            lanes[lane] += f64::from(a[at]) * f64::from(b[at]);
        }
    }
    for i in a.len() / 8 * 8..a.len() {
        lanes[i % 8] += f64::from(a[i]) * f64::from(b[i]);
    }
    total(&lanes)
}

/// `x` (batch, places, channels) times `mask` (batch, channels), the same at every place. One place is a product of each
/// with each.
pub fn multiply(places: usize, channels: usize, x: &[f32], mask: &[f32], out: &mut [f32]) {
    let (size, count) = if places == 1 { (1, SHARE) } else { (places * channels, 1) };
    let channels = if places == 1 { 1 } else { channels };
    let count = count.max(SHARE / size.max(1));
    let part = |((x, mask), out): ((&[f32], &[f32]), &mut [f32])| product_of(places, channels, x, mask, out);
    let given = x.par_chunks((count * size).max(1)).zip(mask.par_chunks((count * channels).max(1)));
    given.zip(out.par_chunks_mut((count * size).max(1))).for_each(part);
}

vectorized! {
    fn product_of<'a>(places: usize, channels: usize, x: &'a [f32], mask: &'a [f32], out: &'a mut [f32]) {
        if places == 1 {
            row_product(x, mask, out);
        } else {
            for sample in 0..mask.len() / channels {
                let mask = &mask[sample * channels..][..channels];
                for place in 0..places {
                    let at = (sample * places + place) * channels;
                    row_product(&x[at..][..channels], mask, &mut out[at..][..channels]);
                }
            }
        }
    }
}

#[inline(always)]
fn row_product(x: &[f32], mask: &[f32], out: &mut [f32]) {
    let (x, mask) = (&x[..out.len()], &mask[..out.len()]);
    for c in 0..out.len() {
        out[c] = x[c] * mask[c];
    }
}

/// `x` (batch, places, channels) plus `vector` (batch, channels), the same at every place.
pub fn add_repeated(places: usize, channels: usize, x: &[f32], vector: &[f32], out: &mut [f32]) {
    let size = places * channels;
    if x.len() < 2 * SHARE || size == 0 {
        return sum_of(channels, places, x, vector, out);
    }
    if size < SHARE {
        let count = SHARE / size;
        let given = x.par_chunks(count * size).zip(vector.par_chunks(count * channels));
        let given = given.zip(out.par_chunks_mut(count * size));
        return given.for_each(|((x, vector), out)| sum_of(channels, places, x, vector, out));
    }
    // Large samples, some places at a time.
    let part = rows(channels) * channels;
    for ((x, vector), out) in
        x.chunks_exact(size).zip(vector.chunks_exact(channels)).zip(out.chunks_exact_mut(size))
    {
        let given = x.par_chunks(part).zip(out.par_chunks_mut(part));
        given.for_each(|(x, out)| sum_of(channels, x.len() / channels, x, vector, out));
    }
}

vectorized! {
    fn sum_of<'a>(channels: usize, places: usize, x: &'a [f32], vector: &'a [f32], out: &'a mut [f32]) {
        for sample in 0..vector.len() / channels.max(1) {
            let vector = &vector[sample * channels..][..channels];
            for place in 0..places {
                let at = (sample * places + place) * channels;
                let (x, out) = (&x[at..][..channels], &mut out[at..][..channels]);
                for c in 0..channels {
                    out[c] = x[c] + vector[c];
                }
            }
        }
    }
}

/// `x`, rows of `width` numbers, each row times its number.
pub fn multiply_rows(width: usize, x: &[f32], numbers: &[f32], out: &mut [f32]) {
    let rows = rows(width);
    let part = |((x, numbers), out): ((&[f32], &[f32]), &mut [f32])| each_row_times(width, x, numbers, out);
    if x.len() < 2 * SHARE {
        return part(((x, numbers), out));
    }
    let given = x.par_chunks(rows * width).zip(numbers.par_chunks(rows));
    given.zip(out.par_chunks_mut(rows * width)).for_each(part);
}

/// The gradient of `x` of [`multiply_rows`] in place of that of its output, `d`; and the gradient of the numbers.
pub fn multiply_rows_back(width: usize, x: &[f32], numbers: &[f32], d: &mut [f32], d_numbers: &mut [f32]) {
    let rows = rows(width);
    type Parts<'a> = ((&'a [f32], &'a [f32]), (&'a mut [f32], &'a mut [f32]));
    let part = |((x, numbers), (d, d_numbers)): Parts<'_>| {
        each_row_back(width, x, numbers, d, d_numbers);
    };
    if x.len() < 2 * SHARE {
        return part(((x, numbers), (d, d_numbers)));
    }
    let given = x.par_chunks(rows * width).zip(numbers.par_chunks(rows));
    given.zip(d.par_chunks_mut(rows * width).zip(d_numbers.par_chunks_mut(rows))).for_each(part);
}

vectorized! {
    fn each_row_times<'a>(width: usize, x: &'a [f32], numbers: &'a [f32], out: &'a mut [f32]) {
        for row in 0..numbers.len() {
            let (x, out) = (&x[row * width..][..width], &mut out[row * width..][..width]);
            let number = numbers[row];
            for c in 0..width {
                out[c] = x[c] * number;
            }
        }
    }
}

vectorized! {
    fn each_row_back<'a>(
        width: usize,
        x: &'a [f32],
        numbers: &'a [f32],
        d: &'a mut [f32],
        d_numbers: &'a mut [f32],
    ) {
        for row in 0..numbers.len() {
            let (x, d) = (&x[row * width..][..width], &mut d[row * width..][..width]);
            d_numbers[row] = product(x, d) as f32;
            let number = numbers[row];
            for c in 0..width {
                d[c] *= number;
            }
        }
    }
}

//! What normalisations add up, and what they make of it: statistics in f64, in an order that follows from the shapes.
//!
//! Features lie along the last axis but one of (outer, features, inner); `inner` is 1 where they lie along the last.

use crate::isa::dispatch;
use crate::vectorized::{SHARE, vectorized};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Where the features of a tensor lie: (outer, features, inner).
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// How many.
    pub features: usize,
    /// Numbers of a feature that follow each other.
    pub inner: usize,
}

impl Features {
    fn row(self) -> usize {
        self.features * self.inner
    }

    /// Rows that are added up at a time.
    fn rows(self) -> usize {
        (SHARE / self.row().max(1)).max(32)
    }
}

/// Σ x and Σ x² of each feature, over the rows that `mask` leaves.
pub fn sums(of: Features, x: &[f32], mask: Option<&[u8]>) -> [Vec<f64>; 2] {
    shares(of, x.len(), |rows, from, both| {
        let part = &x[rows.start * of.row()..rows.end * of.row()];
        let mask = mask.map(|mask| &mask[rows.start..rows.end]);
        let (sums, squares) = both.split_at_mut(from);
        add_squares(of, part, mask, sums, squares);
    })
}

/// Σ d and Σ d (x - mean) of each feature.
pub fn products(of: Features, x: &[f32], d: &[f32], mean: &[f32]) -> [Vec<f64>; 2] {
    shares(of, x.len(), |rows, from, both| {
        let range = rows.start * of.row()..rows.end * of.row();
        let (sums, products) = both.split_at_mut(from);
        add_products(of, &x[range.clone()], &d[range], mean, sums, products);
    })
}

/// Adds up the shares of so many rows each, in their order, whichever thread was first. `add` gets the rows, and the place
/// where the second sums begin.
fn shares(
    of: Features,
    len: usize,
    add: impl Fn(std::ops::Range<usize>, usize, &mut [f64]) + Sync,
) -> [Vec<f64>; 2] {
    let (rows, each) = (len / of.row().max(1), of.rows());
    let share = |at: usize| {
        let mut both = vec![0.0f64; 2 * of.features];
        add(at * each..((at + 1) * each).min(rows), of.features, &mut both);
        both
    };
    let count = rows.div_ceil(each);
    let shares: Vec<Vec<f64>> = match count {
        0..2 => (0..count).map(share).collect(),
        _ => (0..count).into_par_iter().map(share).collect(),
    };
    let mut total = vec![0.0f64; 2 * of.features];
    for share in shares {
        for (total, share) in total.iter_mut().zip(share) {
            *total += share;
        }
    }
    let second = total.split_off(of.features);
    [total, second]
}

/// Features below which several rows are taken side by side.
const NARROW: usize = 256;

/// Rows side by side: loops over few features would end before their vectors are under way.
#[inline(always)]
fn abreast(features: usize) -> usize {
    let mut rows = 1;
    while rows * features.max(1) < NARROW {
        rows *= 2;
    }
    rows
}

vectorized! {
    fn add_squares<'a>(
        of: Features,
        x: &'a [f32],
        mask: Option<&'a [u8]>,
        sums: &'a mut [f64],
        squares: &'a mut [f64],
    ) {
        let Features { features, inner } = of;
        if let Some(mask) = mask {
            for row in 0..mask.len() {
                if mask[row] != 0 {
                    square_row(&x[row * features..][..features], sums, squares);
                }
            }
        } else if inner == 1 {
            let width = abreast(features) * features;
            let (mut wide, mut wide_squares) = (vec![0.0f64; width], vec![0.0f64; width]);
            for row in 0..x.len() / width {
                square_row(&x[row * width..][..width], &mut wide, &mut wide_squares);
            }
            let left = x.len() / width * width;
            square_row(&x[left..], &mut wide[..x.len() - left], &mut wide_squares[..x.len() - left]);
            fold(&wide, sums);
            fold(&wide_squares, squares);
        } else {
            for run in 0..x.len() / inner {
                let x = &x[run * inner..][..inner];
                let (mut sum, mut square) = ([0.0f64; 8], [0.0f64; 8]);
                for eight in 0..inner / 8 {
                    square_row(&x[eight * 8..][..8], &mut sum, &mut square);
                }
                let left = inner / 8 * 8;
                square_row(&x[left..], &mut sum[..inner - left], &mut square[..inner - left]);
                sums[run % features] += total(&sum);
                squares[run % features] += total(&square);
            }
        }
    }
}

#[inline(always)]
fn square_row(x: &[f32], sums: &mut [f64], squares: &mut [f64]) {
    let (x, squares) = (&x[..sums.len()], &mut squares[..sums.len()]);
    for c in 0..sums.len() {
        let x = f64::from(x[c]);
        sums[c] += x;
        // The product of two f32 is exact, so this rounds once as mul_add does.
        squares[c] += x * x;
    }
}

/// Adds the rows that stood side by side.
#[inline(always)]
fn fold(wide: &[f64], sums: &mut [f64]) {
    let features = sums.len();
    for row in 0..wide.len() / features {
        for c in 0..features {
            sums[c] += wide[row * features + c];
        }
    }
}

#[inline(always)]
fn total(lanes: &[f64; 8]) -> f64 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

vectorized! {
    fn add_products<'a>(
        of: Features,
        x: &'a [f32],
        d: &'a [f32],
        mean: &'a [f32],
        sums: &'a mut [f64],
        products: &'a mut [f64],
    ) {
        let Features { features, inner } = of;
        if inner == 1 {
            let rows = abreast(features);
            let width = rows * features;
            let means = repeated(mean, width);
            let (mut wide, mut wide_products) = (vec![0.0f64; width], vec![0.0f64; width]);
            for row in 0..x.len() / width {
                let (x, d) = (&x[row * width..][..width], &d[row * width..][..width]);
                product_row(x, d, &means, &mut wide, &mut wide_products);
            }
            let left = x.len() / width * width;
            let count = x.len() - left;
            product_row(&x[left..], &d[left..], &means, &mut wide[..count], &mut wide_products[..count]);
            fold(&wide, sums);
            fold(&wide_products, products);
        } else {
            for run in 0..x.len() / inner {
                let (x, d) = (&x[run * inner..][..inner], &d[run * inner..][..inner]);
                let means = [mean[run % features]; 8];
                let (mut sum, mut product) = ([0.0f64; 8], [0.0f64; 8]);
                for eight in 0..inner / 8 {
                    product_row(&x[eight * 8..][..8], &d[eight * 8..][..8], &means, &mut sum, &mut product);
                }
                let left = inner / 8 * 8;
                let count = inner - left;
                product_row(&x[left..], &d[left..], &means, &mut sum[..count], &mut product[..count]);
                sums[run % features] += total(&sum);
                products[run % features] += total(&product);
            }
        }
    }
}

#[inline(always)]
fn product_row(x: &[f32], d: &[f32], mean: &[f32], sums: &mut [f64], products: &mut [f64]) {
    let (x, d, mean) = (&x[..sums.len()], &d[..sums.len()], &mean[..sums.len()]);
    let products = &mut products[..sums.len()];
    for c in 0..sums.len() {
        let slope = f64::from(d[c]);
        sums[c] += slope;
        products[c] += slope * f64::from(x[c] - mean[c]);
    }
}

/// (x - mean) · scale + shift of each feature.
pub fn scale(of: Features, x: &[f32], mean: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
    let row = of.row();
    let part = |x: &[f32], out: &mut [f32]| {
        // Of a few features that fill whole vectors, all that belongs to them stays in registers.
        let done = match of.inner {
            1 => dispatch(ScaleNarrow { features: of.features, x, of: [mean, scale, shift], out: &mut *out }),
            _ => 0,
        };
        scale_rows(of, &x[done..], mean, scale, shift, &mut out[done..]);
    };
    if x.len() < 2 * SHARE {
        return part(x, out);
    }
    let each = of.rows() * row;
    x.par_chunks(each).zip(out.par_chunks_mut(each)).for_each(|(x, out)| part(x, out));
}

/// Scales as many rows as it can, and gives how many numbers those are.
struct ScaleNarrow<'a> {
    features: usize,
    x: &'a [f32],
    of: [&'a [f32]; 3],
    out: &'a mut [f32],
}

impl WithSimd for ScaleNarrow<'_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        // Rows side by side until they fill a vector.
        let mut width = self.features;
        while !width.is_multiple_of(S::F32_LANES) && width < S::F32_LANES {
            width *= 2;
        }
        if !width.is_multiple_of(S::F32_LANES) {
            return 0;
        }
        match width / S::F32_LANES {
            1 => self.rows::<S, 1>(simd),
            2 => self.rows::<S, 2>(simd),
            4 => self.rows::<S, 4>(simd),
            _ => 0,
        }
    }
}

impl ScaleNarrow<'_> {
    /// Rows that fill `V` vectors.
    #[inline(always)]
    fn rows<S: Simd, const V: usize>(self, simd: S) -> usize {
        let Self { features, x, of, out } = self;
        let mut values = [[simd.splat_f32s(0.0); V]; 3];
        for which in 0..3 {
            let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(&mut values[which]);
            for at in 0..lanes.len() {
                lanes[at] = of[which][at % features];
            }
        }
        let [mean, scale, shift] = values;
        let tiles = pulp::as_arrays::<V, _>(S::as_simd_f32s(x).0).0;
        let into = pulp::as_arrays_mut::<V, _>(S::as_mut_simd_f32s(out).0).0;
        for t in 0..tiles.len() {
            for v in 0..V {
                let apart = simd.sub_f32s(tiles[t][v], mean[v]);
                into[t][v] = simd.mul_add_f32s(apart, scale[v], shift[v]);
            }
        }
        tiles.len() * V * S::F32_LANES
    }
}

vectorized! {
    fn scale_rows<'a>(
        of: Features,
        x: &'a [f32],
        mean: &'a [f32],
        scale: &'a [f32],
        shift: &'a [f32],
        out: &'a mut [f32],
    ) {
        let Features { features, inner } = of;
        if inner == 1 {
            let width = abreast(features) * features;
            let (mean, scale, shift) =
                (repeated(mean, width), repeated(scale, width), repeated(shift, width));
            for row in 0..x.len() / width {
                let (x, out) = (&x[row * width..][..width], &mut out[row * width..][..width]);
                scale_row(x, &mean, &scale, &shift, out);
            }
            let left = x.len() / width * width;
            scale_row(&x[left..], &mean, &scale, &shift, &mut out[left..]);
        } else {
            for run in 0..x.len() / inner {
                let (x, out) = (&x[run * inner..][..inner], &mut out[run * inner..][..inner]);
                let (mean, scale, shift) = (mean[run % features], scale[run % features], shift[run % features]);
                for i in 0..inner {
                    out[i] = (x[i] - mean).mul_add(scale, shift);
                }
            }
        }
    }
}

/// Values over and over, `width` of them.
#[inline(always)]
fn repeated(values: &[f32], width: usize) -> Vec<f32> {
    let mut repeated = vec![0.0f32; width];
    for row in 0..width / values.len() {
        repeated[row * values.len()..][..values.len()].copy_from_slice(values);
    }
    repeated
}

#[inline(always)]
fn scale_row(x: &[f32], mean: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
    let n = out.len();
    let (x, mean, scale, shift) = (&x[..n], &mean[..n], &scale[..n], &shift[..n]);
    for c in 0..n {
        out[c] = (x[c] - mean[c]).mul_add(scale[c], shift[c]);
    }
}

/// What a feature's gradient is made of: `scale · (d - shift - (x - mean) · slope)`.
#[derive(Clone, Debug, Default)]
pub struct Back {
    /// The statistics' mean.
    pub mean: Vec<f32>,
    /// What x was multiplied with.
    pub scale: Vec<f32>,
    /// What comes through the mean.
    pub shift: Vec<f32>,
    /// What comes through the variance.
    pub slope: Vec<f32>,
}

/// The gradient of [`scale`] where mean and variance are those of the rows that `mask` leaves, in place of that of its
/// output.
pub fn scale_back(of: Features, back: &Back, x: &[f32], mask: Option<&[u8]>, d: &mut [f32]) {
    let each = of.rows();
    let part = |(at, (x, d)): (usize, (&[f32], &mut [f32]))| {
        back_rows(of, back, x, mask.map(|mask| &mask[at * each..]), d);
    };
    let size = (each * of.row()).max(1);
    x.par_chunks(size).zip(d.par_chunks_mut(size)).enumerate().for_each(part);
}

vectorized! {
    fn back_rows<'a>(of: Features, back: &'a Back, x: &'a [f32], mask: Option<&'a [u8]>, d: &'a mut [f32]) {
        let Features { features, inner } = of;
        let (mean, scale) = (&back.mean[..features], &back.scale[..features]);
        let (shift, slope) = (&back.shift[..features], &back.slope[..features]);
        if mask.is_none() && inner == 1 {
            let width = abreast(features) * features;
            let (mean, scale) = (repeated(mean, width), repeated(scale, width));
            let (shift, slope) = (repeated(shift, width), repeated(slope, width));
            for row in 0..x.len() / width {
                let (x, d) = (&x[row * width..][..width], &mut d[row * width..][..width]);
                back_row(x, &mean, &scale, &shift, &slope, d);
            }
            let left = x.len() / width * width;
            back_row(&x[left..], &mean, &scale, &shift, &slope, &mut d[left..]);
        } else if inner == 1 {
            for row in 0..x.len() / features {
                let (x, d) = (&x[row * features..][..features], &mut d[row * features..][..features]);
                if masked(mask, row) {
                    for c in 0..features {
                        d[c] *= scale[c];
                    }
                } else {
                    back_row(x, mean, scale, shift, slope, d);
                }
            }
        } else {
            for run in 0..x.len() / inner {
                let (x, d) = (&x[run * inner..][..inner], &mut d[run * inner..][..inner]);
                let at = run % features;
                let (mean, scale, shift, slope) = (mean[at], scale[at], shift[at], slope[at]);
                for i in 0..inner {
                    d[i] = scale * (x[i] - mean).mul_add(-slope, d[i] - shift);
                }
            }
        }
    }
}

#[inline(always)]
fn masked(mask: Option<&[u8]>, at: usize) -> bool {
    match mask {
        Some(mask) => mask[at] == 0,
        None => false,
    }
}

#[inline(always)]
fn back_row(x: &[f32], mean: &[f32], scale: &[f32], shift: &[f32], slope: &[f32], d: &mut [f32]) {
    let n = d.len();
    let (x, mean) = (&x[..n], &mean[..n]);
    let (scale, shift, slope) = (&scale[..n], &shift[..n], &slope[..n]);
    for c in 0..n {
        d[c] = scale[c] * (x[c] - mean[c]).mul_add(-slope[c], d[c] - shift[c]);
    }
}

/// Each row of `width` numbers by its own mean and variance: (x - mean) / sqrt(variance + epsilon) · gamma + beta.
pub fn scale_by_row(width: usize, epsilon: f64, x: &[f32], gamma: &[f32], beta: &[f32], out: &mut [f32]) {
    let each = rows_of(width) * width;
    if x.len() < 2 * SHARE {
        return by_row(width, epsilon, x, gamma, beta, out);
    }
    let parts = x.par_chunks(each).zip(out.par_chunks_mut(each));
    parts.for_each(|(x, out)| by_row(width, epsilon, x, gamma, beta, out));
}

/// The gradient of [`scale_by_row`], in place of that of its output; the gradients of gamma and beta.
pub fn scale_by_row_back(
    width: usize,
    epsilon: f64,
    x: &[f32],
    gamma: &[f32],
    d: &mut [f32],
) -> [Vec<f64>; 2] {
    let size = (rows_of(width) * width).max(1);
    let share = |(x, d): (&[f32], &mut [f32])| {
        let mut both = vec![0.0f64; 2 * width];
        let (d_gamma, d_beta) = both.split_at_mut(width);
        by_row_back(width, epsilon, x, gamma, d, d_gamma, d_beta);
        both
    };
    let shares: Vec<Vec<f64>> = x.par_chunks(size).zip(d.par_chunks_mut(size)).map(share).collect();
    let mut total = vec![0.0f64; 2 * width];
    for share in shares {
        for (total, share) in total.iter_mut().zip(share) {
            *total += share;
        }
    }
    let second = total.split_off(width);
    [total, second]
}

fn rows_of(width: usize) -> usize {
    (SHARE / width.max(1)).max(1)
}

/// Mean and the inverse of the root of the variance.
#[inline(always)]
fn row_statistics(x: &[f32], epsilon: f64) -> (f32, f64) {
    let (mut sums, mut squares) = ([0.0f64; 8], [0.0f64; 8]);
    for eight in 0..x.len() / 8 {
        square_row(&x[eight * 8..][..8], &mut sums, &mut squares);
    }
    let left = x.len() / 8 * 8;
    square_row(&x[left..], &mut sums[..x.len() - left], &mut squares[..x.len() - left]);
    let mean = total(&sums) / x.len() as f64;
    let variance = total(&squares) / x.len() as f64 - mean * mean;
    let variance = if variance < 0.0 { 0.0 } else { variance };
    (mean as f32, 1.0 / (variance + epsilon).sqrt())
}

vectorized! {
    fn by_row<'a>(
        width: usize,
        epsilon: f64,
        x: &'a [f32],
        gamma: &'a [f32],
        beta: &'a [f32],
        out: &'a mut [f32],
    ) {
        let (gamma, beta) = (&gamma[..width], &beta[..width]);
        for row in 0..x.len() / width {
            let (x, out) = (&x[row * width..][..width], &mut out[row * width..][..width]);
            let (mean, inverse) = row_statistics(x, epsilon);
            let inverse = inverse as f32;
            for c in 0..width {
                out[c] = ((x[c] - mean) * inverse).mul_add(gamma[c], beta[c]);
            }
        }
    }
}

vectorized! {
    fn by_row_back<'a>(
        width: usize,
        epsilon: f64,
        x: &'a [f32],
        gamma: &'a [f32],
        d: &'a mut [f32],
        d_gamma: &'a mut [f64],
        d_beta: &'a mut [f64],
    ) {
        let gamma = &gamma[..width];
        let mut normal = vec![0.0f32; width];
        let mut through = vec![0.0f32; width];
        for row in 0..x.len() / width {
            let (x, d) = (&x[row * width..][..width], &mut d[row * width..][..width]);
            let (mean, inverse) = row_statistics(x, epsilon);
            let inverse = inverse as f32;
            for c in 0..width {
                normal[c] = (x[c] - mean) * inverse;
                through[c] = d[c] * gamma[c];
            }
            add_row_gradients(&normal, d, d_gamma, d_beta);
            let (mut sums, mut products) = ([0.0f64; 8], [0.0f64; 8]);
            for eight in 0..width / 8 {
                let (normal, through) = (&normal[eight * 8..][..8], &through[eight * 8..][..8]);
                product_row(normal, through, &[0.0; 8], &mut sums, &mut products);
            }
            let left = width / 8 * 8;
            let (sum, product) = (&mut sums[..width - left], &mut products[..width - left]);
            product_row(&normal[left..], &through[left..], &[0.0; 8], sum, product);
            let shift = (total(&sums) / width as f64) as f32;
            let slope = (total(&products) / width as f64) as f32;
            for c in 0..width {
                d[c] = inverse * normal[c].mul_add(-slope, through[c] - shift);
            }
        }
    }
}

#[inline(always)]
fn add_row_gradients(normal: &[f32], d: &[f32], d_gamma: &mut [f64], d_beta: &mut [f64]) {
    let n = d.len();
    let (normal, d_gamma, d_beta) = (&normal[..n], &mut d_gamma[..n], &mut d_beta[..n]);
    for c in 0..n {
        d_gamma[c] += f64::from(d[c]) * f64::from(normal[c]);
        d_beta[c] += f64::from(d[c]);
    }
}

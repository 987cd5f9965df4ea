//! Normalisations within a sample: of groups of channels, to length 1, and softmax along an axis that is not the last.

use crate::buffer::Buffer;
use crate::exponential::exp;
use crate::pooling::blocks;
use crate::vectorized::{SHARE, samples, vectorized};
use rayon::prelude::*;

/// Where the channels of a sample lie: (places, channels), the channels in so many groups.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// Places of a sample.
    pub places: usize,
    /// Channels of a place.
    pub channels: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
}

impl Groups {
    fn size(&self) -> usize {
        self.places * self.channels
    }

    /// What the sums of the channels come to in each group, divided by the number of places, given to each channel.
    fn means(&self, sums: &mut [f64]) {
        let each = self.channels / self.groups;
        for group in sums.chunks_exact_mut(each) {
            let mut sum = 0.0;
            for &channel in group.iter() {
                sum += channel;
            }
            group.fill(sum / (each * self.places) as f64);
        }
    }

    /// Mean and the inverse of the root of the variance, by channel.
    fn statistics(&self, x: &[f32]) -> [Vec<f64>; 2] {
        let (mut mean, mut square) = (vec![0.0; self.channels], vec![0.0; self.channels]);
        sums_of(x, &mut mean, &mut square);
        self.means(&mut mean);
        self.means(&mut square);
        for (square, mean) in square.iter_mut().zip(&mean) {
            let variance = *square - mean * mean;
            *square = 1.0 / (if variance < 0.0 { 0.0 } else { variance } + self.epsilon).sqrt();
        }
        [mean, square]
    }

    /// (x - mean) / sqrt(variance + epsilon) · gamma + beta, of the group's mean and variance.
    pub fn scale(&self, x: &[f32], gamma: &[f32], beta: &[f32], out: &mut [f32]) {
        let count = samples(self.size()) * self.size();
        let part = |(x, out): (&[f32], &mut [f32])| {
            for (x, out) in x.chunks_exact(self.size()).zip(out.chunks_exact_mut(self.size())) {
                let [mean, inverse] = self.statistics(x);
                let mean: Vec<f32> = mean.iter().map(|&mean| mean as f32).collect();
                let scale =
                    inverse.iter().zip(gamma).map(|(inverse, &gamma)| (inverse * f64::from(gamma)) as f32);
                scale_places(&mean, &scale.collect::<Vec<_>>(), beta, x, out);
            }
        };
        match x.len() < 2 * SHARE {
            true => part((x, out)),
            false => x.par_chunks(count).zip(out.par_chunks_mut(count)).for_each(part),
        }
    }

    /// The gradient of [`scale`](Self::scale) in place of that of its output; gives those of gamma and beta.
    pub fn scale_back(&self, x: &[f32], gamma: &[f32], d: &mut [f32]) -> [Vec<f32>; 2] {
        let count = samples(self.size()) * self.size();
        let part = |(x, d): (&[f32], &mut [f32])| {
            let mut share = [vec![0.0f64; self.channels], vec![0.0f64; self.channels]];
            for (x, d) in x.chunks_exact(self.size()).zip(d.chunks_exact_mut(self.size())) {
                self.sample_back(x, gamma, d, &mut share);
            }
            share
        };
        let shares: Vec<[Vec<f64>; 2]> = match x.len() < 2 * SHARE {
            true => x.chunks(count).zip(d.chunks_mut(count)).map(part).collect(),
            false => x.par_chunks(count).zip(d.par_chunks_mut(count)).map(part).collect(),
        };
        let sum = |which: usize| {
            let mut total = vec![0.0f64; self.channels];
            for share in &shares {
                for (total, share) in total.iter_mut().zip(&share[which]) {
                    *total += share;
                }
            }
            total.into_iter().map(|sum| sum as f32).collect()
        };
        [sum(0), sum(1)]
    }

    fn sample_back(&self, x: &[f32], gamma: &[f32], d: &mut [f32], share: &mut [Vec<f64>; 2]) {
        let [mean, inverse] = self.statistics(x);
        let mean: Vec<f32> = mean.iter().map(|&mean| mean as f32).collect();
        let (mut sums, mut products) = (vec![0.0f64; self.channels], vec![0.0f64; self.channels]);
        products_of(&mean, x, d, &mut sums, &mut products);
        for c in 0..self.channels {
            share[0][c] += products[c] * inverse[c];
            share[1][c] += sums[c];
            sums[c] *= f64::from(gamma[c]);
            products[c] *= f64::from(gamma[c]);
        }
        self.means(&mut sums);
        self.means(&mut products);
        let single = |f: &dyn Fn(usize) -> f64| (0..self.channels).map(|c| f(c) as f32).collect::<Vec<f32>>();
        let scale = single(&|c| inverse[c] * f64::from(gamma[c]));
        let shift = single(&|c| -inverse[c] * sums[c]);
        let slope = single(&|c| -inverse[c] * inverse[c] * inverse[c] * products[c]);
        places_back(&mean, &scale, &shift, &slope, x, d);
    }
}

vectorized! {
    fn sums_of<'a>(x: &'a [f32], sums: &'a mut [f64], squares: &'a mut [f64]) {
        let channels = sums.len();
        blocks!(channels, first => sum_block(channels, first, x, sums, squares));
    }
}

#[inline(always)]
fn sum_block<const N: usize>(
    channels: usize,
    first: usize,
    x: &[f32],
    sums: &mut [f64],
    squares: &mut [f64],
) {
    let (mut sum, mut square) = ([0.0f64; N], [0.0f64; N]);
    for place in 0..x.len() / channels {
        let x = &x[place * channels + first..][..N];
        for c in 0..N {
            let value = f64::from(x[c]);
            sum[c] += value;
            square[c] = value.mul_add(value, square[c]);
        }
    }
    sums[first..first + N].copy_from_slice(&sum);
    squares[first..first + N].copy_from_slice(&square);
}

vectorized! {
    fn products_of<'a>(mean: &'a [f32], x: &'a [f32], d: &'a [f32], sums: &'a mut [f64], products: &'a mut [f64]) {
        let channels = mean.len();
        blocks!(channels, first => product_block(mean, first, x, d, sums, products));
    }
}

#[inline(always)]
fn product_block<const N: usize>(
    means: &[f32],
    first: usize,
    x: &[f32],
    d: &[f32],
    sums: &mut [f64],
    products: &mut [f64],
) {
    let (mut mean, mut sum, mut product) = ([0.0f32; N], [0.0f64; N], [0.0f64; N]);
    mean.copy_from_slice(&means[first..first + N]);
    for place in 0..x.len() / means.len() {
        let at = place * means.len() + first;
        let (x, d) = (&x[at..][..N], &d[at..][..N]);
        for c in 0..N {
            let value = f64::from(d[c]);
            sum[c] += value;
            product[c] = value.mul_add(f64::from(x[c] - mean[c]), product[c]);
        }
    }
    sums[first..first + N].copy_from_slice(&sum);
    products[first..first + N].copy_from_slice(&product);
}

vectorized! {
    fn scale_places<'a>(mean: &'a [f32], scale: &'a [f32], beta: &'a [f32], x: &'a [f32], out: &'a mut [f32]) {
        let channels = mean.len();
        let (scale, beta) = (&scale[..channels], &beta[..channels]);
        for place in 0..x.len() / channels {
            let (x, out) = (&x[place * channels..][..channels], &mut out[place * channels..][..channels]);
            for c in 0..channels {
                out[c] = (x[c] - mean[c]).mul_add(scale[c], beta[c]);
            }
        }
    }
}

vectorized! {
    fn places_back<'a>(
        mean: &'a [f32],
        scale: &'a [f32],
        shift: &'a [f32],
        slope: &'a [f32],
        x: &'a [f32],
        d: &'a mut [f32],
    ) {
        let channels = mean.len();
        let (scale, shift, slope) = (&scale[..channels], &shift[..channels], &slope[..channels]);
        for place in 0..x.len() / channels {
            let (x, d) = (&x[place * channels..][..channels], &mut d[place * channels..][..channels]);
            for c in 0..channels {
                d[c] = scale[c].mul_add(d[c], slope[c].mul_add(x[c] - mean[c], shift[c]));
            }
        }
    }
}

/// Rows of `width` numbers scaled to length 1, or by 10¹² where they are shorter than 10⁻¹².
pub fn unit_rows(width: usize, x: &[f32], out: &mut [f32]) {
    let count = samples(width) * width;
    match x.len() < 2 * SHARE {
        true => unit(width, x, out),
        false => {
            x.par_chunks(count).zip(out.par_chunks_mut(count)).for_each(|(x, out)| unit(width, x, out));
        }
    }
}

/// The gradient of [`unit_rows`] in place of that of its output.
pub fn unit_rows_back(width: usize, x: &[f32], d: &mut [f32]) {
    let count = samples(width) * width;
    match x.len() < 2 * SHARE {
        true => unit_back(width, x, d),
        false => x.par_chunks(count).zip(d.par_chunks_mut(count)).for_each(|(x, d)| unit_back(width, x, d)),
    }
}

/// Rows whose roots are taken side by side.
const ROWS: usize = 64;
/// The square of the shortest length that is brought to 1.
const SHORTEST: f64 = 1e-24;

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let b = &b[..a.len()];
    for eight in 0..a.len() / 8 {
        for lane in 0..8 {
            lanes[lane] += f64::from(a[eight * 8 + lane]) * f64::from(b[eight * 8 + lane]);
        }
    }
    for i in a.len() / 8 * 8..a.len() {
        lanes[i % 8] += f64::from(a[i]) * f64::from(b[i]);
    }
    let mut sum = 0.0;
    for lane in 0..8 {
        sum += lanes[lane];
    }
    sum
}

vectorized! {
    fn unit<'a>(width: usize, x: &'a [f32], out: &'a mut [f32]) {
        let rows = x.len() / width;
        let mut squares = [0.0f64; ROWS];
        let mut scales = [0.0f32; ROWS];
        for first in 0..rows.div_ceil(ROWS) {
            let first = first * ROWS;
            let count = if rows - first < ROWS { rows - first } else { ROWS };
            for row in 0..count {
                let x = &x[(first + row) * width..][..width];
                squares[row] = dot(x, x);
            }
            for row in 0..ROWS {
                let square = squares[row];
                let scale = (1.0 / (if square > SHORTEST { square } else { SHORTEST }).sqrt()) as f32;
                // What is not a number is none in any of the row.
                scales[row] = if square.is_nan() { f32::NAN } else { scale };
            }
            for row in 0..count {
                let at = (first + row) * width;
                let (x, out, scale) = (&x[at..][..width], &mut out[at..][..width], scales[row]);
                for c in 0..width {
                    out[c] = x[c] * scale;
                }
            }
        }
    }
}

vectorized! {
    fn unit_back<'a>(width: usize, x: &'a [f32], d: &'a mut [f32]) {
        for row in 0..x.len() / width {
            let (x, d) = (&x[row * width..][..width], &mut d[row * width..][..width]);
            let square = dot(x, x);
            let scale = 1.0 / (if square > SHORTEST { square } else { SHORTEST }).sqrt();
            let through = if square > SHORTEST { scale * scale * scale * dot(x, d) } else { 0.0 };
            let scale = if square.is_nan() { f64::NAN } else { scale };
            let (scale, through) = (scale as f32, through as f32);
            for c in 0..width {
                d[c] = x[c].mul_add(-through, d[c] * scale);
            }
        }
    }
}

/// Softmax along the first axis of each (length, inner).
pub fn softmax_along(length: usize, inner: usize, x: &[f32], out: &mut [f32]) {
    let size = length * inner;
    let count = samples(size) * size;
    let part = |(x, out): (&[f32], &mut [f32])| {
        let mut shifted = Buffer::new(size);
        let (mut largest, mut sums) = (vec![0.0f32; inner], vec![0.0f64; inner]);
        for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            shift_along(x, &mut largest, &mut shifted);
            exp(&shifted, 0.0, out);
            share_along(out, &mut sums);
        }
    };
    match x.len() < 2 * SHARE {
        true => part((x, out)),
        false => x.par_chunks(count).zip(out.par_chunks_mut(count)).for_each(part),
    }
}

/// The gradient of [`softmax_along`], whose output was `y`, in place of that of its output.
pub fn softmax_along_back(length: usize, inner: usize, y: &[f32], d: &mut [f32]) {
    let size = length * inner;
    let count = samples(size) * size;
    let part = |(y, d): (&[f32], &mut [f32])| {
        let mut sums = vec![0.0f64; inner];
        for (y, d) in y.chunks_exact(size).zip(d.chunks_exact_mut(size)) {
            back_along(y, &mut sums, d);
        }
    };
    match y.len() < 2 * SHARE {
        true => part((y, d)),
        false => y.par_chunks(count).zip(d.par_chunks_mut(count)).for_each(part),
    }
}

vectorized! {
    fn shift_along<'a>(x: &'a [f32], largest: &'a mut [f32], out: &'a mut [f32]) {
        let inner = largest.len();
        largest.fill(f32::NEG_INFINITY);
        for place in 0..x.len() / inner {
            let x = &x[place * inner..][..inner];
            for c in 0..inner {
                largest[c] = if x[c] > largest[c] { x[c] } else { largest[c] };
            }
        }
        for place in 0..x.len() / inner {
            let (x, out) = (&x[place * inner..][..inner], &mut out[place * inner..][..inner]);
            for c in 0..inner {
                out[c] = x[c] - largest[c];
            }
        }
    }
}

vectorized! {
    fn share_along<'a>(out: &'a mut [f32], sums: &'a mut [f64]) {
        let inner = sums.len();
        sums.fill(0.0);
        for place in 0..out.len() / inner {
            let out = &out[place * inner..][..inner];
            for c in 0..inner {
                sums[c] += f64::from(out[c]);
            }
        }
        for c in 0..inner {
            sums[c] = 1.0 / sums[c];
        }
        for place in 0..out.len() / inner {
            let out = &mut out[place * inner..][..inner];
            for c in 0..inner {
                out[c] *= sums[c] as f32;
            }
        }
    }
}

vectorized! {
    fn back_along<'a>(y: &'a [f32], sums: &'a mut [f64], d: &'a mut [f32]) {
        let inner = sums.len();
        sums.fill(0.0);
        for place in 0..y.len() / inner {
            let (y, d) = (&y[place * inner..][..inner], &d[place * inner..][..inner]);
            for c in 0..inner {
                sums[c] += f64::from(y[c]) * f64::from(d[c]);
            }
        }
        for place in 0..y.len() / inner {
            let (y, d) = (&y[place * inner..][..inner], &mut d[place * inner..][..inner]);
            for c in 0..inner {
                d[c] = y[c] * (d[c] - sums[c] as f32);
            }
        }
    }
}

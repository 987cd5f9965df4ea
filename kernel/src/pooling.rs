//! Pooling over the places of each sample, channels last: all places, or those of windows.

use crate::vectorized::{SHARE, samples, vectorized};
use rayon::prelude::*;

/// (batch, places, channels): the shape of what is pooled, its spatial axes as one.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Places of a sample.
    pub places: usize,
    /// Numbers of a place.
    pub channels: usize,
}

impl Places {
    fn size(self) -> usize {
        self.places * self.channels
    }
}

/// The largest of each channel: `x` (batch, places, channels) to `out` (batch, channels). NaN where there is one.
pub fn global_max(of: Places, x: &[f32], out: &mut [f32]) {
    each(of.size(), of.channels, x, out, |x, out| max_of_all(of, x, out));
}

/// The gradient of [`global_max`], given its output and the output's gradient: places that hold the largest share it.
pub fn global_max_back(of: Places, x: &[f32], out: &[f32], d_out: &[f32], d_x: &mut [f32]) {
    let (size, channels) = (of.size(), of.channels);
    if x.len() < 2 * SHARE {
        return share_among_largest(of, x, out, d_out, d_x);
    }
    let count = samples(size);
    let given = x.par_chunks(count * size).zip(out.par_chunks(count * channels));
    let given = given.zip(d_out.par_chunks(count * channels)).zip(d_x.par_chunks_mut(count * size));
    given.for_each(|(((x, out), d_out), d_x)| share_among_largest(of, x, out, d_out, d_x));
}

/// The mean of each channel, of the places for which `mask` (batch, places) is not 0.
pub fn global_mean(of: Places, x: &[f32], mask: Option<&[u8]>, out: &mut [f32]) {
    let (size, channels) = (of.size(), of.channels);
    let count = if x.len() < 2 * SHARE { (x.len() / size.max(1)).max(1) } else { samples(size) };
    let part = |(at, (x, out)): (usize, (&[f32], &mut [f32]))| {
        mean_of_all(of, x, mask.map(|mask| &mask[at * count * of.places..]), out);
    };
    x.par_chunks((count * size).max(1))
        .zip(out.par_chunks_mut((count * channels).max(1)))
        .enumerate()
        .for_each(part);
}

/// The gradient of [`global_mean`].
pub fn global_mean_back(of: Places, mask: Option<&[u8]>, d_out: &[f32], d_x: &mut [f32]) {
    let (size, channels) = (of.size(), of.channels);
    let count = if d_x.len() < 2 * SHARE { (d_x.len() / size.max(1)).max(1) } else { samples(size) };
    let part = |(at, (d_out, d_x)): (usize, (&[f32], &mut [f32]))| {
        spread_mean(of, mask.map(|mask| &mask[at * count * of.places..]), d_out, d_x);
    };
    d_out
        .par_chunks((count * channels).max(1))
        .zip(d_x.par_chunks_mut((count * size).max(1)))
        .enumerate()
        .for_each(part);
}

/// The sum of each channel over all places.
pub fn global_sum(of: Places, x: &[f32], out: &mut [f32]) {
    each(of.size(), of.channels, x, out, |x, out| sum_of_all(of, x, out));
}

/// Calls `f` with samples of `x`, each of `size` numbers, and of `out`, each of `width`.
fn each(size: usize, width: usize, x: &[f32], out: &mut [f32], f: impl Fn(&[f32], &mut [f32]) + Sync) {
    if x.len().max(out.len()) < 2 * SHARE || size == 0 || width == 0 {
        return f(x, out);
    }
    let count = samples(size.max(width));
    x.par_chunks(count * size).zip(out.par_chunks_mut(count * width)).for_each(|(x, out)| f(x, out));
}

/// Whether `before` stays the largest when `x` comes; NaN is the largest of all.
#[inline(always)]
fn stays(before: f32, x: f32) -> bool {
    (x <= before) | before.is_nan()
}

vectorized! {
    fn max_of_all<'a>(of: Places, x: &'a [f32], out: &'a mut [f32]) {
        let Places { places, channels } = of;
        for sample in 0..out.len() / channels.max(1) {
            let out = &mut out[sample * channels..][..channels];
            let x = &x[sample * places * channels..][..places * channels];
            for c in 0..channels {
                out[c] = f32::NEG_INFINITY;
            }
            for place in 0..places {
                larger(&x[place * channels..][..channels], out);
            }
        }
    }
}

/// The larger of each pair, in place of the second.
#[inline(always)]
fn larger(x: &[f32], out: &mut [f32]) {
    let x = &x[..out.len()];
    for c in 0..out.len() {
        out[c] = if stays(out[c], x[c]) { out[c] } else { x[c] };
    }
}

vectorized! {
    fn share_among_largest<'a>(of: Places, x: &'a [f32], out: &'a [f32], d_out: &'a [f32], d_x: &'a mut [f32]) {
        let Places { places, channels } = of;
        let mut share = vec![0.0f32; channels];
        for sample in 0..out.len() / channels.max(1) {
            let (out, d_out) = (&out[sample * channels..][..channels], &d_out[sample * channels..][..channels]);
            let x = &x[sample * places * channels..][..places * channels];
            let d_x = &mut d_x[sample * places * channels..][..places * channels];
            for c in 0..channels {
                share[c] = 0.0;
            }
            for place in 0..places {
                count_largest(&x[place * channels..][..channels], out, &mut share);
            }
            for c in 0..channels {
                share[c] = d_out[c] / share[c];
            }
            for place in 0..places {
                let d_x = &mut d_x[place * channels..][..channels];
                give_largest(&x[place * channels..][..channels], out, &share, d_x);
            }
        }
    }
}

#[inline(always)]
fn count_largest(x: &[f32], out: &[f32], counts: &mut [f32]) {
    let (x, out) = (&x[..counts.len()], &out[..counts.len()]);
    for c in 0..counts.len() {
        // NaN is less than nothing.
        counts[c] += if x[c] < out[c] { 0.0 } else { 1.0 };
    }
}

#[inline(always)]
fn give_largest(x: &[f32], out: &[f32], share: &[f32], d_x: &mut [f32]) {
    let (x, out, share) = (&x[..d_x.len()], &out[..d_x.len()], &share[..d_x.len()]);
    for c in 0..d_x.len() {
        d_x[c] = if x[c] < out[c] { 0.0 } else { share[c] };
    }
}

/// Sums in f64, in the order of the places.
#[inline(always)]
fn add_row(x: &[f32], sums: &mut [f64]) {
    let x = &x[..sums.len()];
    for c in 0..sums.len() {
        sums[c] += f64::from(x[c]);
    }
}

vectorized! {
    fn sum_of_all<'a>(of: Places, x: &'a [f32], out: &'a mut [f32]) {
        let Places { places, channels } = of;
        let mut sums = vec![0.0f64; channels];
        for sample in 0..out.len() / channels.max(1) {
            let x = &x[sample * places * channels..][..places * channels];
            sums.fill(0.0);
            for place in 0..places {
                add_row(&x[place * channels..][..channels], &mut sums);
            }
            for c in 0..channels {
                out[sample * channels + c] = sums[c] as f32;
            }
        }
    }
}

vectorized! {
    fn mean_of_all<'a>(of: Places, x: &'a [f32], mask: Option<&'a [u8]>, out: &'a mut [f32]) {
        let Places { places, channels } = of;
        let mut sums = vec![0.0f64; channels];
        for sample in 0..out.len() / channels.max(1) {
            let x = &x[sample * places * channels..][..places * channels];
            sums.fill(0.0);
            let mut count = 0usize;
            for place in 0..places {
                if counts(mask, sample * places + place) {
                    count += 1;
                    add_row(&x[place * channels..][..channels], &mut sums);
                }
            }
            for c in 0..channels {
                out[sample * channels + c] = (sums[c] / count as f64) as f32;
            }
        }
    }
}

#[inline(always)]
fn counts(mask: Option<&[u8]>, at: usize) -> bool {
    match mask {
        Some(mask) => mask[at] != 0,
        None => true,
    }
}

vectorized! {
    fn spread_mean<'a>(of: Places, mask: Option<&'a [u8]>, d_out: &'a [f32], d_x: &'a mut [f32]) {
        let Places { places, channels } = of;
        let mut share = vec![0.0f32; channels];
        for sample in 0..d_out.len() / channels.max(1) {
            let mut count = 0usize;
            for place in 0..places {
                count += usize::from(counts(mask, sample * places + place));
            }
            for c in 0..channels {
                share[c] = d_out[sample * channels + c] / count as f32;
            }
            for place in 0..places {
                let d_x = &mut d_x[(sample * places + place) * channels..][..channels];
                if counts(mask, sample * places + place) {
                    d_x.copy_from_slice(&share);
                } else {
                    d_x.fill(0.0);
                }
            }
        }
    }
}

/// How a window moves along an axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Steps of the input.
    pub length: usize,
    /// Positions of the window.
    pub count: usize,
    /// Steps of the window.
    pub size: usize,
    /// Steps that it moves at a time.
    pub stride: usize,
    /// Steps before the input, which hold nothing.
    pub before: usize,
}

impl Axis {
    /// An axis of one step.
    pub const ONE: Self = Self { length: 1, count: 1, size: 1, stride: 1, before: 0 };

    /// The steps of the input that the window covers at a position.
    #[inline(always)]
    fn covers(self, position: usize) -> (usize, usize) {
        let start = position * self.stride;
        let end = (start + self.size).saturating_sub(self.before);
        (start.saturating_sub(self.before), if end < self.length { end } else { self.length })
    }
}

/// Windows over three axes, channels last. Fewer axes have [`Axis::ONE`] before them.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// The axes in their order.
    pub axes: [Axis; 3],
    /// Numbers of a place.
    pub channels: usize,
}

impl Windows {
    /// Numbers of a sample of the input.
    pub fn size(&self) -> usize {
        self.axes.iter().map(|axis| axis.length).product::<usize>() * self.channels
    }

    /// Numbers of a sample of the output.
    pub fn size_out(&self) -> usize {
        self.axes.iter().map(|axis| axis.count).product::<usize>() * self.channels
    }
}

/// Runs `$body` for the window at each position of a sample: `$out` is where its output stands, `$windows` the ranges that
/// it covers.
macro_rules! positions {
    ($of:expr, $out:ident, $ranges:ident => $body:block) => {
        let [a, b, c] = $of.axes;
        for i in 0..a.count {
            for j in 0..b.count {
                for k in 0..c.count {
                    let $out = ((i * b.count + j) * c.count + k) * $of.channels;
                    let $ranges = [a.covers(i), b.covers(j), c.covers(k)];
                    $body
                }
            }
        }
    };
}

/// Runs `$body` for each place of ranges of a sample: `$at` is where it stands.
macro_rules! places {
    ($of:expr, $ranges:ident, $at:ident => $body:block) => {
        for i in $ranges[0].0..$ranges[0].1 {
            for j in $ranges[1].0..$ranges[1].1 {
                for k in $ranges[2].0..$ranges[2].1 {
                    let $at = ((i * $of.axes[1].length + j) * $of.axes[2].length + k) * $of.channels;
                    $body
                }
            }
        }
    };
}

/// The largest of each window. NaN where there is one.
pub fn max(of: &Windows, x: &[f32], out: &mut [f32]) {
    each(of.size(), of.size_out(), x, out, |x, out| max_of_windows(of, x, out));
}

/// The gradient of [`max`]: the first place that holds the largest has it. `d_x` comes in as zeros.
pub fn max_back(of: &Windows, x: &[f32], out: &[f32], d_out: &[f32], d_x: &mut [f32]) {
    let (size, size_out) = (of.size(), of.size_out());
    if x.len() < 2 * SHARE {
        return give_first_largest(of, x, out, d_out, d_x);
    }
    let count = samples(size);
    let given = x.par_chunks(count * size).zip(out.par_chunks(count * size_out));
    let given = given.zip(d_out.par_chunks(count * size_out)).zip(d_x.par_chunks_mut(count * size));
    given.for_each(|(((x, out), d_out), d_x)| give_first_largest(of, x, out, d_out, d_x));
}

/// The mean of each window, of the places that lie within the input.
pub fn mean(of: &Windows, x: &[f32], out: &mut [f32]) {
    each(of.size(), of.size_out(), x, out, |x, out| mean_of_windows(of, x, out));
}

/// The gradient of [`mean`]. `d_x` comes in as zeros.
pub fn mean_back(of: &Windows, d_out: &[f32], d_x: &mut [f32]) {
    each(of.size_out(), of.size(), d_out, d_x, |d_out, d_x| spread_windows(of, d_out, d_x));
}

vectorized! {
    fn max_of_windows<'a>(of: &'a Windows, x: &'a [f32], out: &'a mut [f32]) {
        let channels = of.channels;
        let (size, size_out) = (of.size(), of.size_out());
        for sample in 0..out.len() / size_out.max(1) {
            let x = &x[sample * size..][..size];
            let out = &mut out[sample * size_out..][..size_out];
            positions!(of, at, ranges => {
                let out = &mut out[at..][..channels];
                for c in 0..channels {
                    out[c] = f32::NEG_INFINITY;
                }
                places!(of, ranges, at => { larger(&x[at..][..channels], out); });
            });
        }
    }
}

vectorized! {
    fn give_first_largest<'a>(
        of: &'a Windows,
        x: &'a [f32],
        out: &'a [f32],
        d_out: &'a [f32],
        d_x: &'a mut [f32],
    ) {
        let channels = of.channels;
        let (size, size_out) = (of.size(), of.size_out());
        let mut left = vec![0.0f32; channels];
        for sample in 0..out.len() / size_out.max(1) {
            let x = &x[sample * size..][..size];
            let d_x = &mut d_x[sample * size..][..size];
            let out = &out[sample * size_out..][..size_out];
            let d_out = &d_out[sample * size_out..][..size_out];
            positions!(of, at, ranges => {
                let (out, d_out) = (&out[at..][..channels], &d_out[at..][..channels]);
                for c in 0..channels {
                    left[c] = d_out[c];
                }
                places!(of, ranges, at => {
                    give_if_largest(&x[at..][..channels], out, &mut left, &mut d_x[at..][..channels]);
                });
            });
        }
    }
}

/// Gives what is left of a gradient where `x` is the largest; nothing is left there then.
#[inline(always)]
fn give_if_largest(x: &[f32], out: &[f32], left: &mut [f32], d_x: &mut [f32]) {
    let (x, out, left) = (&x[..d_x.len()], &out[..d_x.len()], &mut left[..d_x.len()]);
    for c in 0..d_x.len() {
        let is_largest = (x[c] == out[c]) | x[c].is_nan();
        let (give, keep) = if is_largest { (left[c], 0.0) } else { (0.0, left[c]) };
        d_x[c] += give;
        left[c] = keep;
    }
}

#[inline(always)]
fn places_in(ranges: &[(usize, usize); 3]) -> usize {
    let mut count = 1;
    for axis in 0..3 {
        count *= ranges[axis].1 - ranges[axis].0;
    }
    count
}

vectorized! {
    fn mean_of_windows<'a>(of: &'a Windows, x: &'a [f32], out: &'a mut [f32]) {
        let channels = of.channels;
        let (size, size_out) = (of.size(), of.size_out());
        for sample in 0..out.len() / size_out.max(1) {
            let x = &x[sample * size..][..size];
            let out = &mut out[sample * size_out..][..size_out];
            positions!(of, at, ranges => {
                let out = &mut out[at..][..channels];
                for c in 0..channels {
                    out[c] = 0.0;
                }
                places!(of, ranges, at => { add(&x[at..][..channels], out); });
                let count = places_in(&ranges) as f32;
                for c in 0..channels {
                    out[c] /= count;
                }
            });
        }
    }
}

#[inline(always)]
fn add(x: &[f32], out: &mut [f32]) {
    let x = &x[..out.len()];
    for c in 0..out.len() {
        out[c] += x[c];
    }
}

vectorized! {
    fn spread_windows<'a>(of: &'a Windows, d_out: &'a [f32], d_x: &'a mut [f32]) {
        let channels = of.channels;
        let (size, size_out) = (of.size(), of.size_out());
        let mut share = vec![0.0f32; channels];
        for sample in 0..d_out.len() / size_out.max(1) {
            let d_x = &mut d_x[sample * size..][..size];
            let d_out = &d_out[sample * size_out..][..size_out];
            positions!(of, at, ranges => {
                let count = places_in(&ranges) as f32;
                for c in 0..channels {
                    share[c] = d_out[at + c] / count;
                }
                places!(of, ranges, at => { add(&share, &mut d_x[at..][..channels]); });
            });
        }
    }
}

//! Pooling over the places of each sample, channels last: all places, or those of windows.

use crate::global_max::max_in_vectors;
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
    each(of.size(), of.channels, x, out, |x, out| {
        if !max_in_vectors(of.places, of.channels, x, out) {
            max_of_all(of, x, out);
        }
    });
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

/// Calls `$block` for the channels from `$first` on, as many at a time as registers hold: 32, then 8, then each.
macro_rules! blocks {
    ($channels:expr, $first:ident => $block:ident($($argument:expr),*)) => {
        let mut $first = 0;
        while $first + 32 <= $channels {
            $block::<32>($($argument),*);
            $first += 32;
        }
        while $first + 8 <= $channels {
            $block::<8>($($argument),*);
            $first += 8;
        }
        while $first < $channels {
            $block::<1>($($argument),*);
            $first += 1;
        }
    };
}

pub(crate) use blocks;

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
            blocks!(channels, first => max_block(of, first, x, out));
        }
    }
}

#[inline(always)]
fn max_block<const N: usize>(of: Places, first: usize, x: &[f32], out: &mut [f32]) {
    let mut largest = [f32::NEG_INFINITY; N];
    for place in 0..of.places {
        larger(&x[place * of.channels + first..], &mut largest);
    }
    out[first..first + N].copy_from_slice(&largest);
}

/// The larger of each pair, in place of the second.
#[inline(always)]
fn larger<const N: usize>(x: &[f32], largest: &mut [f32; N]) {
    let x = &x[..N];
    for c in 0..N {
        largest[c] = if stays(largest[c], x[c]) { largest[c] } else { x[c] };
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

/// The sum of a row in f64: eight sums, and theirs.
#[inline(always)]
fn sum_along(x: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    for eight in 0..x.len() / 8 {
        for lane in 0..8 {
            lanes[lane] += f64::from(x[eight * 8 + lane]);
        }
    }
    for i in x.len() / 8 * 8..x.len() {
        lanes[i % 8] += f64::from(x[i]);
    }
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

/// Sums in f64, in the order of the places; those that `mask` leaves out, a byte each place, do not count. Where a few channels
/// make one vector only, four parts of the places are added up side by side.
#[inline(always)]
fn sum_block<const N: usize>(of: Places, first: usize, x: &[f32], mask: Option<&[u8]>, sums: &mut [f64]) {
    let mut sum = [0.0f64; N];
    let mut done = 0;
    if const { N < 32 } && mask.is_none() {
        done = of.places / 4 * 4;
        sum = sum_of_parts::<N>(of, first, x);
    }
    for place in done..of.places {
        if counts(mask, place) {
            let x = &x[place * of.channels + first..][..N];
            for c in 0..N {
                sum[c] += f64::from(x[c]);
            }
        }
    }
    sums[first..first + N].copy_from_slice(&sum);
}

/// The sums over as many places as four parts have.
#[inline(always)]
fn sum_of_parts<const N: usize>(of: Places, first: usize, x: &[f32]) -> [f64; N] {
    let mut parts = [[0.0f64; N]; 4];
    let each = of.places / 4;
    for place in 0..each {
        for part in 0..4 {
            let x = &x[(part * each + place) * of.channels + first..][..N];
            for c in 0..N {
                parts[part][c] += f64::from(x[c]);
            }
        }
    }
    let mut sum = [0.0f64; N];
    for c in 0..N {
        sum[c] = (parts[0][c] + parts[1][c]) + (parts[2][c] + parts[3][c]);
    }
    sum
}

vectorized! {
    fn sum_of_all<'a>(of: Places, x: &'a [f32], out: &'a mut [f32]) {
        let Places { places, channels } = of;
        let mut sums = vec![0.0f64; channels];
        for sample in 0..out.len() / channels.max(1) {
            let x = &x[sample * places * channels..][..places * channels];
            if channels == 1 {
                sums[0] = sum_along(x);
            } else {
                blocks!(channels, first => sum_block(of, first, x, None, &mut sums));
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
            let mask = mask.map(|mask| &mask[sample * places..][..places]);
            let mut count = 0usize;
            for place in 0..places {
                count += usize::from(counts(mask, place));
            }
            blocks!(channels, first => sum_block(of, first, x, mask, &mut sums));
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
                    for c in 0..channels {
                        d_x[c] = share[c];
                    }
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

    /// Whether each place of the input is in one window.
    #[inline(always)]
    fn tile(&self) -> bool {
        let mut tile = true;
        for axis in 0..3 {
            let Axis { length, count, size, stride, before } = self.axes[axis];
            tile &= size == stride && before == 0 && length == count * size;
        }
        tile
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

/// The gradient of [`max`]: the first place that holds the largest has it.
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

/// The gradient of [`mean`].
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
                blocks!(channels, first => max_window(of, &ranges, first, x, out));
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
        for sample in 0..out.len() / size_out.max(1) {
            let x = &x[sample * size..][..size];
            let d_x = &mut d_x[sample * size..][..size];
            let out = &out[sample * size_out..][..size_out];
            let d_out = &d_out[sample * size_out..][..size_out];
            if of.tile() {
                positions!(of, at, ranges => {
                    let given = [&out[at..][..channels], &d_out[at..][..channels]];
                    blocks!(channels, first => give_window(of, &ranges, first, x, given, false, d_x));
                });
            } else {
                d_x.fill(0.0);
                positions!(of, at, ranges => {
                    let given = [&out[at..][..channels], &d_out[at..][..channels]];
                    blocks!(channels, first => give_window(of, &ranges, first, x, given, true, d_x));
                });
            }
        }
    }
}

/// What a window covers along each axis.
type Ranges = [(usize, usize); 3];

#[inline(always)]
fn max_window<const N: usize>(of: &Windows, ranges: &Ranges, first: usize, x: &[f32], out: &mut [f32]) {
    let mut largest = [f32::NEG_INFINITY; N];
    places!(of, ranges, at => { larger(&x[at + first..], &mut largest); });
    out[first..first + N].copy_from_slice(&largest);
}

/// Gives a gradient to the first place that holds the largest: with `adds`, beside what the places have already.
#[inline(always)]
fn give_window<const N: usize>(
    of: &Windows,
    ranges: &Ranges,
    first: usize,
    x: &[f32],
    [out, d_out]: [&[f32]; 2],
    adds: bool,
    d_x: &mut [f32],
) {
    let (mut largest, mut left) = ([0.0f32; N], [0.0f32; N]);
    largest.copy_from_slice(&out[first..first + N]);
    left.copy_from_slice(&d_out[first..first + N]);
    places!(of, ranges, at => {
        let (x, d_x) = (&x[at + first..][..N], &mut d_x[at + first..][..N]);
        for c in 0..N {
            let is_largest = (x[c] == largest[c]) | x[c].is_nan();
            let (give, keep) = if is_largest { (left[c], 0.0) } else { (0.0, left[c]) };
            d_x[c] = if adds { d_x[c] } else { 0.0 } + give;
            left[c] = keep;
        }
    });
}

#[inline(always)]
fn mean_window<const N: usize>(of: &Windows, ranges: &Ranges, first: usize, x: &[f32], out: &mut [f32]) {
    let mut sums = [0.0f32; N];
    places!(of, ranges, at => {
        let x = &x[at + first..][..N];
        for c in 0..N {
            sums[c] += x[c];
        }
    });
    let (count, out) = (places_in(ranges) as f32, &mut out[first..first + N]);
    for c in 0..N {
        out[c] = sums[c] / count;
    }
}

#[inline(always)]
fn spread_window<const N: usize>(
    of: &Windows,
    ranges: &Ranges,
    first: usize,
    d_out: &[f32],
    adds: bool,
    d_x: &mut [f32],
) {
    let mut share = [0.0f32; N];
    let count = places_in(ranges) as f32;
    for c in 0..N {
        share[c] = d_out[first + c] / count;
    }
    places!(of, ranges, at => {
        let d_x = &mut d_x[at + first..][..N];
        for c in 0..N {
            d_x[c] = if adds { d_x[c] } else { 0.0 } + share[c];
        }
    });
}

#[inline(always)]
fn places_in(ranges: &Ranges) -> usize {
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
                blocks!(channels, first => mean_window(of, &ranges, first, x, out));
            });
        }
    }
}

vectorized! {
    fn spread_windows<'a>(of: &'a Windows, d_out: &'a [f32], d_x: &'a mut [f32]) {
        let channels = of.channels;
        let (size, size_out) = (of.size(), of.size_out());
        for sample in 0..d_out.len() / size_out.max(1) {
            let d_x = &mut d_x[sample * size..][..size];
            let d_out = &d_out[sample * size_out..][..size_out];
            if of.tile() {
                positions!(of, at, ranges => {
                    let d_out = &d_out[at..][..channels];
                    blocks!(channels, first => spread_window(of, &ranges, first, d_out, false, d_x));
                });
            } else {
                d_x.fill(0.0);
                positions!(of, at, ranges => {
                    let d_out = &d_out[at..][..channels];
                    blocks!(channels, first => spread_window(of, &ranges, first, d_out, true, d_x));
                });
            }
        }
    }
}

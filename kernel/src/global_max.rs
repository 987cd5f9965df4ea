//! The largest of each channel over all places, where the channels fill whole vectors.

use crate::isa::dispatch_for;
use crate::math;
use pulp::{Simd, WithSimd};

/// The largest of each channel of each sample of `x` (batch, places, channels), NaN where there is one, if the channels fill
/// whole vectors; whether they do.
pub(crate) fn max_in_vectors(places: usize, channels: usize, x: &[f32], out: &mut [f32]) -> bool {
    dispatch_for(channels, MaxInVectors { places, channels, x, out })
}

struct MaxInVectors<'a> {
    places: usize,
    channels: usize,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for MaxInVectors<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let Self { places, channels, x, out } = self;
        if channels % S::F32_LANES != 0 || channels == 0 || places == 0 {
            return false;
        }
        let (x, out) = (S::as_simd_f32s(x).0, S::as_mut_simd_f32s(out).0);
        let width = channels / S::F32_LANES;
        for sample in 0..out.len() / width {
            let x = &x[sample * places * width..][..places * width];
            let out = &mut out[sample * width..][..width];
            let mut v = 0;
            while v + 2 <= width {
                largest_of::<S, 2, 2>(simd, x, v, out);
                v += 2;
            }
            if v < width {
                largest_of::<S, 1, 4>(simd, x, v, out);
            }
        }
        true
    }
}

/// The largest of `V` vectors of each place, from the `first` on. So many parts of the places go side by side: nothing waits for
/// a chain. They follow each other, so that the first of several largest is the same as in one.
#[inline(always)]
fn largest_of<S: Simd, const V: usize, const PARTS: usize>(
    simd: S,
    x: &[S::f32s],
    first: usize,
    out: &mut [S::f32s],
) {
    let (width, places) = (out.len(), x.len() / out.len());
    let mut largest = [[simd.splat_f32s(f32::NEG_INFINITY); V]; PARTS];
    let each = places / PARTS;
    for place in 0..each {
        for part in 0..PARTS {
            let x = &x[(part * each + place) * width + first..][..V];
            for v in 0..V {
                largest[part][v] = the_larger(simd, largest[part][v], x[v]);
            }
        }
    }
    for place in PARTS * each..places {
        for v in 0..V {
            let last = &mut largest[PARTS - 1][v];
            *last = the_larger(simd, *last, x[place * width + first + v]);
        }
    }
    for v in 0..V {
        let mut all = largest[0][v];
        for part in 1..PARTS {
            all = the_larger(simd, all, largest[part][v]);
        }
        out[first + v] = all;
    }
}

/// The first of equals; NaN is the largest of all.
#[inline(always)]
fn the_larger<S: Simd>(simd: S, before: S::f32s, x: S::f32s) -> S::f32s {
    let other = math::select(simd, simd.equal_f32s(before, before), x, before);
    math::select(simd, simd.greater_than_or_equal_f32s(before, x), before, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_the_first_of_equals_and_nan_wherever_it_stands() {
        for (places, channels) in [(1, 16), (7, 16), (33, 32), (20, 48), (9, 8)] {
            let value = |at: usize| match at * 7919 % 23 {
                0 if at.is_multiple_of(5) => f32::NAN,
                n if n < 8 => [0.0, -0.0][n % 2],
                n => -(n as f32),
            };
            let x: Vec<f32> = (0..3 * places * channels).map(value).collect();
            let mut out = vec![f32::NEG_INFINITY; 3 * channels];
            if !max_in_vectors(places, channels, &x, &mut out) {
                continue;
            }
            for (at, &largest) in out.iter().enumerate() {
                let (sample, channel) = (at / channels, at % channels);
                let of = |place: usize| x[(sample * places + place) * channels + channel];
                let keep = |before: f32, x: f32| if x <= before || before.is_nan() { before } else { x };
                let expected = (0..places).map(of).fold(f32::NEG_INFINITY, keep);
                assert_eq!(largest.to_bits(), expected.to_bits(), "({places}, {channels}), {at}");
            }
        }
    }
}

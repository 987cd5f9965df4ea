//! Convolutions of each channel by itself: rows times vectors of weights, element by element.

use super::operand::Places;
use super::tile::{some, vectors, write};
use crate::buffer::Buffer;
use crate::isa::dispatch_for;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Multiplications from which several threads share the work.
const PARALLEL: usize = 1 << 17;
/// Rows that are worked through for all channels before the next.
const ROWS: usize = 128;
/// Rows, or places of the window, that are summed at a time.
const TILE: usize = 8;
/// Parts of a gradient at most: each has sums of its own.
const PARTS: usize = 16;

/// Rows, of which each place of a window meets the channels at a distance of its own.
#[derive(Clone, Copy)]
pub(crate) struct Each<'a> {
    pub floats: &'a [f32],
    pub rows: usize,
    pub places: Places<'a>,
    /// Where a row's channels begin for each place of the window, from the place of the row.
    pub offsets: &'a [usize],
    pub channels: usize,
}

impl Each<'_> {
    fn check(&self) {
        let end = self.offsets.iter().max().copied().unwrap_or(0) + self.channels;
        assert!(
            self.rows == 0
                || self.offsets.is_empty()
                || self.places.last(self.rows) + end <= self.floats.len()
        );
    }

    /// `out[row][c] = start[c] + Σ_place row[place][c] · weights[place][c]`, places after places, where `weights` has the
    /// vectors of the places in the order of `taps`.
    pub(crate) fn product(
        &self,
        weights: &[f32],
        taps: &[usize],
        start: Option<&[f32]>,
        places: Places<'_>,
        out: &mut [f32],
    ) {
        let (rows, channels) = (self.rows, self.channels);
        if rows == 0 || channels == 0 {
            return;
        }
        self.check();
        assert!(taps.len() == self.offsets.len() && places.are_apart(channels));
        assert!(places.last(rows) + channels <= out.len());
        assert!(taps.iter().all(|tap| (tap + 1) * channels <= weights.len()));
        assert!(start.is_none_or(|start| start.len() >= channels));
        let out = Out(out.as_mut_ptr());
        let part = |first: usize| EachPart {
            each: self,
            weights,
            taps,
            start,
            places,
            rows: (first, (first + ROWS).min(rows)),
            out,
        };
        if rows * channels * taps.len() < PARALLEL {
            (0..rows).step_by(ROWS).for_each(|first| dispatch_for(channels, part(first)));
        } else {
            let parts = rows.div_ceil(ROWS);
            (0..parts).into_par_iter().for_each(|index| dispatch_for(channels, part(index * ROWS)));
        }
    }

    /// `out[place][c] = Σ_rows row[place][c] · d[row][c]`.
    pub(crate) fn gradient(&self, d: &[f32], out: &mut [f32]) {
        let (rows, channels) = (self.rows, self.channels);
        let count = self.offsets.len() * channels;
        if count == 0 {
            return;
        }
        self.check();
        assert!(d.len() >= rows * channels && out.len() >= count);
        let share = rows.div_ceil(PARTS).next_multiple_of(ROWS / 4).max(1);
        let parts = rows.div_ceil(share).max(1);
        let mut sums = Buffer::zeros(parts * count);
        let run = |(index, sums): (usize, &mut [f32])| {
            let rows = (index * share, ((index + 1) * share).min(rows));
            dispatch_for(channels, GradientPart { each: self, d, rows, sums });
        };
        if rows * count < PARALLEL {
            sums.chunks_mut(count).enumerate().for_each(run);
        } else {
            sums.par_chunks_mut(count).enumerate().for_each(run);
        }
        out[..count].copy_from_slice(&sums[..count]);
        for sums in sums.chunks(count).skip(1) {
            for (out, sum) in out.iter_mut().zip(sums) {
                *out += sum;
            }
        }
    }
}

/// The output, of which every part writes rows of its own.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: the rows are apart (`Each::product`), and no two parts have one in common.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

/// Some rows of a product.
struct EachPart<'a> {
    each: &'a Each<'a>,
    weights: &'a [f32],
    taps: &'a [usize],
    start: Option<&'a [f32]>,
    places: Places<'a>,
    rows: (usize, usize),
    out: Out,
}

impl WithSimd for EachPart<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let count = self.rows.1 - self.rows.0;
        let (mut from, mut into) = ([0; ROWS], [0; ROWS]);
        self.each.places.fill(self.rows.0, &mut from[..count]);
        self.places.fill(self.rows.0, &mut into[..count]);
        let mut row = 0;
        while row + TILE <= count {
            self.rows::<S, TILE>(simd, &from[row..], &into[row..]);
            row += TILE;
        }
        while row < count {
            self.rows::<S, 1>(simd, &from[row..], &into[row..]);
            row += 1;
        }
    }
}

impl EachPart<'_> {
    /// `M` rows, a vector of channels after the other.
    #[inline(always)]
    fn rows<S: Simd, const M: usize>(&self, simd: S, from: &[usize], into: &[usize]) {
        let channels = self.each.channels;
        let mut channel = 0;
        while channel < channels {
            let count = (channels - channel).min(S::F32_LANES);
            // SAFETY: `product` has made sure that the channels of each row lie within its floats at each place of the
            // window, as do the weights, the start and the output.
            unsafe {
                let mut sums = [[simd.splat_f32s(0.0)]; M];
                if let Some(start) = self.start {
                    sums = [some::<S, 1>(simd, start.as_ptr().add(channel), count); M];
                }
                for place in 0..self.taps.len() {
                    let tap = *self.taps.get_unchecked(place);
                    let weights = self.weights.as_ptr().add(tap * channels + channel);
                    let weights = some::<S, 1>(simd, weights, count)[0];
                    let offset = *self.each.offsets.get_unchecked(place) + channel;
                    for m in 0..M {
                        let x = self.each.floats.as_ptr().add(*from.get_unchecked(m) + offset);
                        let x = some::<S, 1>(simd, x, count)[0];
                        sums[m][0] = simd.mul_add_f32s(x, weights, sums[m][0]);
                    }
                }
                for m in 0..M {
                    write::<S, 1>(sums[m], self.out.0.add(*into.get_unchecked(m) + channel), count);
                }
            }
            channel += S::F32_LANES;
        }
    }
}

/// Some rows of a gradient, in sums of their own.
struct GradientPart<'a> {
    each: &'a Each<'a>,
    d: &'a [f32],
    rows: (usize, usize),
    sums: &'a mut [f32],
}

impl WithSimd for GradientPart<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let places = self.each.offsets.len();
        let mut from = [0; ROWS];
        let mut first = self.rows.0;
        while first < self.rows.1 {
            let count = (self.rows.1 - first).min(ROWS);
            self.each.places.fill(first, &mut from[..count]);
            let mut place = 0;
            while place + TILE <= places {
                self.places::<S, TILE>(simd, first, &from[..count], place);
                place += TILE;
            }
            while place < places {
                self.places::<S, 1>(simd, first, &from[..count], place);
                place += 1;
            }
            first += count;
        }
    }
}

impl GradientPart<'_> {
    /// `M` places of the window, a vector of channels after the other.
    #[inline(always)]
    fn places<S: Simd, const M: usize>(&mut self, simd: S, first: usize, from: &[usize], place: usize) {
        let channels = self.each.channels;
        assert!(
            place + M <= self.each.offsets.len() && self.sums.len() == self.each.offsets.len() * channels
        );
        let mut channel = 0;
        while channel < channels {
            let count = (channels - channel).min(S::F32_LANES);
            // SAFETY: `gradient` has made sure that the channels of each row lie within its floats at each place of the
            // window, and within `d`; there are sums for each channel of each place.
            unsafe {
                let into = self.sums.as_mut_ptr().add(place * channels + channel);
                let mut sums = [[simd.splat_f32s(0.0)]; M];
                for m in 0..M {
                    sums[m] = some::<S, 1>(simd, into.add(m * channels), count);
                }
                for row in 0..from.len() {
                    let d = self.d.as_ptr().add((first + row) * channels + channel);
                    let x = self.each.floats.as_ptr().add(*from.get_unchecked(row) + channel);
                    if count == S::F32_LANES {
                        let d = vectors::<S, 1>(simd, d)[0];
                        for m in 0..M {
                            let x = x.add(*self.each.offsets.get_unchecked(place + m));
                            sums[m][0] = simd.mul_add_f32s(vectors::<S, 1>(simd, x)[0], d, sums[m][0]);
                        }
                    } else {
                        let d = some::<S, 1>(simd, d, count)[0];
                        for m in 0..M {
                            let x = x.add(*self.each.offsets.get_unchecked(place + m));
                            sums[m][0] = simd.mul_add_f32s(some::<S, 1>(simd, x, count)[0], d, sums[m][0]);
                        }
                    }
                }
                for m in 0..M {
                    write::<S, 1>(sums[m], into.add(m * channels), count);
                }
            }
            channel += S::F32_LANES;
        }
    }
}

//! Boxes of places within larger ones: what padding adds and cropping cuts off.

use crate::copied::copy;
use crate::vectorized::samples;
use rayon::prelude::*;

/// A box of places over three axes, channels last, within a larger one. Fewer axes have 1 before them.
#[derive(Clone, Copy, Debug)]
pub struct Margins {
    /// Steps of the box along each axis.
    pub inner: [usize; 3],
    /// Steps of what it lies in.
    pub outer: [usize; 3],
    /// Steps before it.
    pub before: [usize; 3],
    /// Numbers of a place.
    pub channels: usize,
}

impl Margins {
    fn sizes(&self) -> [usize; 2] {
        [self.inner, self.outer].map(|axes| axes.iter().product::<usize>() * self.channels)
    }

    /// Rows of the larger box, and where those of the inner one stand, if they have a part there.
    fn rows(&self) -> impl Iterator<Item = (usize, Option<usize>)> {
        let Self { inner, outer, before, .. } = *self;
        (0..outer[0] * outer[1]).map(move |row| {
            let of = |axis: usize, at: usize| at.checked_sub(before[axis]).filter(|&at| at < inner[axis]);
            let within = of(0, row / outer[1]).zip(of(1, row % outer[1]));
            (row, within.map(|(first, second)| first * inner[1] + second))
        })
    }

    /// Where a row of the inner box lies in one of the larger.
    fn part(&self) -> std::ops::Range<usize> {
        self.before[2] * self.channels..(self.before[2] + self.inner[2]) * self.channels
    }

    /// Each sample of `x`, with zeros around it.
    pub fn put(&self, x: &[f32], out: &mut [f32]) {
        let ([size, size_out], part) = (self.sizes(), self.part());
        let (width, width_out) = (part.len(), self.outer[2] * self.channels);
        if size == 0 || size_out == 0 {
            return out.fill(0.0);
        }
        let put = |(x, out): (&[f32], &mut [f32])| {
            for (row, within) in self.rows() {
                let out = &mut out[row * width_out..][..width_out];
                match within {
                    None => out.fill(0.0),
                    Some(within) => {
                        out[..part.start].fill(0.0);
                        copy(&x[within * width..][..width], &mut out[part.clone()]);
                        out[part.end..].fill(0.0);
                    }
                }
            }
        };
        let count = samples(size_out);
        let parts = x.par_chunks(count * size).zip(out.par_chunks_mut(count * size_out));
        parts.for_each(|(x, out)| x.chunks_exact(size).zip(out.chunks_exact_mut(size_out)).for_each(put));
    }

    /// Each sample of `x` without what lies around the inner box.
    pub fn take(&self, x: &[f32], out: &mut [f32]) {
        let ([size_out, size], part) = (self.sizes(), self.part());
        let (width_out, width) = (part.len(), self.outer[2] * self.channels);
        if size == 0 || size_out == 0 {
            return;
        }
        let take = |(x, out): (&[f32], &mut [f32])| {
            for (row, within) in self.rows() {
                if let Some(within) = within {
                    copy(&x[row * width..][part.clone()], &mut out[within * width_out..][..width_out]);
                }
            }
        };
        let count = samples(size);
        let parts = x.par_chunks(count * size).zip(out.par_chunks_mut(count * size_out));
        parts.for_each(|(x, out)| x.chunks_exact(size).zip(out.chunks_exact_mut(size_out)).for_each(take));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_again() {
        let of = Margins { inner: [2, 1, 3], outer: [3, 4, 5], before: [1, 2, 0], channels: 2 };
        let x: Vec<f32> = (1..=24).map(|x| x as f32).collect();
        let mut out = vec![f32::NAN; 2 * 3 * 4 * 5 * 2];
        of.put(&x, &mut out);
        assert_eq!(out.iter().filter(|&&x| x != 0.0).count(), 24);
        // Sample 1, place (1, 2, 0): the first of the inner box.
        assert_eq!(out[120 + ((4 + 2) * 5) * 2], 13.0);
        let mut again = vec![f32::NAN; 24];
        of.take(&out, &mut again);
        assert_eq!(again, x);
    }
}

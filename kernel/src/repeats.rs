//! Places repeated along their axes, and the sums over what was repeated.

use crate::copied::copy;
use crate::pooling::blocks;
use crate::vectorized::{samples, vectorized};
use rayon::prelude::*;

/// How often the places of three axes are repeated, channels last. Fewer axes have 1 before them.
#[derive(Clone, Copy, Debug)]
pub struct Repeats {
    /// Steps of the input along each axis.
    pub lengths: [usize; 3],
    /// How often each of them comes.
    pub times: [usize; 3],
    /// Numbers of a place.
    pub channels: usize,
}

impl Repeats {
    fn sizes(&self) -> [usize; 2] {
        let size = self.lengths.iter().product::<usize>() * self.channels;
        [size, size * self.times.iter().product::<usize>()]
    }

    /// Each place as often as it is asked for.
    pub fn repeat(&self, x: &[f32], out: &mut [f32]) {
        let ([size, size_out], channels) = (self.sizes(), self.channels);
        if size_out == 0 {
            return;
        }
        let [_, rows, width] = [self.lengths[0], self.lengths[1], self.lengths[2] * channels];
        let [slabs, lines, places] = self.times;
        let line = width * places;
        let repeat = |(x, out): (&[f32], &mut [f32])| {
            let slabs_of =
                x.chunks_exact(rows * width).zip(out.chunks_exact_mut(slabs * rows * lines * line));
            for (x, out) in slabs_of {
                let (first, others) = out.split_at_mut(rows * lines * line);
                for (x, out) in x.chunks_exact(width).zip(first.chunks_exact_mut(lines * line)) {
                    let (first, others) = out.split_at_mut(line);
                    for (x, out) in x.chunks_exact(channels).zip(first.chunks_exact_mut(places * channels)) {
                        out.chunks_exact_mut(channels).for_each(|out| copy(x, out));
                    }
                    others.chunks_exact_mut(line).for_each(|out| copy(first, out));
                }
                others.chunks_exact_mut(first.len()).for_each(|out| copy(first, out));
            }
        };
        let count = samples(size_out);
        let parts = x.par_chunks(count * size).zip(out.par_chunks_mut(count * size_out));
        parts.for_each(|(x, out)| x.chunks_exact(size).zip(out.chunks_exact_mut(size_out)).for_each(repeat));
    }

    /// The gradient of [`repeat`](Self::repeat): along the last axis first, then along the one before it.
    pub fn sum(&self, d: &[f32], d_x: &mut [f32]) {
        let [size, size_out] = self.sizes();
        if size_out == 0 {
            return d_x.fill(0.0);
        }
        let count = samples(size_out);
        let parts = d.par_chunks(count * size_out).zip(d_x.par_chunks_mut(count * size));
        parts.for_each(|(d, d_x)| sum_repeats(self, d, d_x));
    }
}

vectorized! {
    fn sum_repeats<'a>(of: &'a Repeats, d: &'a [f32], d_x: &'a mut [f32]) {
        let Repeats { lengths, times, channels } = *of;
        let [_, b, c] = lengths;
        let (line, rows) = (c * times[2] * channels, b * times[1]);
        // Samples follow each other as further steps of the first axis.
        for i in 0..d_x.len() / (b * c * channels) {
            for j in 0..b {
                for k in 0..c {
                    let at = (i * times[0] * rows + j * times[1]) * line + k * times[2] * channels;
                    let d_x = &mut d_x[((i * b + j) * c + k) * channels..][..channels];
                    blocks!(channels, first => sum_block(times, [rows * line, line, channels], &d[at..], first, d_x));
                }
            }
        }
    }
}

/// The sums of some channels of a place.
#[inline(always)]
fn sum_block<const N: usize>(times: [usize; 3], steps: [usize; 3], d: &[f32], first: usize, d_x: &mut [f32]) {
    let mut sum = [0.0f32; N];
    for i in 0..times[0] {
        let mut of_lines = [0.0f32; N];
        for j in 0..times[1] {
            let mut of_places = [0.0f32; N];
            for k in 0..times[2] {
                let d = &d[i * steps[0] + j * steps[1] + k * steps[2] + first..][..N];
                for c in 0..N {
                    of_places[c] += d[c];
                }
            }
            for c in 0..N {
                of_lines[c] += of_places[c];
            }
        }
        for c in 0..N {
            sum[c] += of_lines[c];
        }
    }
    d_x[first..first + N].copy_from_slice(&sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_comes_as_often_as_it_is_asked_for_and_its_gradients_add_up() {
        let of = Repeats { lengths: [2, 3, 2], times: [2, 1, 3], channels: 3 };
        let x: Vec<f32> = (0..2 * 2 * 3 * 2 * 3).map(|x| x as f32).collect();
        let mut out = vec![f32::NAN; x.len() * 6];
        of.repeat(&x, &mut out);
        for sample in 0..2 {
            for (i, j, k) in (0..4).flat_map(|i| (0..3).flat_map(move |j| (0..6).map(move |k| (i, j, k)))) {
                let at = (((sample * 4 + i) * 3 + j) * 6 + k) * 3;
                let from = (((sample * 2 + i / 2) * 3 + j) * 2 + k / 3) * 3;
                assert_eq!(out[at..at + 3], x[from..from + 3], "place {i}, {j}, {k} of sample {sample}");
            }
        }
        let mut d_x = vec![f32::NAN; x.len()];
        of.sum(&out, &mut d_x);
        let six: Vec<f32> = x.iter().map(|x| 6.0 * x).collect();
        assert_eq!(d_x, six);
    }
}

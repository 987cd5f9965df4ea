//! A few rows times a matrix whose columns lie one after another: each number is a dot product, and nothing is packed.
//!
//! A sum is sixteen sums side by side, whatever the vectors, which are added up as a tree.

use super::tile::{MOST_LANES, some};
use crate::isa::dispatch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Multiplications from which several threads share the work.
const PARALLEL: usize = 1 << 19;

/// `out[c] = start[c] + Σ_k a[k] · columns[c · step + k]`
pub(super) struct Dots<'a> {
    pub a: &'a [f32],
    pub columns: &'a [f32],
    pub step: usize,
    pub start: Option<&'a [f32]>,
}

impl Dots<'_> {
    pub(super) fn run(&self, out: &mut [f32]) {
        if out.is_empty() {
            return;
        }
        assert!((out.len() - 1) * self.step + self.a.len() <= self.columns.len());
        assert!(self.start.is_none_or(|start| start.len() >= out.len()));
        let part = |first: usize, out| dispatch(Part { dots: self, first, out });
        if self.a.len() * out.len() < PARALLEL {
            part(0, out);
        } else {
            let share = out.len().div_ceil(4 * rayon::current_num_threads());
            out.par_chunks_mut(share).enumerate().for_each(|(index, out)| part(index * share, out));
        }
    }
}

/// Some columns.
struct Part<'a> {
    dots: &'a Dots<'a>,
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match S::F32_LANES {
            16 => self.columns::<S, 1, 8>(simd),
            8 => self.columns::<S, 2, 4>(simd),
            _ => self.columns::<S, 4, 2>(simd),
        }
    }
}

impl Part<'_> {
    /// `C` columns at a time, sixteen sums of each in `V` vectors.
    #[inline(always)]
    fn columns<S: Simd, const V: usize, const C: usize>(&mut self, simd: S) {
        assert!(V * S::F32_LANES == MOST_LANES);
        let count = self.out.len();
        let mut column = 0;
        while column + C <= count {
            self.sums::<S, V, C>(simd, column);
            column += C;
        }
        while column < count {
            self.sums::<S, V, 1>(simd, column);
            column += 1;
        }
    }

    #[inline(always)]
    fn sums<S: Simd, const V: usize, const C: usize>(&mut self, simd: S, column: usize) {
        let Dots { a, columns, step, start } = *self.dots;
        let first = self.first + column;
        let mut sums = [[simd.splat_f32s(0.0); V]; C];
        let mut k = 0;
        while k < a.len() {
            let count = (a.len() - k).min(MOST_LANES);
            // SAFETY: `Dots::run` has made sure that each column has as many floats as `a`.
            unsafe {
                let x = some::<S, V>(simd, a.as_ptr().add(k), count);
                for c in 0..C {
                    let from = columns.as_ptr().add((first + c) * step + k);
                    let weights = some::<S, V>(simd, from, count);
                    for v in 0..V {
                        sums[c][v] = simd.mul_add_f32s(x[v], weights[v], sums[c][v]);
                    }
                }
            }
            k += MOST_LANES;
        }
        for c in 0..C {
            let mut all = [0.0f32; MOST_LANES];
            for v in 0..V {
                // SAFETY: `V` vectors have as many lanes as the array, and any bits are floats.
                unsafe {
                    all.as_mut_ptr().add(v * S::F32_LANES).cast::<S::f32s>().write_unaligned(sums[c][v]);
                }
            }
            let mut width = MOST_LANES / 2;
            while width > 0 {
                for i in 0..width {
                    all[i] += all[i + width];
                }
                width /= 2;
            }
            self.out[column + c] = match start {
                Some(start) => start[first + c] + all[0],
                None => all[0],
            };
        }
    }
}

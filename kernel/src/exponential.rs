//! Exponentials of a row, for softmax.

use crate::isa::dispatch;
use crate::math;
use pulp::{Simd, WithSimd};

/// e^(x - shift) of each value, within 2 units in the last place; the same bytes whatever the vector instructions.
///
/// Values beyond the shorter of the two slices are left alone.
pub fn exp(xs: &[f32], shift: f32, ys: &mut [f32]) {
    let length = xs.len().min(ys.len());
    dispatch(Exp { xs: &xs[..length], shift, ys: &mut ys[..length] });
}

struct Exp<'a> {
    xs: &'a [f32],
    shift: f32,
    ys: &'a mut [f32],
}

impl WithSimd for Exp<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let shift = simd.splat_f32s(self.shift);
        let (xs, xs_rest) = S::as_simd_f32s(self.xs);
        let (ys, ys_rest) = S::as_mut_simd_f32s(self.ys);
        for i in 0..xs.len() {
            ys[i] = math::exp(simd, simd.sub_f32s(xs[i], shift));
        }
        if !xs_rest.is_empty() {
            let last = simd.partial_load_f32s(xs_rest);
            simd.partial_store_f32s(ys_rest, math::exp(simd, simd.sub_f32s(last, shift)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn every_length_gives_the_exponential_of_each_value() {
        let xs: Vec<f32> = (0..67).map(|i| i as f32 * 0.37 - 12.0).collect();
        for length in 0..xs.len() {
            let mut ys = vec![f32::NAN; length];
            exp(&xs[..length], 0.5, &mut ys);
            for (x, y) in xs.iter().zip(&ys) {
                let exact = libm::expf(x - 0.5);
                assert!((y - exact).abs() <= 3e-7 * exact, "{length}: e^{x} is {y}, not {exact}");
            }
        }
    }
}

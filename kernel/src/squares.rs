//! The sum of squares, and its gradient.

use crate::vectorized::{SHARE, vectorized};
use rayon::prelude::*;

/// Sums side by side: as many as keep several vectors of additions under way.
const LANES: usize = 32;

/// Σ x², added up in f64: shares of so many numbers, in their order.
pub fn sum_of_squares(x: &[f32]) -> f32 {
    let share = |x: &[f32]| {
        let mut sum = [0.0];
        add_squares(x, &mut sum);
        sum[0]
    };
    if x.len() < 2 * SHARE {
        return x.chunks(SHARE).map(share).sum::<f64>() as f32;
    }
    let shares: Vec<f64> = x.par_chunks(SHARE).map(share).collect();
    shares.into_iter().sum::<f64>() as f32
}

/// The gradient of [`sum_of_squares`], whose own gradient is `d`.
pub fn sum_of_squares_back(x: &[f32], d: f32, out: &mut [f32]) {
    if x.len() < 2 * SHARE {
        return times(x, 2.0 * d, out);
    }
    x.par_chunks(SHARE).zip(out.par_chunks_mut(SHARE)).for_each(|(x, out)| times(x, 2.0 * d, out));
}

vectorized! {
    fn add_squares<'a>(x: &'a [f32], sum: &'a mut [f64; 1]) {
        let mut lanes = [0.0f64; LANES];
        for whole in 0..x.len() / LANES {
            let x = &x[whole * LANES..][..LANES];
            for lane in 0..LANES {
                // The product of two f32 is exact, so this rounds once as mul_add does.
                lanes[lane] += f64::from(x[lane]) * f64::from(x[lane]);
            }
        }
        let whole = x.len() / LANES * LANES;
        for lane in 0..x.len() - whole {
            lanes[lane] += f64::from(x[whole + lane]) * f64::from(x[whole + lane]);
        }
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
            half /= 2;
        }
        sum[0] = lanes[0];
    }
}

vectorized! {
    fn times<'a>(x: &'a [f32], factor: f32, out: &'a mut [f32]) {
        let x = &x[..out.len()];
        for at in 0..out.len() {
            out[at] = x[at] * factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_counts_once() {
        for len in [0, 1, 31, 32, 33, 1000, SHARE + 7, 2 * SHARE, 5 * SHARE + 11] {
            let x: Vec<f32> = (0..len).map(|at| (at % 7) as f32 - 3.0).collect();
            let exact: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert_eq!(sum_of_squares(&x), exact as f32, "{len} numbers");
            let mut d_x = vec![f32::NAN; len];
            sum_of_squares_back(&x, 0.5, &mut d_x);
            assert_eq!(d_x, x);
        }
    }
}

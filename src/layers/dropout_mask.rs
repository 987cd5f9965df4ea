//! The factors that dropout multiplies with.

use crate::random::Stream;

/// `count` factors: 0 with probability `rate`, else 1 / (1 - rate).
pub(crate) fn mask(stream: &mut Stream, rate: f64, count: usize) -> Vec<f32> {
    // A table rather than a branch, which no processor could foresee.
    let factors = [(1.0 / (1.0 - rate)) as f32, 0.0];
    (0..count).map(|_| factors[usize::from(stream.uniform() < rate)]).collect()
}

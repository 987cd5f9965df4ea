//! The sum of a tensor's squares, in a pass over it each way.

use super::strand::{Back, Strand, fused};
use candle_core::Result;
use candle_recurrent_kernel::{self as kernel, unwritten};

/// Σ x², a scalar.
pub fn sum_of_squares(xs: &Strand) -> Result<Strand> {
    if !xs.fuses() {
        return xs.tensor().sqr()?.sum_all().map(Strand::from);
    }
    let back = |Back { x: [x], d, .. }: Back<'_, 1>| {
        let mut d_x = unwritten(x.len());
        kernel::sum_of_squares_back(x, d.first().copied().unwrap_or_default(), &mut d_x);
        [d_x]
    };
    fused("squares", [xs], (), |[x], out| out.fill(kernel::sum_of_squares(x)), back)
}

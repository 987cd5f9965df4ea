//! The two ends of each axis: what is added there or cut off.

use crate::layers::shape::{Checked, Shape, axes_needed, show};
use candle_core::{Result, Tensor, bail};

/// What to add or to cut before and after, along each axis.
pub type Ends = Vec<[usize; 2]>;

/// The most steps to add or cut.
const MAX: usize = 1 << 16;

/// Says what is wrong with them, if anything is.
pub fn check_ends<const N: usize>(name: &str, ends: &Ends) -> Checked<()> {
    if ends.len() != N || ends.iter().flatten().any(|&end| end > MAX) {
        return Err(format!("{name} needs [before, after] for each of {N} axes, at most {MAX} each"));
    }
    Ok(())
}

/// The shape with other lengths along its spatial axes.
pub fn reshaped<const N: usize>(
    input: &[Option<usize>],
    change: impl Fn(usize, usize) -> Option<usize>,
) -> Checked<Shape> {
    if input.len() != N + 2 {
        return Err(axes_needed(N + 2, input));
    }
    let mut shape = input.to_vec();
    for (axis, length) in shape.iter_mut().skip(1).take(N).enumerate() {
        if let Some(known) = *length {
            let changed = change(axis, known).filter(|&changed| changed > 0);
            *length = Some(changed.ok_or_else(|| format!("nothing is left of its input {}", show(input)))?);
        }
    }
    Ok(shape)
}

/// Refuses an input of another number of axes.
pub fn check_rank<const N: usize>(xs: &Tensor) -> Result<()> {
    if xs.rank() != N + 2 {
        bail!("a layer over {N} axes needs {} axes, given {:?}", N + 2, xs.dims())
    }
    Ok(())
}

//! What several losses share: sums over the values of a position, softmax, what is clipped.

use crate::{Error, Result};
use candle_core::{D, DType, Tensor};
use candle_recurrent_kernel as kernel;

/// Keras's `epsilon` in f32: probabilities are kept this far from 0 before their logarithm is taken.
pub const LEAST: f32 = 1e-7;
/// The same for 1.
pub const MOST: f32 = 1.0 - 1e-7;

/// `x` from `least` to `most`, and whether a gradient gets through: at both ends it does. NaN of NaN.
pub fn clip(x: f32, least: f32, most: f32) -> (f32, bool) {
    if x < least {
        (least, false)
    } else if x > most {
        (most, false)
    } else {
        (x, true)
    }
}

/// The same of a tensor; the second is 1 or 0.
pub fn clip_tensor(x: &Tensor, least: f32, most: f32) -> Result<(Tensor, Tensor)> {
    let (least, most) = (f64::from(least), f64::from(most));
    let inside = (x.ge(least)? * x.le(most)?)?.to_dtype(x.dtype())?;
    Ok((x.maximum(least)?.minimum(most)?, inside))
}

/// The mean over a position's values, and its gradient.
#[inline]
pub fn mean(
    x: &[f32],
    targets: &[f32],
    gradient: Option<&mut [f32]>,
    value: impl Fn(f32, f32) -> f32,
    slope: impl Fn(f32, f32) -> f32,
) -> f64 {
    if let (&[x], &[target]) = (x, targets) {
        if let Some([gradient]) = gradient {
            *gradient = slope(x, target);
        }
        return f64::from(value(x, target));
    }
    let sum: f64 = x.iter().zip(targets).map(|(&x, &target)| f64::from(value(x, target))).sum();
    if let Some(gradient) = gradient {
        let share = 1.0 / x.len() as f32;
        for ((to, &x), &target) in gradient.iter_mut().zip(x).zip(targets) {
            *to = slope(x, target) * share;
        }
    }
    sum / x.len() as f64
}

/// The same of values and slopes (positions, width).
pub fn mean_tensors(values: &Tensor, slopes: &Tensor) -> Result<(Tensor, Tensor)> {
    let width = values.dim(D::Minus1)?;
    Ok((values.mean(D::Minus1)?, (slopes / width as f64)?))
}

/// Softmax of a position: the greatest logit, the sum of the exponentials of what is less than it, and those exponentials
/// in `exponentials` if asked for.
pub fn exponentials(x: &[f32], exponentials: Option<&mut [f32]>) -> (f32, f64) {
    // In lanes, so that the compiler makes vectors of them. A NaN shows in the sum.
    let mut greatest = [f32::NEG_INFINITY; 8];
    let greater = |a: f32, b: f32| if b > a { b } else { a };
    let (lanes, rest) = x.as_chunks::<8>();
    for x in lanes {
        for (to, &x) in greatest.iter_mut().zip(x) {
            *to = greater(*to, x);
        }
    }
    let greatest = greatest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, greater);
    let total = match exponentials {
        Some(exponentials) => {
            kernel::exp(x, greatest, exponentials);
            sum(exponentials)
        }
        None => {
            let mut buffer = [0.0; 512];
            let pieces = x.chunks(buffer.len()).map(|x| {
                let buffer = &mut buffer[..x.len()];
                kernel::exp(x, greatest, buffer);
                sum(buffer)
            });
            pieces.sum()
        }
    };
    (greatest, total)
}

fn sum(values: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    let (lanes, rest) = values.as_chunks::<8>();
    for values in lanes {
        for (to, &value) in sums.iter_mut().zip(values) {
            *to += f64::from(value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().copied().map(f64::from).sum::<f64>()
}

/// Softmax in place of its logits' exponentials, as [`exponentials`] left them.
pub fn normalise(exponentials: &mut [f32], total: f64) {
    let share = (1.0 / total) as f32;
    exponentials.iter_mut().for_each(|value| *value *= share);
}

/// The gradient with respect to logits, in place of that with respect to their softmax `p`.
pub fn through_softmax(gradient: &mut [f32], p: &[f32]) {
    let mean: f64 = gradient.iter().zip(p).map(|(&slope, &p)| f64::from(slope) * f64::from(p)).sum();
    for (slope, &p) in gradient.iter_mut().zip(p) {
        *slope = p * (*slope - mean as f32);
    }
}

/// The same of tensors (positions, width).
pub fn through_softmax_tensors(gradient: &Tensor, p: &Tensor) -> Result<Tensor> {
    let mean = (gradient * p)?.sum_keepdim(D::Minus1)?;
    Ok((p * gradient.broadcast_sub(&mean)?)?)
}

/// log(1 + e^-|x|)
pub fn softplus_of_minus_abs(x: &Tensor) -> Result<Tensor> {
    Ok((x.abs()?.neg()?.exp()? + 1.0)?.log()?)
}

/// max(x, 0)
pub fn positive(x: &Tensor) -> Result<Tensor> {
    Ok(x.maximum(0.0)?)
}

/// 1 / (1 + e⁻ˣ), the same on every machine.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// Refuses an argument that is not from 0 to 1.
pub fn share(argument: &str, value: f64) -> Result<()> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(()),
        false => Err(Error::argument(argument, format!("{value} is not from 0 to 1"))),
    }
}

/// Refuses an axis other than the last.
pub fn last_axis(axis: i64) -> Result<()> {
    match axis {
        -1 => Ok(()),
        _ => Err(Error::argument("axis", format!("{axis}: losses go along the last axis only, which is -1"))),
    }
}

pub(super) fn minus_one() -> i64 {
    -1
}

/// -1, 0 or 1; NaN of NaN.
pub fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

/// max(1 - z y, 0), and whether a gradient gets through.
pub fn margin(y: f32, z: f32) -> (f32, bool) {
    clip(1.0 - z * y, 0.0, f32::INFINITY)
}

/// Targets that are all 0 or 1, made -1 and 1; others as they are.
pub fn signs(targets: Tensor) -> Result<Tensor> {
    let others = (targets.ne(0.0)? * targets.ne(1.0)?)?.to_dtype(DType::F32)?;
    match others.max_all()?.to_scalar::<f32>()? == 0.0 {
        true => Ok(targets.affine(2.0, -1.0)?),
        false => Ok(targets),
    }
}

//! Shapes with open axes, and Keras's ways of naming axes.

use serde::{Deserialize, Serialize};

/// A shape whose open axes (the batch, a free length) are `None`.
pub type Shape = Vec<Option<usize>>;

/// What is wrong, to be said with the layer's name.
pub type Checked<T> = Result<T, String>;

/// "needs an input of so many axes".
pub fn axes_needed(count: usize, input: &[Option<usize>]) -> String {
    format!("needs an input of {count} axes with the batch, given {} ({})", input.len(), show(input))
}

/// A shape as Keras prints it: `(None, 100, 16)`.
pub fn show(shape: &[Option<usize>]) -> String {
    let axes: Vec<String> =
        shape.iter().map(|axis| axis.map_or_else(|| "None".into(), |n| n.to_string())).collect();
    format!("({})", axes.join(", "))
}

/// A Keras axis, which may count from the end, as an index below `rank`.
pub fn axis_index(axis: i64, rank: usize) -> Checked<usize> {
    let index = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(index)
        .ok()
        .filter(|&index| index < rank)
        .ok_or_else(|| format!("axis {axis} is beyond the input's {rank} axes"))
}

/// One axis, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected an axis, a whole number, or a list of axes")]
pub enum Axes {
    /// One axis; below 0 it counts from the end.
    One(i64),
    /// Several.
    Many(Vec<i64>),
}

impl Axes {
    /// Indices below `rank`, in the order given.
    pub fn indices(&self, rank: usize) -> Checked<Vec<usize>> {
        match self {
            Self::One(axis) => Ok(vec![axis_index(*axis, rank)?]),
            Self::Many(axes) => axes.iter().map(|&axis| axis_index(axis, rank)).collect(),
        }
    }
}

/// The only input of a layer that takes one.
pub fn single(inputs: &[Shape]) -> Checked<&Shape> {
    match inputs {
        [input] => Ok(input),
        [] => Err("needs an input".into()),
        _ => Err(format!("takes one input, given {}", inputs.len())),
    }
}

/// The last axis of an input.
pub fn features(input: &[Option<usize>]) -> Checked<usize> {
    let last = input.last().copied().flatten().filter(|&features| features > 0);
    last.ok_or_else(|| format!("the last axis of its input {} must be known", show(input)))
}

/// The most numbers of a variable, or of a tensor on the way: 8 GiB of them.
const MAX_NUMBERS: usize = 1 << 31;

/// Whether a tensor of these axes is one that some memory holds.
pub fn is_holdable(mut axes: impl Iterator<Item = usize>) -> bool {
    axes.try_fold(1usize, usize::checked_mul).is_some_and(|count| count <= MAX_NUMBERS)
}

/// Refuses a tensor of `axes` that no memory would hold, where the request for it would end the program.
pub fn check_numbers(axes: &[usize]) -> candle_core::Result<()> {
    match is_holdable(axes.iter().copied()) {
        true => Ok(()),
        false => candle_core::bail!("{axes:?} would be more than 2^31 numbers at once"),
    }
}

/// The most units a layer may have; what is beyond is a mistake, and its products would overflow.
const MAX_UNITS: usize = 1 << 24;

/// Says what is wrong with a number of units (or filters), if anything is.
pub fn check_units(name: &str, units: usize) -> Checked<()> {
    match units {
        0 => Err(format!("{name} must be at least 1")),
        1..=MAX_UNITS => Ok(()),
        _ => Err(format!("{name} must be at most {MAX_UNITS}, not {units}")),
    }
}

/// Refuses what would make the root of a variance no number.
pub fn check_epsilon(epsilon: f64) -> Checked<()> {
    match epsilon >= 0.0 && epsilon.is_finite() {
        true => Ok(()),
        false => Err(format!("epsilon must be a number from 0, not {epsilon}")),
    }
}

/// Says what is wrong with a fraction, if anything is.
pub fn check_rate(name: &str, rate: f64) -> Checked<()> {
    match (0.0..=1.0).contains(&rate) {
        true => Ok(()),
        false => Err(format!("{name} must be between 0 and 1, not {rate}")),
    }
}

/// Refuses a bias along one axis alone that has the length of the output's last axis, or else of its second: Keras 3.10 and
/// later on TensorFlow take it for `tf.nn.bias_add`'s and add it along that one (`add` in
/// `keras/src/backend/tensorflow/numpy.py`), every other Keras along its own. The axes of `bias` are the output's last.
pub fn check_bias_axis(name: &str, bias: &[usize], output: &[Option<usize>]) -> Checked<()> {
    let Some(before) = output.len().checked_sub(bias.len()) else { return Ok(()) };
    let mut wide = bias.iter().enumerate().filter(|(_, length)| **length > 1);
    let (Some((at, length)), None) = (wide.next(), wide.next()) else { return Ok(()) };
    let has_length = |axis: &usize| output.get(*axis).copied().flatten() == Some(*length);
    match [output.len() - 1, 1].into_iter().find(has_length) {
        Some(taken) if taken != before + at => Err(format!(
            "its {name} lies along axis {} of {}: Keras 3 on TensorFlow adds it along axis {taken}, which is as long, every \
             other Keras along its own, so a file of Keras 3 does not say what the layer gives",
            before + at,
            show(output)
        )),
        _ => Ok(()),
    }
}

/// The number of elements, if every axis is known and the product no overflow.
pub fn product(axes: &[Option<usize>]) -> Option<usize> {
    axes.iter().try_fold(1usize, |product, axis| product.checked_mul((*axis)?))
}

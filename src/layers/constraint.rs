//! Keras's constraints (`keras/src/constraints/constraints.py`): what is done to a variable after each step of an
//! optimiser.

use super::shape::{Axes, Checked};
use candle_core::{Error, Result, Tensor};
use serde::{Deserialize, Serialize};

/// Keras's epsilon, beside a norm that is divided by.
const EPSILON: f64 = 1e-7;

/// What is done to a variable after each step of an optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "class_name", content = "config", deny_unknown_fields)]
pub enum Constraint {
    /// Norms along `axis` are at most `max_value`.
    MaxNorm {
        /// The largest norm.
        #[serde(default = "two")]
        max_value: f64,
        /// The axis, or the axes, that a norm is taken of.
        #[serde(default = "first")]
        axis: Axes,
    },
    /// No number is below 0.
    NonNeg {},
    /// Norms along `axis` are 1.
    UnitNorm {
        /// The axis, or the axes, that a norm is taken of.
        #[serde(default = "first")]
        axis: Axes,
    },
    /// Norms along `axis` are moved towards `min_value` to `max_value`.
    MinMaxNorm {
        /// The smallest norm.
        #[serde(default)]
        min_value: f64,
        /// The largest norm.
        #[serde(default = "one")]
        max_value: f64,
        /// How far: 1 is all the way.
        #[serde(default = "one")]
        rate: f64,
        /// The axis, or the axes, that a norm is taken of.
        #[serde(default = "first")]
        axis: Axes,
    },
}

fn one() -> f64 {
    1.0
}

fn two() -> f64 {
    2.0
}

fn first() -> Axes {
    Axes::One(0)
}

impl Constraint {
    /// Refuses bounds that are no numbers, and axes that a variable of this shape does not have.
    pub(crate) fn check(&self, shape: &[usize]) -> Checked<()> {
        let (numbers, axis) = match self {
            Self::NonNeg {} => return Ok(()),
            Self::UnitNorm { axis } => (vec![], axis),
            Self::MaxNorm { max_value, axis } => (vec![("max_value", *max_value)], axis),
            Self::MinMaxNorm { min_value, max_value, rate, axis } => {
                (vec![("min_value", *min_value), ("max_value", *max_value), ("rate", *rate)], axis)
            }
        };
        if let Some((name, number)) = numbers.into_iter().find(|(_, number)| !number.is_finite()) {
            return Err(format!("`{name}` is {number}, expected a finite number"));
        }
        axis.indices(shape.len()).map(|_| ())
    }

    /// `weights` as they are to be.
    ///
    /// # Errors
    /// If an axis is beyond the tensor's.
    pub fn apply(&self, weights: &Tensor) -> Result<Tensor> {
        let norms = |axis: &Axes| {
            let axes = axis.indices(weights.rank()).map_err(Error::msg)?;
            weights.sqr()?.sum_keepdim(axes)?.sqrt()
        };
        match self {
            Self::NonNeg {} => weights.maximum(0.0),
            Self::UnitNorm { axis } => weights.broadcast_div(&(norms(axis)? + EPSILON)?),
            Self::MaxNorm { max_value, axis } => {
                let norms = norms(axis)?;
                let wanted = norms.minimum(*max_value)?.maximum(0.0)?;
                weights.broadcast_mul(&(wanted / (norms + EPSILON)?)?)
            }
            Self::MinMaxNorm { min_value, max_value, rate, axis } => {
                let norms = norms(axis)?;
                // In TensorFlow's order, which shows where the smallest is above the largest.
                let within = norms.minimum(*max_value)?.maximum(*min_value)?;
                let wanted = ((within * *rate)? + (&norms * (1.0 - rate))?)?;
                weights.broadcast_mul(&(wanted / (norms + EPSILON)?)?)
            }
        }
    }
}

use super::registry::Schedule;
use crate::Result;
use crate::train::options::not_negative;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// A learning rate: the same for all steps, or after a schedule. In JSON a number, or a schedule as Keras serialises it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum LearningRate {
    /// The same for all steps, until it is set anew.
    Constant(f64),
    /// Another one for each step.
    Schedule(Schedule),
}

impl LearningRate {
    /// Checks every option's range.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) with the option's name.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Constant(rate) => not_negative("learning_rate", *rate),
            Self::Schedule(schedule) => schedule.check(),
        }
    }

    /// The rate after `step` steps: the first step is taken at `at(0)`.
    pub fn at(&self, step: u64) -> f64 {
        match self {
            Self::Constant(rate) => *rate,
            Self::Schedule(schedule) => schedule.at(step),
        }
    }
}

impl From<f64> for LearningRate {
    fn from(rate: f64) -> Self {
        Self::Constant(rate)
    }
}

impl<S: Into<Schedule>> From<S> for LearningRate {
    fn from(schedule: S) -> Self {
        Self::Schedule(schedule.into())
    }
}

impl TryFrom<Value> for LearningRate {
    type Error = crate::Error;

    fn try_from(value: Value) -> Result<Self> {
        let refuse = |found: &Value| {
            crate::Error::argument("learning_rate", format!("expected a number or a schedule, found {found}"))
        };
        match value {
            Value::Object(object) => Ok(Self::Schedule(Schedule::try_from(object)?)),
            other => other.as_f64().map(Self::Constant).ok_or_else(|| refuse(&other)),
        }
    }
}

impl From<LearningRate> for Value {
    fn from(rate: LearningRate) -> Self {
        match rate {
            LearningRate::Constant(rate) => rate.into(),
            LearningRate::Schedule(schedule) => schedule.into(),
        }
    }
}

/// `0.001`, or the schedule's class and the rate that it begins with: `CosineDecay from 0.001`.
impl fmt::Display for LearningRate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Constant(rate) => write!(f, "{rate}"),
            Self::Schedule(schedule) => write!(f, "{} from {}", schedule.name(), schedule.at(0) as f32),
        }
    }
}

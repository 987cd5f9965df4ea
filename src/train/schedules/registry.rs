//! Every class of schedules by Keras's name, a line each.

use super::cosine_decay::CosineDecay;
use super::cosine_decay_restarts::CosineDecayRestarts;
use super::exponential_decay::ExponentialDecay;
use super::inverse_time_decay::InverseTimeDecay;
use super::piecewise_constant_decay::PiecewiseConstantDecay;
use super::polynomial_decay::PolynomialDecay;
use super::rule::Rule;
use crate::train::options::{class_named, fields, open};
use crate::{Error, Result, json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A learning rate that changes from step to step: one of Keras's schedules.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(try_from = "Map<String, Value>", into = "Value")]
        #[non_exhaustive]
        pub enum Schedule { $($(#[$doc])* $name($name),)* }

        impl Schedule {
            /// Every class, by Keras's name.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Keras's name for the class.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            fn rule(&self) -> &dyn Rule {
                match self { $(Self::$name(rule) => rule,)* }
            }

            fn arguments(&self) -> Map<String, Value> {
                match self { $(Self::$name(rule) => fields(rule),)* }
            }

            fn of(class: &str, config: Map<String, Value>) -> Result<Self> {
                let class = class_named("learning_rate", class, Self::NAMES)?;
                let (config, fail) = (config.into(), |wrong: json::Wrong| Error::argument(class, wrong.named()));
                match class {
                    $(stringify!($name) => json::from_value(&config).map(Self::$name).map_err(fail),)*
                    other => Err(Error::argument("learning_rate", format!("class `{other}` is unknown"))),
                }
            }
        }

        $(impl From<$name> for Schedule {
            fn from(rule: $name) -> Self {
                Self::$name(rule)
            }
        })*
    };
}

classes! {
    /// By a factor every so many steps.
    ExponentialDecay,
    /// A rate until the next boundary.
    PiecewiseConstantDecay,
    /// To another rate, by a power.
    PolynomialDecay,
    /// As one over the steps.
    InverseTimeDecay,
    /// Up in a line, down as half a cosine.
    CosineDecay,
    /// Half cosines, one after another.
    CosineDecayRestarts,
}

impl Schedule {
    /// Checks every option's range.
    ///
    /// # Errors
    /// [`Error::Argument`] with the option's name.
    pub fn check(&self) -> Result<()> {
        self.rule().check()
    }

    /// The rate after `step` steps, computed in f32 as Keras does: the first step is taken at `at(0)`.
    pub fn at(&self, step: u64) -> f64 {
        self.rule().rate(step).into()
    }
}

impl TryFrom<Map<String, Value>> for Schedule {
    type Error = Error;

    fn try_from(object: Map<String, Value>) -> Result<Self> {
        let (class, config) = open("learning_rate", object)?;
        let schedule = Self::of(&class, config)?;
        schedule.check()?;
        Ok(schedule)
    }
}

impl From<Schedule> for Value {
    fn from(schedule: Schedule) -> Self {
        json!({ "class_name": schedule.name(), "config": schedule.arguments() })
    }
}

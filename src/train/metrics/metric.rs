//! What a metric is: its arguments ([`Config`]), and what gathers its figure ([`Metric`]).

use super::scores::Scores;
use crate::{Error, Result};
use std::fmt::Debug;

/// Which way a figure gets better, in Keras's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Higher is better.
    Up,
    /// Lower is better.
    Down,
}

/// Whether an output can be compared with its targets, else one sentence that says why not.
pub type Fits = std::result::Result<(), String>;

/// What gathers a metric's figure over the batches of an epoch.
pub trait Metric: Send {
    /// Takes a batch in.
    ///
    /// # Errors
    /// Lengths that do not belong together, an output or targets that the metric cannot do with.
    fn update(&mut self, batch: &Scores) -> Result<()>;

    /// The figure of all batches so far; several where the metric has several thresholds or one a class.
    fn result(&self) -> Vec<f64>;

    /// Forgets the batches.
    fn reset(&mut self);

    /// All that it knows of the batches so far.
    fn state(&self) -> Vec<f64>;

    /// Goes on from a [`state`](Self::state).
    ///
    /// # Errors
    /// A state of another metric.
    fn load_state(&mut self, state: &[f64]) -> Result<()>;
}

/// The name of a metric, in what arguments make.
pub trait Named {
    /// Keras's name of the class.
    const CLASS: &'static str;
    /// Keras's name in the logs where none is given.
    const NAME: &'static str;

    /// The name that was given.
    fn given(&self) -> &Option<String>;

    /// Gives a name.
    fn rename(&mut self, name: String);
}

/// The arguments of a metric, in Keras's names.
pub trait Config: Debug {
    /// Keras's name of the class.
    fn class_name(&self) -> &'static str;

    /// Its name in the logs.
    fn name(&self) -> String;

    /// Gives it a name in the logs.
    fn set_name(&mut self, name: String);

    /// Checks the arguments.
    ///
    /// # Errors
    /// The argument that makes no sense.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Whether outputs and targets of these last axes can be compared.
    ///
    /// # Errors
    /// One sentence that says why not.
    fn fits(&self, width: usize, target_width: usize) -> Fits;

    /// What gathers the figure.
    fn build(&self) -> Box<dyn Metric>;

    /// Which way it gets better, where Keras knows.
    fn direction(&self) -> Option<Direction>;

    /// Whether positions that the output's mask leaves out do not count.
    fn heeds_mask(&self) -> bool;
}

/// Makes the struct of a metric's arguments, all of them with a default, with serde and its name.
macro_rules! arguments {
    ($(#[$doc:meta])* $class:ident = $name:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $class {
            /// Its name in the logs; Keras's default where none is given.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub name: Option<String>,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $class {
            fn default() -> Self {
                Self { name: None, $($field: $default,)* }
            }
        }

        $crate::train::metrics::metric::named!($class = $name);
    };
}

/// [`Named`] for a struct with a field `name`.
macro_rules! named {
    ($class:ident = $name:literal) => {
        impl $crate::train::metrics::metric::Named for $class {
            const CLASS: &'static str = stringify!($class);
            const NAME: &'static str = $name;

            fn given(&self) -> &Option<String> {
                &self.name
            }

            fn rename(&mut self, name: String) {
                self.name = Some(name);
            }
        }
    };
}

/// The names of a [`Config`] that is [`Named`].
macro_rules! names {
    () => {
        fn class_name(&self) -> &'static str {
            <Self as $crate::train::metrics::metric::Named>::CLASS
        }

        fn name(&self) -> String {
            let name = $crate::train::metrics::metric::Named::given(self).clone();
            name.unwrap_or_else(|| <Self as $crate::train::metrics::metric::Named>::NAME.to_string())
        }

        fn set_name(&mut self, name: String) {
            $crate::train::metrics::metric::Named::rename(self, name);
        }
    };
}

pub(super) use {arguments, named, names};

/// Targets of the output's shape.
pub(super) fn same_shape(class: &str, width: usize, target_width: usize) -> Fits {
    match width == target_width {
        true => Ok(()),
        false => Err(format!(
            "{class} compares element by element: the output's last axis is {width} and the targets' {target_width}; \
             give targets of the output's shape"
        )),
    }
}

/// One target a class.
pub(super) fn one_hot(class: &str, width: usize, target_width: usize) -> Fits {
    match width == target_width {
        true => Ok(()),
        false => Err(format!(
            "{class} takes a target a class: the output has {width} and the targets' last axis is {target_width}; \
             give one-hot targets, or take the sparse metric for class numbers"
        )),
    }
}

/// Class numbers.
pub(super) fn class_numbers(class: &str, target_width: usize) -> Fits {
    match target_width {
        1 => Ok(()),
        _ => Err(format!(
            "{class} takes class numbers, one a position: the targets' last axis is {target_width}; for one-hot targets \
             take the metric that is not sparse"
        )),
    }
}

/// That `batch` can be read: its lengths, and its widths for a metric of this class.
pub(super) fn check_batch(config: &impl Config, batch: &Scores) -> Result<()> {
    batch.check()?;
    config
        .fits(batch.width, batch.target_width)
        .map_err(|what| Error::argument(format!("metric {}", config.name()), what))
}

/// A state of `count` numbers.
pub(super) fn state_of<'a>(class: &str, state: &'a [f64], count: usize) -> Result<&'a [f64]> {
    match state.len() == count {
        true => Ok(state),
        false => Err(Error::argument(
            "state",
            format!("{} numbers, and {class} has {count}: is it the state of another metric?", state.len()),
        )),
    }
}

/// a / b, 0 where b is 0.
pub(crate) fn divide(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// Keras's epsilon, as the float that it is.
pub(super) const EPSILON: f64 = 1e-7_f32 as f64;

/// The number, or epsilon where it is less; NaN of NaN.
pub(super) fn at_least_epsilon(number: f64) -> f64 {
    if number < EPSILON { EPSILON } else { number }
}

/// That `axis` is the last one, written -1: that along which outputs are handed over.
pub(super) fn last_axis(class: &str, axis: i64) -> Result<()> {
    match axis {
        -1 => Ok(()),
        _ => {
            Err(Error::argument(format!("metric {class}"), format!("axis {axis}: only the last, -1, works")))
        }
    }
}

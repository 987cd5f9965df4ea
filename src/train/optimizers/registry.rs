//! Every class of optimisers by Keras's name, a line each; and an optimiser as data.

use super::adadelta::Adadelta;
use super::adagrad::Adagrad;
use super::adam::Adam;
use super::adamax::Adamax;
use super::adamw::AdamW;
use super::formula::{Formula, Pass, Slot, Step, Tokens};
use super::ftrl::Ftrl;
use super::lion::Lion;
use super::nadam::Nadam;
use super::number::Number;
use super::rmsprop::RmsProp;
use super::sgd::Sgd;
use crate::Result;
use crate::train::options::{arguments, class_named, fields};
use crate::train::schedules::LearningRate;
use serde_json::{Map, Value};

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident($class:ident),)*) => {
        /// The classes of optimisers, by Keras's names.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum OptimizerClass { $($(#[$doc])* $name($class),)* }

        impl OptimizerClass {
            /// Every class, by Keras's name.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Keras's name for the class.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            /// The learning rate and the weight decay where none is given.
            fn defaults(&self) -> (f64, Option<f64>) {
                match self { $(Self::$name(_) => ($class::LEARNING_RATE, $class::WEIGHT_DECAY),)* }
            }

            /// The class's own arguments.
            pub(super) fn arguments(&self) -> Map<String, Value> {
                match self { $(Self::$name(class) => fields(class),)* }
            }

            /// The class of this name with these arguments of its own; `common` are the fields of all classes.
            pub(super) fn of(name: &str, config: Map<String, Value>, common: &[&str]) -> Result<Self> {
                let name = class_named("optimizer", name, Self::NAMES)?;
                match name {
                    $(stringify!($name) => {
                        let own = fields(&$class::default());
                        let own: Vec<&str> = own.keys().map(String::as_str).collect();
                        arguments(name, config, &own, common).map(Self::$name)
                    })*
                    other => Err(crate::Error::argument("optimizer", format!("class `{other}` is unknown"))),
                }
            }

            pub(super) fn check(&self) -> Result<()> {
                match self { $(Self::$name(class) => class.check(),)* }
            }

            pub(super) fn slots(&self) -> Vec<Slot> {
                match self { $(Self::$name(class) => class.slots(),)* }
            }

            pub(super) fn tokens(&self) -> Tokens {
                match self { $(Self::$name(class) => class.tokens(),)* }
            }

            pub(super) fn remembers(&self) -> Option<f64> {
                match self { $(Self::$name(class) => class.remembers(),)* }
            }

            pub(super) fn remember<V: Number>(&self, step: &Step<V>) -> V {
                match self { $(Self::$name(class) => class.remember(step),)* }
            }

            pub(super) fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output {
                match self { $(Self::$name(class) => class.apply(step, pass),)* }
            }
        }

        $(
            impl From<$class> for OptimizerClass {
                fn from(class: $class) -> Self {
                    Self::$name(class)
                }
            }

            impl $class {
                /// The optimiser's configuration with this learning rate: a number or a schedule.
                pub fn with_learning_rate(self, learning_rate: impl Into<LearningRate>) -> OptimizerConfig {
                    OptimizerConfig { learning_rate: learning_rate.into(), ..OptimizerConfig::from(self) }
                }
            }
        )*
    };
}

classes! {
    /// The mean square of gradients.
    RMSprop(RmsProp),
    /// The means of gradients and of their squares.
    Adam(Adam),
    /// Adam with weight decay.
    AdamW(AdamW),
    /// Adam with Nesterov's momentum.
    Nadam(Nadam),
    /// Adam by the greatest gradient.
    Adamax(Adamax),
    /// Gradient descent, with momentum or without.
    SGD(Sgd),
    /// The sum of squared gradients.
    Adagrad(Adagrad),
    /// The mean square of gradients against that of steps.
    Adadelta(Adadelta),
    /// The sign of a mean of gradients.
    Lion(Lion),
    /// Follow the regularised leader.
    Ftrl(Ftrl),
}

/// An optimiser as data: the class with its own arguments, and what all of Keras's optimisers take.
///
/// Made of a class, `OptimizerConfig::from(Adam::default())` or `Adam::default().with_learning_rate(1e-4)`, it has Keras's
/// defaults. In JSON it is Keras's object, `{"class_name": "Adam", "config": {"learning_rate": 0.001, …}}`, or the class's
/// name alone; an object without `class_name` holds RMSprop's arguments.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct OptimizerConfig {
    /// The class and its own arguments.
    pub class: OptimizerClass,
    /// Step size, or the schedule that gives it; 0.001, for SGD 0.01.
    pub learning_rate: LearningRate,
    /// `w -= w * weight_decay * learning_rate` before the step; none, for AdamW 0.004.
    pub weight_decay: Option<f64>,
    /// The greatest norm of each variable's gradient.
    pub clipnorm: Option<f64>,
    /// The greatest absolute value of a gradient.
    pub clipvalue: Option<f64>,
    /// The greatest norm of all gradients together.
    pub global_clipnorm: Option<f64>,
    /// Whether moving averages of the variables are kept; [`Optimizer::finalize`](super::Optimizer::finalize) writes them
    /// into the variables.
    pub use_ema: bool,
    /// Decay of those averages; 0.99.
    pub ema_momentum: f64,
    /// After how many steps the averages are written into the variables, over and over; none.
    pub ema_overwrite_frequency: Option<usize>,
    /// What the loss is multiplied with before its gradients are taken, and they divided by
    /// ([`Optimizer::scale_loss`](super::Optimizer::scale_loss)).
    pub loss_scale_factor: Option<f64>,
    /// Over how many batches gradients are averaged before the variables change; at least 2.
    pub gradient_accumulation_steps: Option<usize>,
}

impl<C: Into<OptimizerClass>> From<C> for OptimizerConfig {
    fn from(class: C) -> Self {
        let class = class.into();
        let (learning_rate, weight_decay) = class.defaults();
        Self {
            class,
            learning_rate: learning_rate.into(),
            weight_decay,
            clipnorm: None,
            clipvalue: None,
            global_clipnorm: None,
            use_ema: false,
            ema_momentum: 0.99,
            ema_overwrite_frequency: None,
            loss_scale_factor: None,
            gradient_accumulation_steps: None,
        }
    }
}

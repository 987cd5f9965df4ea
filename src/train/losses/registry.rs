//! Every loss by Keras's names, a line each.

use super::binary_crossentropy::BinaryCrossentropy;
use super::binary_focal_crossentropy::BinaryFocalCrossentropy;
use super::categorical_crossentropy::CategoricalCrossentropy;
use super::categorical_focal_crossentropy::CategoricalFocalCrossentropy;
use super::categorical_hinge::CategoricalHinge;
use super::cosine_similarity::CosineSimilarity;
use super::criterion::Criterion;
use super::engine::{self, BatchLoss};
use super::hinge::Hinge;
use super::huber::Huber;
use super::kl_divergence::KLDivergence;
use super::log_cosh::LogCosh;
use super::mean_absolute_error::MeanAbsoluteError;
use super::mean_absolute_percentage_error::MeanAbsolutePercentageError;
use super::mean_squared_error::MeanSquaredError;
use super::mean_squared_logarithmic_error::MeanSquaredLogarithmicError;
use super::pinball::Pinball;
use super::poisson::Poisson;
use super::reduction::Reduction;
use super::sparse_categorical_crossentropy::SparseCategoricalCrossentropy;
use super::squared_hinge::SquaredHinge;
use crate::layers::Activation;
use crate::train::output::Output;
use crate::{Error, error, json};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::str::FromStr;
use std::sync::Arc;

macro_rules! losses {
    ($($(#[$doc:meta])* $class:ident = $name:literal $(| $alias:literal)*,)*) => {
        /// A loss. As JSON it is Keras's `{"class_name": …, "config": {…}}`, or one of its names.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(try_from = "Value", into = "Value")]
        #[non_exhaustive]
        pub enum Loss { $($(#[$doc])* $class($class),)* }

        impl Loss {
            /// Keras's names for all of them: the function's, as in `compile(loss=…)`.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// Keras's name for it.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$class(_) => $name,)* }
            }

            fn class_name(&self) -> &'static str {
                match self { $(Self::$class(_) => stringify!($class),)* }
            }

            fn config(&self) -> serde_json::Result<Value> {
                match self { $(Self::$class(loss) => serde_json::to_value(loss),)* }
            }

            fn criterion(&self) -> &dyn Criterion {
                match self { $(Self::$class(loss) => loss,)* }
            }

            fn shared(&self) -> Arc<dyn Criterion> {
                match self { $(Self::$class(loss) => Arc::new(loss.clone()),)* }
            }

            /// The loss of a name, with arguments or without.
            fn from_parts(name: &str, config: Option<&Value>) -> Option<Result<Self, String>> {
                match name {
                    $(stringify!($class) | $name $(| $alias)* => Some(match config {
                        Some(config) => json::from_value(config).map(Self::$class).map_err(|wrong| wrong.to_string()),
                        None => Ok(Self::$class(Default::default())),
                    }),)*
                    _ => None,
                }
            }
        }

        $(impl From<$class> for Loss {
            fn from(loss: $class) -> Self {
                Self::$class(loss)
            }
        })*
    };
}

losses! {
    /// Cross-entropy of two classes, or of several that are independent.
    BinaryCrossentropy = "binary_crossentropy" | "bce" | "BCE",
    /// Cross-entropy of two classes that counts what is easy less.
    BinaryFocalCrossentropy = "binary_focal_crossentropy",
    /// Cross-entropy of one class among many, by a value for each.
    CategoricalCrossentropy = "categorical_crossentropy",
    /// The same, which counts what is easy less.
    CategoricalFocalCrossentropy = "categorical_focal_crossentropy",
    /// Cross-entropy of one class among many, by its number.
    SparseCategoricalCrossentropy = "sparse_categorical_crossentropy",
    /// Squares of differences.
    MeanSquaredError = "mean_squared_error" | "mse" | "MSE",
    /// Sizes of differences.
    MeanAbsoluteError = "mean_absolute_error" | "mae" | "MAE",
    /// Sizes of differences in parts of the target.
    MeanAbsolutePercentageError = "mean_absolute_percentage_error" | "mape" | "MAPE",
    /// Squares of differences of logarithms.
    MeanSquaredLogarithmicError = "mean_squared_logarithmic_error" | "msle" | "MSLE",
    /// Squares of small differences, sizes of large ones.
    Huber = "huber" | "huber_loss",
    /// The same with a smooth passage.
    LogCosh = "log_cosh" | "logcosh",
    /// How far one distribution is from another.
    KLDivergence = "kl_divergence" | "kld" | "KLD" | "kullback_leibler_divergence",
    /// Counts and their rates.
    Poisson = "poisson",
    /// A margin between two classes.
    Hinge = "hinge",
    /// Its square.
    SquaredHinge = "squared_hinge",
    /// A margin between one class and the others.
    CategoricalHinge = "categorical_hinge",
    /// The directions of vectors.
    CosineSimilarity = "cosine_similarity",
    /// Quantiles of the target; not in Keras.
    Pinball = "pinball" | "quantile",
}

impl Loss {
    /// Its own arguments.
    ///
    /// # Errors
    /// An argument that makes no sense.
    pub fn check(&self) -> crate::Result<()> {
        self.criterion().check()
    }

    /// The activation whose logits it takes: a model that ends in it is best run without it. None: it takes the output
    /// itself.
    pub fn logits_of(&self) -> Option<Activation> {
        self.criterion().logits_of()
    }

    /// Whether it makes sense on an output of this shape (batch, …, width) that has gone through `last`, as far as known.
    /// What is merely unusual passes.
    ///
    /// # Errors
    /// One sentence that says what to do.
    pub fn check_output(
        &self,
        output_shape: &[Option<usize>],
        last: Option<Activation>,
    ) -> Result<(), String> {
        let width = output_shape.last().copied().flatten();
        let wrong = self.criterion().check_head(width, last);
        wrong.map_err(|what| format!("{}: {what}", self.name()))
    }

    /// Whether the loss of a batch without masks and weights is a mean over its rows.
    pub(in crate::train) fn is_mean_over_rows(&self) -> bool {
        let criterion = self.criterion();
        matches!(criterion.reduction(), Reduction::SumOverBatchSize | Reduction::Mean)
            && criterion.ignored().is_none()
    }

    /// Whether the loss of a batch is a mean, of whatever counts in it.
    pub(in crate::train) fn is_mean(&self) -> bool {
        self.criterion().reduction() != Reduction::Sum
    }

    /// The shape of the targets for an output of shape (batch, …, width).
    pub fn target_shape(&self, output: &[usize]) -> Vec<usize> {
        engine::target_shape(self.criterion().targets(), output)
    }

    /// Checks targets for an output of `output_width` values a position.
    ///
    /// # Errors
    /// The place of the first that makes no sense, and what was expected.
    pub fn check_targets(&self, targets: &[f32], output_width: usize) -> Result<(), (usize, String)> {
        let criterion = self.criterion();
        let ignored = criterion.ignored();
        for (at, &target) in targets.iter().enumerate().filter(|&(_, &target)| Some(target) != ignored) {
            let checked = match target.is_finite() {
                true => criterion.check_target(target, output_width),
                false => Err(format!("target {target}, and a number is needed")),
            };
            checked.map_err(|what| (at, format!("{}: {what}", self.name())))?;
        }
        Ok(())
    }

    /// The loss of a batch, as `compile(loss=…)` and `fit` compute it: the losses of all positions, weighted by the
    /// output's mask and by `weights`, made one number by the loss's `reduction`.
    ///
    /// `targets` has the [`target_shape`](Self::target_shape), or one more or less axis of 1 at its end, on the model's device;
    /// no gradient flows into it. `weights` (batch) or (batch, time, …) are sample weights, class weights included.
    /// Positions with a weight of 0 are not computed: what is infinite there does not show.
    ///
    /// # Errors
    /// Shapes that do not fit; a class that the output does not have; an activation that is known and makes no sense.
    pub fn batch(
        &self,
        output: &Output,
        targets: &Tensor,
        weights: Option<&Tensor>,
    ) -> crate::Result<BatchLoss> {
        engine::batch(self.shared(), output, targets, weights)
    }
}

impl FromStr for Loss {
    type Err = Error;

    fn from_str(name: &str) -> crate::Result<Self> {
        read(name, None).map_err(|what| Error::argument("loss", what))
    }
}

fn read(name: &str, config: Option<&Value>) -> Result<Loss, String> {
    let loss = Loss::from_parts(name, config).unwrap_or_else(|| {
        if matches!(name.to_lowercase().as_str(), "crossentropy" | "ce") {
            return Err(format!(
                "`{name}` depends on the model: say binary_crossentropy, categorical_crossentropy or \
                 sparse_categorical_crossentropy"
            ));
        }
        Err(match error::nearest(name, Loss::NAMES.iter().copied()) {
            Some(near) => format!("`{name}` is unknown; did you mean `{near}`?"),
            None => format!("`{name}` is unknown; known are {}", Loss::NAMES.join(", ")),
        })
    })?;
    loss.check().map_err(|wrong| format!("{name}: {wrong}"))?;
    Ok(loss)
}

impl TryFrom<Value> for Loss {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        const EXPECTED: &str = "a loss is a name or {\"class_name\": …, \"config\": {…}}";
        let object = match &value {
            Value::String(name) => return read(name, None),
            Value::Object(object) => object,
            other => return Err(format!("{EXPECTED}, not {other}")),
        };
        // What Keras writes besides says where the class is to be found.
        let known = ["class_name", "config", "module", "registered_name"];
        if let Some(field) = object.keys().find(|field| !known.contains(&field.as_str())) {
            return Err(format!("{EXPECTED}; `{field}` is unknown"));
        }
        match (object.get("class_name").and_then(Value::as_str), object.get("config")) {
            (Some("function"), Some(Value::String(name))) => read(name, None),
            (Some(name), None | Some(Value::Null)) => read(name, None),
            (Some(name), config) => read(name, config).map_err(|what| match what.starts_with('`') {
                true => what,
                false => format!("{name}: {what}"),
            }),
            (None, _) => Err(format!("{EXPECTED}; there is no `class_name`")),
        }
    }
}

impl From<Loss> for Value {
    fn from(loss: Loss) -> Self {
        let plain = Loss::from_parts(loss.name(), None).and_then(Result::ok);
        match (plain.as_ref() == Some(&loss), loss.config()) {
            (false, Ok(config)) => json!({"class_name": loss.class_name(), "config": config}),
            _ => Self::from(loss.name()),
        }
    }
}

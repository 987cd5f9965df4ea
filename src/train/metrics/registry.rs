//! Every metric by Keras's names, a line each; a metric as data.

use super::accuracy_by_shape::{AccuracyByShape, Chosen};
use super::metric::{Config, Direction, Fits, Metric};
use super::*;
use crate::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::str::FromStr;

macro_rules! metrics {
    ($($(#[$doc:meta])* $class:ident = $($name:literal)|+,)*) => {
        /// A metric as data. In JSON it is Keras's `{"class_name": …, "config": …}`, or a name alone, by which the figure
        /// then goes in the logs.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum MetricConfig {
            /// "accuracy" or "acc": one of three by the shapes.
            AccuracyByShape(AccuracyByShape),
            $($(#[$doc])* $class($class),)*
        }

        impl MetricConfig {
            /// The classes, by Keras's names.
            pub const CLASSES: &'static [&'static str] = &[$(stringify!($class),)*];

            /// Every name that a metric can be asked by.
            pub const NAMES: &'static [&'static str] = &["accuracy", "acc", $(stringify!($class), $($name,)+)*];

            fn config(&self) -> &dyn Config {
                match self {
                    Self::AccuracyByShape(config) => config,
                    $(Self::$class(config) => config,)*
                }
            }

            fn config_mut(&mut self) -> &mut dyn Config {
                match self {
                    Self::AccuracyByShape(config) => config,
                    $(Self::$class(config) => config,)*
                }
            }

            /// The class of any of its names with these arguments.
            fn of_class(name: &str, arguments: Value) -> Result<Self> {
                match name {
                    $(stringify!($class) $(| $name)+ => read(name, arguments).map(Self::$class),)*
                    _ => Err(unknown(name)),
                }
            }

            fn arguments(&self) -> serde_json::Result<Value> {
                match self {
                    Self::AccuracyByShape(_) => Ok(Value::Null),
                    $(Self::$class(config) => serde_json::to_value(config),)*
                }
            }
        }

        $(impl From<$class> for MetricConfig {
            fn from(config: $class) -> Self {
                Self::$class(config)
            }
        })*
    };
}

metrics! {
    /// How often an output is the target, to the last bit.
    Accuracy = "accuracy",
    /// How often an output is on the target's side of a threshold.
    BinaryAccuracy = "binary_accuracy",
    /// How often the likeliest class is that of a one-hot target.
    CategoricalAccuracy = "categorical_accuracy",
    /// How often the likeliest class is the target.
    SparseCategoricalAccuracy = "sparse_categorical_accuracy",
    /// How often the class of a one-hot target is among the k likeliest.
    TopKCategoricalAccuracy = "top_k_categorical_accuracy",
    /// How often the target's class is among the k likeliest.
    SparseTopKCategoricalAccuracy = "sparse_top_k_categorical_accuracy",
    /// The share of positive outputs that are right.
    Precision = "precision",
    /// The share of positive targets that are found.
    Recall = "recall",
    /// The harmonic mean of precision and recall.
    F1Score = "f1_score",
    /// The same where recall weighs more or less.
    FBetaScore = "f_beta_score",
    /// The area under a curve.
    AUC = "auc",
    /// How many positive targets have positive outputs.
    TruePositives = "true_positives",
    /// How many negative targets have negative outputs.
    TrueNegatives = "true_negatives",
    /// How many negative targets have positive outputs.
    FalsePositives = "false_positives",
    /// How many positive targets have negative outputs.
    FalseNegatives = "false_negatives",
    /// The highest sensitivity at a least specificity.
    SensitivityAtSpecificity = "sensitivity_at_specificity",
    /// The highest specificity at a least sensitivity.
    SpecificityAtSensitivity = "specificity_at_sensitivity",
    /// The highest precision at a least recall.
    PrecisionAtRecall = "precision_at_recall",
    /// The highest recall at a least precision.
    RecallAtPrecision = "recall_at_precision",
    /// The mean of squared differences.
    MeanSquaredError = "mean_squared_error" | "mse" | "MSE",
    /// The root of the mean of squared differences.
    RootMeanSquaredError = "root_mean_squared_error" | "rmse" | "RMSE",
    /// The mean of differences.
    MeanAbsoluteError = "mean_absolute_error" | "mae" | "MAE",
    /// The mean of differences in percent of the target.
    MeanAbsolutePercentageError = "mean_absolute_percentage_error" | "mape" | "MAPE",
    /// The mean of squared differences of logarithms.
    MeanSquaredLogarithmicError = "mean_squared_logarithmic_error" | "msle" | "MSLE",
    /// The mean of log cosh of differences.
    LogCoshError = "log_cosh_error",
    /// The cosine between output and target.
    CosineSimilarity = "cosine_similarity",
    /// The share of the variance that is explained.
    R2Score = "r2_score",
    /// Pearson's correlation.
    PearsonCorrelation = "pearson_correlation",
    /// The concordance correlation.
    ConcordanceCorrelation = "concordance_correlation",
    /// The divergence of Kullback and Leibler.
    KLDivergence = "kl_divergence",
    /// Poisson's loss.
    Poisson = "poisson",
    /// The hinge loss.
    Hinge = "hinge",
    /// The squared hinge loss.
    SquaredHinge = "squared_hinge",
    /// The hinge loss of classes.
    CategoricalHinge = "categorical_hinge",
    /// The crossentropy of yes and no.
    BinaryCrossentropy = "binary_crossentropy" | "bce" | "BCE",
    /// The crossentropy of one-hot targets.
    CategoricalCrossentropy = "categorical_crossentropy",
    /// The crossentropy of class numbers.
    SparseCategoricalCrossentropy = "sparse_categorical_crossentropy",
}

fn read<T: serde::de::DeserializeOwned>(class: &str, arguments: Value) -> Result<T> {
    serde_json::from_value(arguments).map_err(|error| Error::argument(format!("metric {class}"), error))
}

fn unknown(name: &str) -> Error {
    let nearest = crate::error::nearest(name, MetricConfig::NAMES.iter().copied())
        .map(|near| format!("did you mean `{near}`?"))
        .unwrap_or_else(|| format!("known are {}", MetricConfig::CLASSES.join(", ")));
    Error::argument("metrics", format!("`{name}` is unknown; {nearest}"))
}

impl MetricConfig {
    /// Checks the arguments.
    ///
    /// # Errors
    /// The metric and its argument that makes no sense.
    pub fn check(&self) -> Result<()> {
        self.config().check()
    }

    /// Keras's name of the class; "accuracy" of [`AccuracyByShape`].
    pub fn class_name(&self) -> &'static str {
        self.config().class_name()
    }

    /// Its name in the logs: the word that it was asked by, its `name`, or Keras's default.
    pub fn name(&self) -> String {
        self.config().name()
    }

    /// The metric that "accuracy" means for an output and targets whose last axes are these; any other as it is.
    #[must_use]
    pub fn resolve(&self, output_width: usize, target_width: usize) -> Self {
        match self {
            Self::AccuracyByShape(config) => match config.choose(output_width, target_width) {
                Chosen::Binary(config) => Self::BinaryAccuracy(config),
                Chosen::Sparse(config) => Self::SparseCategoricalAccuracy(config),
                Chosen::Categorical(config) => Self::CategoricalAccuracy(config),
            },
            _ => self.clone(),
        }
    }

    /// Whether the metric can compare an output with targets whose last axes are these (`target_width` 1 for class
    /// numbers).
    ///
    /// # Errors
    /// One sentence that says why not and what to give.
    pub fn check_output(&self, width: usize, target_width: usize) -> Fits {
        self.config().fits(width, target_width)
    }

    /// What gathers the figure, before the first batch.
    pub fn build(&self) -> Box<dyn Metric> {
        self.config().build()
    }

    /// Which way it gets better, for a callback's mode "auto"; none where Keras has no opinion.
    pub fn direction(&self) -> Option<Direction> {
        self.config().direction()
    }

    /// Whether positions that the output's mask leaves out do not count. Keras's means over positions heed it; what counts
    /// positives and negatives, F scores, R² and RMSE do not look at it, and take all positions in.
    pub fn heeds_mask(&self) -> bool {
        self.config().heeds_mask()
    }

    /// The metric that a name alone asks for; the figure goes by that name.
    ///
    /// # Errors
    /// An unknown name, and the nearest known one; a class that needs arguments.
    pub fn from_name(name: &str) -> Result<Self> {
        if AccuracyByShape::is_asked_by(name) {
            return Ok(Self::AccuracyByShape(AccuracyByShape { name: name.to_string() }));
        }
        let mut metric = Self::of_class(name, json!({}))?;
        metric.config_mut().set_name(name.to_string());
        Ok(metric)
    }

    /// A metric out of its JSON, checked.
    ///
    /// # Errors
    /// An unknown class or argument, or one that makes no sense.
    pub fn from_value(value: &Value) -> Result<Self> {
        let metric = match value {
            Value::String(name) => Self::from_name(name)?,
            Value::Object(object) => Self::from_object(object)?,
            _ => {
                let what = format!("{value}: a name or {{\"class_name\": …, \"config\": …}} is needed");
                return Err(Error::argument("metrics", what));
            }
        };
        metric.check()?;
        Ok(metric)
    }

    fn from_object(object: &Map<String, Value>) -> Result<Self> {
        // Keras writes the last two; they say where its class is.
        let known = ["class_name", "config", "module", "registered_name"];
        if let Some(field) = object.keys().find(|field| !known.contains(&field.as_str())) {
            let what = format!("`{field}` is unknown in a metric: known are class_name and config");
            return Err(Error::argument("metrics", what));
        }
        let Some(Value::String(class)) = object.get("class_name") else {
            return Err(Error::argument("metrics", "a metric's `class_name` is missing"));
        };
        if AccuracyByShape::is_asked_by(class) && class != "Accuracy" {
            let what = format!(
                "`{class}` by itself takes no arguments; say binary_accuracy(…), categorical_accuracy(…) or \
                 sparse_categorical_accuracy(…)"
            );
            return Err(Error::argument("metrics", what));
        }
        let mut arguments = match object.get("config") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(other) => {
                let what = format!("its config is {other}: an object of arguments is needed");
                return Err(Error::argument(format!("metric {class}"), what));
            }
        };
        if let Some(dtype) = arguments.remove("dtype") {
            check_dtype(class, &dtype)?;
        }
        Self::of_class(class, arguments.into())
    }
}

/// What Keras writes for the type that a metric computes in: float is what there is.
fn check_dtype(class: &str, dtype: &Value) -> Result<()> {
    let name = dtype.pointer("/config/name").unwrap_or(dtype);
    match name.is_null() || name == "float32" {
        true => Ok(()),
        false => Err(Error::argument(format!("metric {class}"), format!("dtype {name}: only float32 works"))),
    }
}

impl FromStr for MetricConfig {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::from_name(name)
    }
}

impl<'de> Deserialize<'de> for MetricConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::from_value(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for MetricConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        // The name alone where it says everything.
        if let Ok(same) = Self::from_name(&self.name())
            && same == *self
        {
            return serializer.serialize_str(&self.name());
        }
        let arguments = self.arguments().map_err(serde::ser::Error::custom)?;
        json!({ "class_name": self.class_name(), "config": arguments }).serialize(serializer)
    }
}

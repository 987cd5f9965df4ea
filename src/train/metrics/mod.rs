//! Metrics, as Keras 3.15 computes them: one file each, one line in `registry.rs`.
//!
//! [`MetricConfig`] is a metric as data; [`build`](MetricConfig::build) gives what gathers its figure over the batches
//! of an epoch. Figures agree with Keras's within 1e-6: Keras sums in float, here sums are of `f64`.
//!
//! A batch is [`Scores`]: plain slices, positions by width. Keras's means over (batch, time) take the mean over time
//! before they add up samples; with the same number of steps in every batch of an epoch that is the mean over positions,
//! which is taken here.

mod accuracy;
mod accuracy_by_shape;
mod auc;
mod best_at;
mod binary_accuracy;
mod binary_crossentropy;
mod categorical_accuracy;
mod categorical_crossentropy;
mod categorical_hinge;
mod classes;
mod concordance_correlation;
mod confusion;
mod cosine_similarity;
mod counted;
mod crossentropies;
mod f1_score;
mod f_beta_score;
mod f_scores;
mod false_negatives;
mod false_positives;
mod hinge;
mod hinges;
mod kl_divergence;
mod log_cosh_error;
mod mean;
mod mean_absolute_error;
mod mean_absolute_percentage_error;
mod mean_squared_error;
mod mean_squared_logarithmic_error;
mod metric;
mod moments;
mod pearson_correlation;
mod poisson;
mod precision;
mod precision_at_recall;
mod r2_score;
mod recall;
mod recall_at_precision;
mod registry;
mod root_mean_squared_error;
mod scores;
mod sensitivity_at_specificity;
mod sparse_categorical_accuracy;
mod sparse_categorical_crossentropy;
mod sparse_top_k_categorical_accuracy;
mod specificity_at_sensitivity;
mod squared_hinge;
mod top_k_categorical_accuracy;
mod true_negatives;
mod true_positives;

pub use accuracy::Accuracy;
pub use accuracy_by_shape::AccuracyByShape;
pub use auc::{AUC, Curve, SummationMethod};
pub use binary_accuracy::BinaryAccuracy;
pub use binary_crossentropy::BinaryCrossentropy;
pub use categorical_accuracy::CategoricalAccuracy;
pub use categorical_crossentropy::CategoricalCrossentropy;
pub use categorical_hinge::CategoricalHinge;
pub(crate) use classes::argmax;
pub use concordance_correlation::ConcordanceCorrelation;
pub(crate) use confusion::Counts;
pub use confusion::Thresholds;
pub use cosine_similarity::CosineSimilarity;
pub use f_beta_score::FBetaScore;
pub use f_scores::Average;
pub use f1_score::F1Score;
pub use false_negatives::FalseNegatives;
pub use false_positives::FalsePositives;
pub use hinge::Hinge;
pub use kl_divergence::KLDivergence;
pub use log_cosh_error::LogCoshError;
pub use mean_absolute_error::MeanAbsoluteError;
pub use mean_absolute_percentage_error::MeanAbsolutePercentageError;
pub use mean_squared_error::MeanSquaredError;
pub use mean_squared_logarithmic_error::MeanSquaredLogarithmicError;
pub(crate) use metric::divide;
pub use metric::{Direction, Fits, Metric};
pub use pearson_correlation::PearsonCorrelation;
pub use poisson::Poisson;
pub use precision::Precision;
pub use precision_at_recall::PrecisionAtRecall;
pub use r2_score::{ClassAggregation, R2Score};
pub use recall::Recall;
pub use recall_at_precision::RecallAtPrecision;
pub use registry::MetricConfig;
pub use root_mean_squared_error::RootMeanSquaredError;
pub use scores::Scores;
pub use sensitivity_at_specificity::SensitivityAtSpecificity;
pub use sparse_categorical_accuracy::SparseCategoricalAccuracy;
pub use sparse_categorical_crossentropy::SparseCategoricalCrossentropy;
pub use sparse_top_k_categorical_accuracy::SparseTopKCategoricalAccuracy;
pub use specificity_at_sensitivity::SpecificityAtSensitivity;
pub use squared_hinge::SquaredHinge;
pub use top_k_categorical_accuracy::TopKCategoricalAccuracy;
pub use true_negatives::TrueNegatives;
pub use true_positives::TruePositives;

#[cfg(test)]
mod tests;

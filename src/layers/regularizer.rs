//! Keras's regularisers (`keras/src/regularizers/regularizers.py`): what a tensor adds to the loss.

use super::shape::Checked;
use super::squares::sum_of_squares;
use super::strand::Strand;
use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// What a variable, or a layer's output, adds to the loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "class_name", content = "config", deny_unknown_fields)]
pub enum Regularizer {
    /// `l1 · Σ |x|`
    L1 {
        /// The factor.
        #[serde(default = "hundredth")]
        l1: f64,
    },
    /// `l2 · Σ x²`
    L2 {
        /// The factor.
        #[serde(default = "hundredth")]
        l2: f64,
    },
    /// `l1 · Σ |x| + l2 · Σ x²`
    L1L2 {
        /// The factor of the absolute values.
        #[serde(default)]
        l1: f64,
        /// The factor of the squares.
        #[serde(default)]
        l2: f64,
    },
    /// `factor` times the mean of |a · b| over all pairs of a matrix's rows or columns a, b, brought to length 1.
    OrthogonalRegularizer {
        /// The factor.
        #[serde(default = "hundredth")]
        factor: f64,
        /// Rows or columns.
        #[serde(default)]
        mode: OrthogonalMode,
    },
}

/// Of what an [`OrthogonalRegularizer`](Regularizer::OrthogonalRegularizer) takes the pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrthogonalMode {
    /// The rows of the matrix.
    #[default]
    Rows,
    /// The columns of the matrix.
    Columns,
}

fn hundredth() -> f64 {
    0.01
}

impl Regularizer {
    /// Refuses a factor below 0, or one that is not finite.
    pub(crate) fn check(&self) -> Checked<()> {
        let factors = match *self {
            Self::L1 { l1 } => [("l1", l1), ("l1", l1)],
            Self::L2 { l2 } => [("l2", l2), ("l2", l2)],
            Self::L1L2 { l1, l2 } => [("l1", l1), ("l2", l2)],
            Self::OrthogonalRegularizer { factor, .. } => [("factor", factor), ("factor", factor)],
        };
        match factors.into_iter().find(|(_, factor)| !factor.is_finite() || *factor < 0.0) {
            Some((name, factor)) => Err(format!("`{name}` is {factor}, expected a number from 0")),
            None => Ok(()),
        }
    }

    /// The penalty of `xs`, a scalar.
    ///
    /// # Errors
    /// An OrthogonalRegularizer of anything but a matrix.
    pub fn penalty(&self, xs: &Tensor) -> Result<Tensor> {
        self.penalty_of(&xs.clone().into())
    }

    pub(in crate::layers) fn penalty_of(&self, strand: &Strand) -> Result<Tensor> {
        let xs = strand.tensor();
        // With TensorFlow's slope at 0, which is 0.
        let absolute = |l1: f64| (xs * xs.sign()?.detach())?.sum_all()? * l1;
        let squares = |l2: f64| sum_of_squares(strand)?.tensor() * l2;
        match *self {
            Self::L1 { l1 } => absolute(l1),
            Self::L2 { l2 } => squares(l2),
            Self::L1L2 { l1, l2: 0.0 } => absolute(l1),
            Self::L1L2 { l1: 0.0, l2 } => squares(l2),
            Self::L1L2 { l1, l2 } => absolute(l1)? + squares(l2)?,
            Self::OrthogonalRegularizer { factor, mode } => orthogonal(xs, factor, mode),
        }
    }
}

fn orthogonal(xs: &Tensor, factor: f64, mode: OrthogonalMode) -> Result<Tensor> {
    if xs.rank() != 2 {
        bail!("an OrthogonalRegularizer is for a matrix, given {:?}", xs.dims())
    }
    let rows = match mode {
        OrthogonalMode::Rows => xs.clone(),
        OrthogonalMode::Columns => xs.t()?.contiguous()?,
    };
    // Keras takes lengths below its epsilon for that.
    let inverse = rows.sqr()?.sum_keepdim(1)?.maximum(1e-14)?.sqrt()?.recip()?;
    let rows = rows.broadcast_mul(&inverse)?;
    let count = rows.dim(0)?;
    let others = (1.0 - Tensor::eye(count, xs.dtype(), xs.device())?)?;
    let pairs = count as f64 * (count as f64 - 1.0) / 2.0;
    (rows.matmul(&rows.t()?)? * others)?.abs()?.sum_all()? * (factor * 0.5 / pairs)
}

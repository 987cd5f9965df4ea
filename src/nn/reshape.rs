//! Layers that move numbers and change none: `Flatten`, `Reshape`, `Permute`, `RepeatVector`
//! (`keras/src/layers/reshaping/`).

use super::sizes::{Dims, axes_needed, show};
use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// Keras's `Flatten`: all axes after the batch become one. It has no arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlattenConfig {}

impl FlattenConfig {
    pub(crate) fn output_shape(&self, input: &[Option<usize>]) -> std::result::Result<Dims, String> {
        let [batch, rest @ ..] = input else { return Err(axes_needed(2, input)) };
        Ok(vec![*batch, product(rest)])
    }

    /// (batch, …) to (batch, product).
    ///
    /// # Errors
    /// Candle's own only.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        xs.reshape((xs.dim(0)?, xs.dims().iter().skip(1).product::<usize>()))
    }
}

/// The number of elements, if every axis is known and the product no overflow.
fn product(axes: &[Option<usize>]) -> Option<usize> {
    axes.iter().try_fold(1usize, |product, axis| product.checked_mul((*axis)?))
}

/// Keras's `Reshape`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReshapeConfig {
    /// The axes after the batch; one of them may be -1, whatever is left.
    pub target_shape: Vec<i64>,
}

impl ReshapeConfig {
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        let open = self.target_shape.iter().filter(|&&axis| axis == -1).count();
        if open > 1 || self.target_shape.iter().any(|&axis| axis < -1 || axis == 0) {
            return Err(format!("target_shape {:?} needs sizes, and -1 at most once", self.target_shape));
        }
        Ok(())
    }

    pub(crate) fn output_shape(&self, input: &[Option<usize>]) -> std::result::Result<Dims, String> {
        let [batch, rest @ ..] = input else { return Err(axes_needed(2, input)) };
        let known: Option<usize> = self
            .target_shape
            .iter()
            .filter(|&&axis| axis != -1)
            .try_fold(1usize, |product, &axis| product.checked_mul(usize::try_from(axis).ok()?));
        let fail = || Err(format!("{} cannot take the shape {:?}", show(input), self.target_shape));
        let Some(known) = known else { return fail() };
        let total = product(rest);
        let open = self.target_shape.contains(&-1);
        if total.is_some_and(|total| if open { total % known != 0 } else { total != known }) {
            return fail();
        }
        let size = |&axis: &i64| usize::try_from(axis).ok().or_else(|| total.map(|total| total / known));
        Ok(std::iter::once(*batch).chain(self.target_shape.iter().map(size)).collect())
    }

    /// (batch, …) to (batch, `target_shape`).
    ///
    /// # Errors
    /// If the numbers of elements differ.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let dims: Dims = xs.dims().iter().map(|&axis| Some(axis)).collect();
        match self.output_shape(&dims) {
            Ok(shape) => xs.reshape(shape.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>()),
            Err(what) => bail!("Reshape: {what}"),
        }
    }
}

/// Keras's `Permute`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermuteConfig {
    /// Which axis comes where, counted from 1: the batch stays.
    pub dims: Vec<usize>,
}

impl PermuteConfig {
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if sorted.is_empty() || !sorted.iter().copied().eq(1..=sorted.len()) {
            return Err(format!("dims {:?} must hold each of 1 to {} once", self.dims, self.dims.len()));
        }
        Ok(())
    }

    pub(crate) fn output_shape(&self, input: &[Option<usize>]) -> std::result::Result<Dims, String> {
        if input.len() != self.dims.len() + 1 {
            return Err(axes_needed(self.dims.len() + 1, input));
        }
        Ok(input
            .first()
            .into_iter()
            .chain(self.dims.iter().filter_map(|&axis| input.get(axis)))
            .copied()
            .collect())
    }

    /// (batch, …) with the other axes in the order of `dims`.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let order: Vec<usize> = std::iter::once(0).chain(self.dims.iter().copied()).collect();
        xs.permute(order)?.contiguous()
    }
}

/// Keras's `RepeatVector`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatVectorConfig {
    /// How often.
    pub n: usize,
}

impl RepeatVectorConfig {
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        match self.n {
            1..=0xff_ffff => Ok(()),
            n => Err(format!("n must be between 1 and 16777215, not {n}")),
        }
    }

    pub(crate) fn output_shape(&self, input: &[Option<usize>]) -> std::result::Result<Dims, String> {
        match *input {
            [batch, features] => Ok(vec![batch, Some(self.n), features]),
            _ => Err(axes_needed(2, input)),
        }
    }

    /// (batch, features) to (batch, n, features).
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (batch, features) = xs.dims2()?;
        xs.unsqueeze(1)?.broadcast_as((batch, self.n, features))?.contiguous()
    }
}

//! Keras's `Reshape` (`keras/src/layers/reshaping/reshape.py`).

use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, axes_needed, product, show, single};
use crate::layers::strand::Strand;
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`Reshape`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReshapeConfig {
    /// The axes after the batch; one may be -1, which takes what is left.
    pub target_shape: Vec<i64>,
}

impl ReshapeConfig {
    fn output_shape(&self, input: &[Option<usize>]) -> Checked<Shape> {
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

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into())?.tensor().clone())
    }

    fn over(&self, xs: &Strand) -> Result<Strand> {
        let dims: Shape = xs.tensor().dims().iter().map(|&axis| Some(axis)).collect();
        match self.output_shape(&dims) {
            Ok(shape) => xs.reshape(shape.into_iter().map(Option::unwrap_or_default).collect()),
            Err(what) => bail!("Reshape: {what}"),
        }
    }
}

impl Config for ReshapeConfig {
    fn check(&self) -> Checked<()> {
        let open = self.target_shape.iter().filter(|&&axis| axis == -1).count();
        if open > 1 || self.target_shape.iter().any(|&axis| axis < -1 || axis == 0) {
            return Err(format!("target_shape {:?} needs sizes, and -1 at most once", self.target_shape));
        }
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(self.output_shape(single(inputs)?)?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Reshape::new(first_shape(inputs), self.clone(), vb)?))
    }
}

plain_layer! {
    /// The same numbers along other axes: (batch, …) to (batch, `target_shape`).
    Reshape, ReshapeConfig, any
}

//! Keras's `Discretization` (`keras/src/layers/preprocessing/discretization.py`).

use super::encode::OutputMode;
use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, single};
use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`Discretization`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscretizationConfig {
    /// Where bins begin, from the smallest; what is below the first is in bin 0.
    pub bin_boundaries: Vec<f32>,
    /// How the bins' numbers leave the layer.
    #[serde(default)]
    pub output_mode: OutputMode,
}

impl DiscretizationConfig {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let values = xs.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        // The first boundary that is above the value; what is no number is above all.
        let bin = |value: &f32| {
            self.bin_boundaries.partition_point(|boundary| *boundary <= *value || value.is_nan()) as i64
        };
        let bins = values.iter().map(bin).collect();
        self.output_mode.encode(bins, xs.dims(), self.depth(), None, None, xs.device())
    }

    fn depth(&self) -> usize {
        self.bin_boundaries.len() + 1
    }
}

impl Config for DiscretizationConfig {
    fn check(&self) -> Checked<()> {
        if self.output_mode == OutputMode::TfIdf {
            return Err("output_mode must be int, one_hot, multi_hot or count".into());
        }
        match self.bin_boundaries.is_sorted() {
            true => Ok(()),
            false => Err("bin_boundaries must rise".into()),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(self.output_mode.place(single(inputs)?, Some(self.depth()))?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Discretization::new(first_shape(inputs), self.clone(), vb)?))
    }
}

plain_layer! {
    /// Numbers to the bins that they fall into, i64 where `output_mode` is `int`.
    Discretization, DiscretizationConfig, tensor
}

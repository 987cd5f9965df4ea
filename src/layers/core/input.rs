//! Keras's `InputLayer` (`keras/src/layers/core/input_layer.py`).

use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape};
use candle_core::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The shape of a model's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputLayerConfig {
    /// The input's shape with the batch: `[null, 100]` for sequences of 100 ids. A batch size in the place of `null` is
    /// for stateful models ([`ModelConfig::batch_size`]); without states a batch of any size will do.
    ///
    /// [`ModelConfig::batch_size`]: crate::model::ModelConfig::batch_size
    pub batch_shape: Shape,
    /// `int32` for ids, `int64` for whole numbers of any sign, `string` for texts, `float32` for features.
    #[serde(default = "float32")]
    pub dtype: String,
}

fn float32() -> String {
    "float32".into()
}

impl InputLayerConfig {
    /// Whether it takes texts.
    pub fn is_text(&self) -> bool {
        self.dtype == "string"
    }
}

impl Config for InputLayerConfig {
    fn check(&self) -> Checked<()> {
        match self.batch_shape.as_slice() {
            [_, ..] if self.is_text() && !self.batch_shape.contains(&Some(0)) => Ok(()),
            [] | [_] => Err("batch_shape needs the batch and at least one more axis".into()),
            axes if axes.contains(&Some(0)) => Err("batch_shape has an axis of 0".into()),
            _ if !["float", "bfloat", "int", "uint", "bool"]
                .iter()
                .any(|kind| self.dtype.trim_end_matches(char::is_numeric) == *kind) =>
            {
                Err(format!("dtype `{}` is none of numbers, such as float32 or int32", self.dtype))
            }
            _ => Ok(()),
        }
    }

    fn place(&self, _: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(self.batch_shape.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, _: &[Shape], _: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Input))
    }

    fn reads_text(&self) -> bool {
        self.is_text()
    }

    fn input_shape(&self) -> Option<&Shape> {
        Some(&self.batch_shape)
    }

    fn set_text_shape(&mut self, _: usize, max_len: usize) {
        if let ([_, length], false) = (self.batch_shape.as_mut_slice(), self.dtype == "string") {
            *length = Some(max_len);
        }
    }
}

/// What comes in goes on.
#[derive(Debug)]
struct Input;

impl Layer for Input {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        Ok(vec![first(inputs)?.clone()])
    }
}

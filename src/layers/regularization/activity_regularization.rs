//! Keras's `ActivityRegularization` (`keras/src/layers/regularization/activity_regularization.py`).

use crate::layers::flow::{Flow, Values};
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::losses::add_activity;
use crate::layers::masks::MaskRule;
use crate::layers::regularizer::Regularizer;
use crate::layers::shape::{Checked, Shape, single};
use candle_core::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of an [`ActivityRegularization`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivityRegularizationConfig {
    /// The factor of the absolute values.
    #[serde(default)]
    pub l1: f64,
    /// The factor of the squares.
    #[serde(default)]
    pub l2: f64,
}

impl ActivityRegularizationConfig {
    fn regularizer(&self) -> Regularizer {
        Regularizer::L1L2 { l1: self.l1, l2: self.l2 }
    }
}

impl Config for ActivityRegularizationConfig {
    fn check(&self) -> Checked<()> {
        self.regularizer().check()
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(single(inputs)?.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, _: &[Shape], _: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(ActivityRegularization { config: *self }))
    }
}

/// Gives what it is given, and adds its size to the loss: `(l1 · Σ |x| + l2 · Σ x²) / batch`.
#[derive(Clone, Copy, Debug)]
pub struct ActivityRegularization {
    config: ActivityRegularizationConfig,
}

impl Layer for ActivityRegularization {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let mut outputs = inputs.to_vec();
        if let Some(losses) = pass.losses {
            // Rows of a table are read once, for the squares of their gradients are of all that uses them.
            for output in &mut outputs {
                if let Values::Rows(rows) = &output.values {
                    output.values = Values::Strand(rows.strand()?);
                }
            }
            let values = outputs.iter().map(Flow::strand).collect::<Result<Vec<_>>>()?;
            add_activity(self.config.regularizer(), &values, losses)?;
        }
        Ok(outputs)
    }
}

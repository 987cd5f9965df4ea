//! Keras's `Activation` (`keras/src/layers/activations/activation.py`).

use crate::layers::activation::Activation;
use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::padding::PaddingRule;
use crate::layers::shape::{Checked, Shape, single};
use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of an [`Activation`] as a layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationConfig {
    /// Which.
    pub activation: Activation,
}

impl Config for ActivationConfig {
    fn check(&self) -> Checked<()> {
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(single(inputs)?.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn padding_rule(&self) -> PaddingRule {
        PaddingRule::Passed
    }

    fn build(&self, _: &[Shape], _: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(self.activation))
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }
}

impl Layer for Activation {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let xs = first(inputs)?.strand()?;
        Ok(vec![if pass.logits { xs } else { self.over(&xs)? }.into()])
    }
}

impl Module for Activation {
    /// Any shape in, the same shape out.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Activation::forward(*self, xs)
    }
}

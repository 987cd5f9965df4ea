//! Keras's `Dense` (`keras/src/layers/core/dense.py`).

use crate::layers::activation::Activation;
use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::padding::PaddingRule;
use crate::layers::product::product;
use crate::layers::shape::{Checked, Shape, check_units, features, single};
use crate::layers::strand::Strand;
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`Dense`], with Keras's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DenseConfig {
    /// Output features.
    pub units: usize,
    /// The activation.
    pub activation: Activation,
    /// Whether there is a bias.
    pub use_bias: bool,
}

impl Default for DenseConfig {
    fn default() -> Self {
        Self { units: 0, activation: Activation::Linear, use_bias: true }
    }
}

impl DenseConfig {
    /// So many units, linear, with a bias.
    pub fn new(units: usize) -> Self {
        Self { units, ..Self::default() }
    }

    /// kernel (`input_dim`, units), bias (units).
    pub fn variables(&self, input_dim: usize) -> Vec<Variable> {
        let mut variables =
            vec![Variable::new("kernel", [input_dim, self.units], Initializer::GlorotUniform)];
        if self.use_bias {
            variables.push(Variable::new("bias", [self.units], Initializer::Zeros));
        }
        variables
    }
}

impl Config for DenseConfig {
    fn check(&self) -> Checked<()> {
        check_units("units", self.units)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let mut output = single(inputs)?.clone();
        let variables = self.variables(features(&output)?);
        if let Some(last) = output.last_mut() {
            *last = Some(self.units);
        }
        Ok(Placed::one(output).with(variables))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn padding_rule(&self) -> PaddingRule {
        PaddingRule::Passed
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let input_dim = features(first_shape(inputs)).map_err(candle_core::Error::msg)?;
        Ok(Arc::new(Dense::new(input_dim, *self, vb)?))
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }
}

/// activation(x · kernel + bias) over the last axis.
#[derive(Clone, Debug)]
pub struct Dense {
    config: DenseConfig,
    name: String,
    kernel: Tensor,
    bias: Option<Tensor>,
}

impl Dense {
    /// A layer over `input_dim` features, its variables taken from `vb`.
    ///
    /// # Errors
    /// If `vb` lacks a variable or has it in another shape.
    pub fn new(input_dim: usize, config: DenseConfig, vb: VarBuilder) -> Result<Self> {
        if let Err(what) = config.check() {
            bail!("layer {}: {what}", vb.prefix())
        }
        if input_dim == 0 {
            bail!("layer {}: needs at least 1 feature", vb.prefix())
        }
        let mut tensors = config.variables(input_dim).into_iter().map(|variable| variable.get(&vb));
        let Some(kernel) = tensors.next() else { bail!("layer {}: no kernel", vb.prefix()) };
        Ok(Self { config, name: vb.prefix(), kernel: kernel?, bias: tensors.next().transpose()? })
    }

    /// The configuration.
    pub fn config(&self) -> &DenseConfig {
        &self.config
    }

    /// x · kernel + bias, without the activation: (…, `input_dim`) to (…, units).
    ///
    /// # Errors
    /// If the last axis is not `input_dim` long.
    pub fn linear(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.product(&xs.clone().into())?.tensor().clone())
    }

    fn product(&self, xs: &Strand) -> Result<Strand> {
        let input_dim = self.kernel.dim(0)?;
        let Some(&features) = xs.tensor().dims().last() else {
            bail!("layer {}: needs an input of at least one axis", self.name)
        };
        if features != input_dim {
            bail!("layer {}: built for {input_dim} input features, given {features}", self.name)
        }
        product(xs, &self.kernel, self.bias.as_ref())
    }
}

impl Module for Dense {
    /// (…, `input_dim`) to (…, units).
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.config.activation.over(&self.product(&xs.clone().into())?)?.tensor().clone())
    }
}

impl Layer for Dense {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let ys = self.product(&first(inputs)?.strand()?)?;
        Ok(vec![if pass.logits { ys } else { self.config.activation.over(&ys)? }.into()])
    }
}

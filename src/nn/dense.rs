//! Keras's `Dense` (`keras/src/layers/core/dense.py`).

use super::small_product::small_product;
use super::{Activation, Initializer, Variable};
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// Keras's arguments and defaults.
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

    /// Says what is wrong with the configuration, if anything is.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        super::check_units(self.units)
    }
}

/// activation(x · kernel + bias) over the last axis.
#[derive(Clone, Debug)]
pub struct Dense {
    config: DenseConfig,
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
        let mut tensors = config.variables(input_dim).into_iter().map(|variable| variable.get(&vb));
        let Some(kernel) = tensors.next() else { bail!("layer {}: no kernel", vb.prefix()) };
        Ok(Self { config, kernel: kernel?, bias: tensors.next().transpose()? })
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
        let (input_dim, units) = self.kernel.dims2()?;
        let Some((&features, leading)) = xs.dims().split_last() else {
            bail!("a Dense layer needs at least one axis")
        };
        if features != input_dim {
            bail!("a Dense layer built for {input_dim} features was given {features}")
        }
        let rows: usize = leading.iter().product();
        let xs = xs.reshape((rows, input_dim))?;
        let ys = match (small_product(&xs, &self.kernel, self.bias.as_ref())?, &self.bias) {
            (Some(ys), _) => ys,
            (None, Some(bias)) => xs.matmul(&self.kernel)?.broadcast_add(bias)?,
            (None, None) => xs.matmul(&self.kernel)?,
        };
        let shape: Vec<usize> = leading.iter().copied().chain([units]).collect();
        ys.reshape(shape)
    }
}

impl Module for Dense {
    /// (…, `input_dim`) to (…, units).
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.config.activation.forward(&self.linear(xs)?)
    }
}

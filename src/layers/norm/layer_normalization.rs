//! Keras's `LayerNormalization` (`keras/src/layers/normalization/layer_normalization.py`).

use super::statistics::normalize_rows;
use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Axes, Checked, Shape, check_epsilon, single};
use crate::layers::strand::Strand;
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`LayerNormalization`], with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerNormalizationConfig {
    /// The axes that are normalised together.
    pub axis: Axes,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether there is a `beta` to add.
    pub center: bool,
    /// Whether there is a `gamma` to multiply with.
    pub scale: bool,
    /// Keras's old switch: divide by the root of the variance without subtracting the mean, and have no `beta`.
    pub rms_scaling: bool,
}

impl Default for LayerNormalizationConfig {
    fn default() -> Self {
        Self { axis: Axes::One(-1), epsilon: 1e-3, center: true, scale: true, rms_scaling: false }
    }
}

impl LayerNormalizationConfig {
    fn axes(&self, rank: usize) -> Checked<Vec<usize>> {
        let mut axes = self.axis.indices(rank)?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }

    /// gamma and beta, each as long as the axes that are normalised.
    ///
    /// # Errors
    /// If an axis is beyond the input's, or its length not known.
    pub fn variables(&self, input: &[Option<usize>]) -> Checked<Vec<Variable>> {
        let axes = self.axes(input.len())?;
        let shape: Option<Vec<usize>> = axes.iter().map(|&axis| input.get(axis).copied().flatten()).collect();
        let shape = shape.ok_or("the axes that it normalises must be known")?;
        let mut variables = vec![];
        if self.scale || self.rms_scaling {
            variables.push(Variable::new("gamma", shape.clone(), Initializer::Ones));
        }
        if self.center && !self.rms_scaling {
            variables.push(Variable::new("beta", shape, Initializer::Zeros));
        }
        Ok(variables)
    }
}

impl Config for LayerNormalizationConfig {
    fn check(&self) -> Checked<()> {
        check_epsilon(self.epsilon)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        Ok(Placed::one(input.clone()).with(self.variables(input)?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(LayerNormalization::new(first_shape(inputs), self.clone(), vb)?))
    }
}

/// Normalises over axes of each sample: (x - mean) / sqrt(variance + epsilon) · gamma + beta (Ba et al. 2016).
#[derive(Clone, Debug)]
pub struct LayerNormalization {
    config: LayerNormalizationConfig,
    name: String,
    gamma: Option<Tensor>,
    beta: Option<Tensor>,
}

impl LayerNormalization {
    /// The layer over an input of this shape, the batch first, its variables taken from `vb`.
    ///
    /// # Errors
    /// If an axis makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(input: &[Option<usize>], config: LayerNormalizationConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        let variables = match config.variables(input) {
            Ok(variables) => variables,
            Err(what) => bail!("layer {name}: {what}"),
        };
        let get = |name: &str| variables.iter().find(|v| v.name == name).map(|v| v.get(&vb)).transpose();
        Ok(Self { gamma: get("gamma")?, beta: get("beta")?, config, name })
    }

    /// The configuration.
    pub fn config(&self) -> &LayerNormalizationConfig {
        &self.config
    }
}

impl Module for LayerNormalization {
    /// Any shape in, the same shape out.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into())?.tensor().clone())
    }
}

impl LayerNormalization {
    fn over(&self, xs: &Strand) -> Result<Strand> {
        let rank = xs.tensor().rank();
        let axes = match self.config.axes(rank) {
            Ok(axes) => axes,
            Err(what) => bail!("layer {}: {what}", self.name),
        };
        let dims = &xs.tensor().dims()[rank.saturating_sub(axes.len())..];
        let fits =
            |variable: &Option<Tensor>| variable.as_ref().is_none_or(|variable| variable.dims() == dims);
        let trails = axes.iter().copied().eq(rank - axes.len()..rank);
        let all_fit = trails && fits(&self.gamma) && fits(&self.beta);
        match all_fit && xs.fuses() && !self.config.rms_scaling && !axes.is_empty() {
            true => normalize_rows(xs, dims, self.config.epsilon, self.gamma.as_ref(), self.beta.as_ref()),
            false => self.by_tensors(xs.tensor(), axes).map(Strand::from),
        }
    }

    fn by_tensors(&self, xs: &Tensor, axes: Vec<usize>) -> Result<Tensor> {
        let mut shape = vec![1; xs.rank()];
        for &axis in &axes {
            shape[axis] = xs.dim(axis)?;
        }
        let mean = xs.mean_keepdim(axes.as_slice())?;
        let centered = xs.broadcast_sub(&mean)?;
        let variance = centered.sqr()?.mean_keepdim(axes.as_slice())?;
        let scale = (variance + self.config.epsilon)?.sqrt()?.recip()?;
        let values = if self.config.rms_scaling { xs } else { &centered };
        let mut ys = values.broadcast_mul(&scale)?;
        if let Some(gamma) = &self.gamma {
            ys = ys.broadcast_mul(&gamma.reshape(&*shape)?)?;
        }
        match &self.beta {
            Some(beta) => ys.broadcast_add(&beta.reshape(&*shape)?),
            None => Ok(ys),
        }
    }
}

impl Layer for LayerNormalization {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.over(&first(inputs)?.strand()?)?.into()])
    }
}

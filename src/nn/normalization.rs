//! `BatchNormalization` and `LayerNormalization` (`keras/src/layers/normalization/`).

use super::sizes::{Axes, axis_index};
use super::{Initializer, Mode, Variable};
use candle_core::{D, Result, Tensor, Var, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// Keras's `BatchNormalization` and its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchNormalizationConfig {
    /// The axis of the features, each normalised by itself.
    pub axis: i64,
    /// How much of the moving statistics stays with each batch of training.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether there is a `beta` to add.
    pub center: bool,
    /// Whether there is a `gamma` to multiply with.
    pub scale: bool,
}

impl Default for BatchNormalizationConfig {
    fn default() -> Self {
        Self { axis: -1, momentum: 0.99, epsilon: 1e-3, center: true, scale: true }
    }
}

impl BatchNormalizationConfig {
    /// gamma, beta, moving_mean and moving_variance, each (features); the moving ones are not trained.
    pub(crate) fn variables(&self, input: &[Option<usize>]) -> std::result::Result<Vec<Variable>, String> {
        let axis = axis_index(self.axis, input.len())?;
        let features = input.get(axis).copied().flatten();
        let features = features.ok_or_else(|| format!("axis {axis} of its input must be known"))?;
        let mut variables = vec![];
        if self.scale {
            variables.push(Variable::new("gamma", [features], Initializer::Ones));
        }
        if self.center {
            variables.push(Variable::new("beta", [features], Initializer::Zeros));
        }
        variables.push(Variable::untrained("moving_mean", [features], Initializer::Zeros));
        variables.push(Variable::untrained("moving_variance", [features], Initializer::Ones));
        Ok(variables)
    }
}

/// (x - mean) / sqrt(variance + epsilon) · gamma + beta (Ioffe and Szegedy 2015), with the batch's statistics in
/// training and the moving ones in inference. Training moves the moving ones, where they are variables.
#[derive(Clone, Debug)]
pub(crate) struct BatchNormalization {
    config: BatchNormalizationConfig,
    gamma: Option<Tensor>,
    beta: Option<Tensor>,
    moving_mean: Tensor,
    moving_variance: Tensor,
    name: String,
}

impl BatchNormalization {
    pub fn new(config: BatchNormalizationConfig, variables: &[Variable], vb: &VarBuilder) -> Result<Self> {
        let mut tensors = variables.iter().map(|variable| variable.get(vb));
        let mut next = |wanted: bool| if wanted { tensors.next().transpose() } else { Ok(None) };
        let (gamma, beta) = (next(config.scale)?, next(config.center)?);
        let (Some(moving_mean), Some(moving_variance)) = (next(true)?, next(true)?) else {
            bail!("layer {}: moving_mean and moving_variance are needed", vb.prefix())
        };
        Ok(Self { config, gamma, beta, moving_mean, moving_variance, name: vb.prefix() })
    }

    /// The moving statistics by full name, where they are variables: training moves them, no optimiser does.
    pub fn moving(&self) -> Vec<(String, Var)> {
        let named = [("moving_mean", &self.moving_mean), ("moving_variance", &self.moving_variance)];
        let variable = |(name, tensor): (&str, &Tensor)| {
            let variable = tensor.is_variable().then(|| Var::from_tensor(tensor).ok()).flatten()?;
            Some((format!("{}.{name}", self.name), variable))
        };
        named.into_iter().filter_map(variable).collect()
    }

    /// Any shape, the same out; `mask`, u8, has one axis less.
    pub fn forward(&self, xs: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Tensor> {
        let axis = match axis_index(self.config.axis, xs.rank()) {
            Ok(axis) => axis,
            Err(what) => bail!("BatchNormalization: {what}"),
        };
        let others: Vec<usize> = (0..xs.rank()).filter(|&other| other != axis).collect();
        let mut shape = vec![1; xs.rank()];
        shape[axis] = xs.dim(axis)?;
        let (mean, variance) = match mode {
            Mode::Inference => {
                (self.moving_mean.detach().reshape(&*shape)?, self.moving_variance.detach().reshape(&*shape)?)
            }
            Mode::Training { .. } => {
                let (mean, variance) = moments(xs, mask, &others)?;
                self.carry(&self.moving_mean, &mean)?;
                self.carry(&self.moving_variance, &variance)?;
                (mean, variance)
            }
        };
        let mut scale = (variance + self.config.epsilon)?.sqrt()?.recip()?;
        if let Some(gamma) = &self.gamma {
            scale = (scale * gamma.reshape(&*shape)?)?;
        }
        let ys = xs.broadcast_sub(&mean)?.broadcast_mul(&scale)?;
        match &self.beta {
            Some(beta) => ys.broadcast_add(&beta.reshape(&*shape)?),
            None => Ok(ys),
        }
    }

    /// moving = moving · momentum + batch · (1 - momentum), in place.
    fn carry(&self, moving: &Tensor, batch: &Tensor) -> Result<()> {
        if !moving.is_variable() {
            return Ok(());
        }
        let momentum = self.config.momentum;
        let batch = batch.detach().reshape(moving.shape())?;
        let next = ((moving.detach() * momentum)? + (batch * (1.0 - momentum))?)?;
        Var::from_tensor(moving)?.set(&next)
    }
}

/// Mean and variance over the axes `over`, of the places that the mask leaves.
fn moments(xs: &Tensor, mask: Option<&Tensor>, over: &[usize]) -> Result<(Tensor, Tensor)> {
    let Some(mask) = mask else {
        let mean = xs.mean_keepdim(over)?;
        let variance = xs.broadcast_sub(&mean)?.sqr()?.mean_keepdim(over)?;
        return Ok((mean, variance));
    };
    if mask.rank() + 1 != xs.rank() {
        bail!(
            "BatchNormalization: the mask {:?} needs one axis less than the input {:?}",
            mask.dims(),
            xs.dims()
        )
    }
    let mask = mask.ne(0u8)?.unsqueeze(D::Minus1)?.broadcast_as(xs.shape())?.contiguous()?;
    let zeros = xs.zeros_like()?;
    // Keras adds its epsilon to the number of places.
    let count = (mask.to_dtype(xs.dtype())?.sum_keepdim(over)? + 1e-7)?;
    let mean = (mask.where_cond(xs, &zeros)?.sum_keepdim(over)? / &count)?;
    let difference = mask.where_cond(&xs.broadcast_sub(&mean)?, &zeros)?;
    let variance = (difference.sqr()?.sum_keepdim(over)? / &count)?;
    Ok((mean, variance))
}

/// Keras's `LayerNormalization` and its defaults.
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
    fn axes(&self, rank: usize) -> std::result::Result<Vec<usize>, String> {
        let mut axes = self.axis.indices(rank)?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }

    /// gamma and beta, each as long as the axes that are normalised.
    pub(crate) fn variables(&self, input: &[Option<usize>]) -> std::result::Result<Vec<Variable>, String> {
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

/// (x - mean) / sqrt(variance + epsilon) · gamma + beta over the axes of one sample (Ba et al. 2016).
#[derive(Clone, Debug)]
pub(crate) struct LayerNormalization {
    config: LayerNormalizationConfig,
    gamma: Option<Tensor>,
    beta: Option<Tensor>,
}

impl LayerNormalization {
    pub fn new(config: LayerNormalizationConfig, variables: &[Variable], vb: &VarBuilder) -> Result<Self> {
        let get = |name: &str| variables.iter().find(|v| v.name == name).map(|v| v.get(vb)).transpose();
        Ok(Self { gamma: get("gamma")?, beta: get("beta")?, config })
    }

    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let axes = match self.config.axes(xs.rank()) {
            Ok(axes) => axes,
            Err(what) => bail!("LayerNormalization: {what}"),
        };
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

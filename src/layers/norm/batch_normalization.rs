//! Keras's `BatchNormalization` (`keras/src/layers/normalization/batch_normalization.py`).

use super::statistics::{Statistics, normalize};
use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed, first_shape};
use crate::layers::masks::{MaskRule, place_bytes};
use crate::layers::shape::{Checked, Shape, axis_index, check_epsilon, single};
use crate::layers::strand::Strand;
use candle_core::{D, Result, Tensor, Var, bail};
use candle_nn::{ModuleT, VarBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`BatchNormalization`], with Keras's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchNormalizationConfig {
    /// The axis of the features, each normalised by itself.
    pub axis: i64,
    /// How much of the moving statistics is kept at each training batch.
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
    ///
    /// # Errors
    /// If the axis is beyond the input's, or its length not known.
    pub fn variables(&self, input: &[Option<usize>]) -> Checked<Vec<Variable>> {
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

impl Config for BatchNormalizationConfig {
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
        Ok(Arc::new(BatchNormalization::new(first_shape(inputs), *self, vb)?))
    }
}

/// Normalises each feature: (x - mean) / sqrt(variance + epsilon) · gamma + beta (Ioffe and Szegedy 2015).
///
/// Training takes the batch's statistics, and moves the moving ones where they are variables. Inference takes the
/// moving ones.
#[derive(Clone, Debug)]
pub struct BatchNormalization {
    config: BatchNormalizationConfig,
    name: String,
    gamma: Option<Tensor>,
    beta: Option<Tensor>,
    moving_mean: Tensor,
    moving_variance: Tensor,
    passes: Passes,
}

impl BatchNormalization {
    /// The layer over an input of this shape, the batch first, its variables taken from `vb`.
    ///
    /// # Errors
    /// If an axis makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(input: &[Option<usize>], config: BatchNormalizationConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        let variables = match config.variables(input) {
            Ok(variables) => variables,
            Err(what) => bail!("layer {name}: {what}"),
        };
        let mut tensors = variables.iter().map(|variable| variable.get(&vb));
        let mut next = |wanted: bool| if wanted { tensors.next().transpose() } else { Ok(None) };
        let (gamma, beta) = (next(config.scale)?, next(config.center)?);
        let (Some(moving_mean), Some(moving_variance)) = (next(true)?, next(true)?) else {
            bail!("layer {name}: moving_mean and moving_variance are needed")
        };
        Ok(Self { config, name, gamma, beta, moving_mean, moving_variance, passes: Passes::default() })
    }

    /// The configuration.
    pub fn config(&self) -> &BatchNormalizationConfig {
        &self.config
    }

    /// Any shape in, the same shape out; `mask`, u8, has one axis fewer.
    ///
    /// # Errors
    /// If the input has another number of features, or the mask does not fit.
    pub fn forward(&self, xs: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into(), mask, mode)?.tensor().clone())
    }

    fn over(&self, xs: &Strand, mask: Option<&Tensor>, mode: Mode) -> Result<Strand> {
        let rank = xs.tensor().rank();
        let axis = match axis_index(self.config.axis, rank) {
            Ok(axis) => axis,
            Err(what) => bail!("layer {}: {what}", self.name),
        };
        let (features, given) = (self.moving_mean.elem_count(), xs.tensor().dim(axis)?);
        if given != features {
            bail!("layer {}: built for {features} features, given {given}", self.name)
        }
        // Keras's masks have an axis fewer than the input, and so have no axis of features.
        match xs.fuses() && mask.is_none_or(|_| axis + 1 == rank) {
            true => self.fused(xs, mask, axis, mode),
            false => self.by_tensors(xs.tensor(), mask, axis, mode).map(Strand::from),
        }
    }

    fn by_tensors(&self, xs: &Tensor, mask: Option<&Tensor>, axis: usize, mode: Mode) -> Result<Tensor> {
        let others: Vec<usize> = (0..xs.rank()).filter(|&other| other != axis).collect();
        let mut shape = vec![1; xs.rank()];
        shape[axis] = xs.dim(axis)?;
        let (mean, variance) = match mode {
            Mode::Inference => {
                (self.moving_mean.detach().reshape(&*shape)?, self.moving_variance.detach().reshape(&*shape)?)
            }
            Mode::Training { .. } => {
                let (mean, variance) = moments(&self.name, xs, mask, &others)?;
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

    /// The same in a few passes over memory.
    fn fused(&self, xs: &Strand, mask: Option<&Tensor>, axis: usize, mode: Mode) -> Result<Strand> {
        let values = xs.tensor();
        let statistics = match mode {
            Mode::Inference => Statistics::given(values, axis, [&self.moving_mean, &self.moving_variance])?,
            Mode::Training { .. } => {
                let mask = mask
                    .map(|mask| place_bytes(&format!("layer {}", self.name), values, mask))
                    .transpose()?;
                let statistics = Statistics::of_batch(values, axis, mask)?;
                let [mean, variance] = statistics.tensors(values.device())?;
                self.carry(&self.moving_mean, &mean)?;
                self.carry(&self.moving_variance, &variance)?;
                statistics
            }
        };
        normalize(xs, statistics, self.config.epsilon, self.gamma.as_ref(), self.beta.as_ref())
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

impl ModuleT for BatchNormalization {
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(xs, None, self.passes.next(train))
    }
}

impl Layer for BatchNormalization {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let input = first(inputs)?;
        let mode = if pass.frozen { Mode::Inference } else { pass.mode };
        Ok(vec![self.over(&input.strand()?, input.mask.as_ref(), mode)?.into()])
    }

    fn moving(&self) -> Vec<(String, Var)> {
        let named = [("moving_mean", &self.moving_mean), ("moving_variance", &self.moving_variance)];
        let variable = |(name, tensor): (&str, &Tensor)| {
            let variable = tensor.is_variable().then(|| Var::from_tensor(tensor).ok()).flatten()?;
            Some((format!("{}.{name}", self.name), variable))
        };
        named.into_iter().filter_map(variable).collect()
    }

    fn mixes_samples(&self) -> bool {
        true
    }
}

/// Mean and variance over the axes `over`, of the places that the mask leaves.
fn moments(name: &str, xs: &Tensor, mask: Option<&Tensor>, over: &[usize]) -> Result<(Tensor, Tensor)> {
    let Some(mask) = mask else {
        let mean = xs.mean_keepdim(over)?;
        let variance = xs.broadcast_sub(&mean)?.sqr()?.mean_keepdim(over)?;
        return Ok((mean, variance));
    };
    if mask.rank() + 1 != xs.rank() {
        bail!("layer {name}: the mask {:?} needs one axis less than the input {:?}", mask.dims(), xs.dims())
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

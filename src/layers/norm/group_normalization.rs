//! Keras's `GroupNormalization` (`keras/src/layers/normalization/group_normalization.py`).

use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, axis_index, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Device, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::sample::Groups;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`GroupNormalization`], with Keras's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupNormalizationConfig {
    /// Groups of channels, each normalised together; -1 has as many as there are channels.
    pub groups: i64,
    /// The axis of the channels.
    pub axis: i64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether there is a `beta` to add.
    pub center: bool,
    /// Whether there is a `gamma` to multiply with.
    pub scale: bool,
}

impl Default for GroupNormalizationConfig {
    fn default() -> Self {
        Self { groups: 32, axis: -1, epsilon: 1e-3, center: true, scale: true }
    }
}

impl GroupNormalizationConfig {
    /// Which axis it is, its channels, and in how many groups they are.
    fn groups_of(&self, input: &[Option<usize>]) -> Checked<(usize, usize, usize)> {
        let axis = axis_index(self.axis, input.len())?;
        if axis == 0 {
            return Err("axis 0 is the batch".into());
        }
        let channels = input.get(axis).copied().flatten().filter(|&channels| channels > 0);
        let channels = channels.ok_or_else(|| format!("axis {axis} of its input must be known"))?;
        let groups = usize::try_from(self.groups).unwrap_or(channels);
        match groups > 0 && channels.is_multiple_of(groups) {
            true => Ok((axis, channels, groups)),
            false => Err(format!("groups {groups} must divide the input's {channels} channels")),
        }
    }

    /// gamma and beta, each (channels).
    ///
    /// # Errors
    /// If the axis is beyond the input's or its length not known, or the groups do not divide it.
    pub fn variables(&self, input: &[Option<usize>]) -> Checked<Vec<Variable>> {
        let (_, channels, _) = self.groups_of(input)?;
        let mut variables = vec![];
        if self.scale {
            variables.push(Variable::new("gamma", [channels], Initializer::Ones));
        }
        if self.center {
            variables.push(Variable::new("beta", [channels], Initializer::Zeros));
        }
        Ok(variables)
    }
}

impl Config for GroupNormalizationConfig {
    fn check(&self) -> Checked<()> {
        match self.groups {
            -1 | 1.. => Ok(()),
            groups => Err(format!("groups must be at least 1, or -1 for one a channel, not {groups}")),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        Ok(Placed::one(input.clone()).with(self.variables(input)?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(GroupNormalization::new(first_shape(inputs), *self, vb)?))
    }
}

/// Normalises groups of channels of each sample, over all its other axes: (x - mean) / sqrt(variance + epsilon) · gamma +
/// beta (Wu and He 2018).
#[derive(Clone, Debug)]
pub struct GroupNormalization {
    config: GroupNormalizationConfig,
    name: String,
    gamma: Option<Tensor>,
    beta: Option<Tensor>,
}

impl GroupNormalization {
    /// The layer over an input of this shape, the batch first, its variables taken from `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(input: &[Option<usize>], config: GroupNormalizationConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        let variables = match config.check().and_then(|()| config.variables(input)) {
            Ok(variables) => variables,
            Err(what) => bail!("layer {name}: {what}"),
        };
        let get = |name: &str| variables.iter().find(|v| v.name == name).map(|v| v.get(&vb)).transpose();
        Ok(Self { gamma: get("gamma")?, beta: get("beta")?, config, name })
    }

    /// The configuration.
    pub fn config(&self) -> &GroupNormalizationConfig {
        &self.config
    }
}

impl GroupNormalization {
    fn over(&self, xs: &Strand) -> Result<Strand> {
        let shape: Shape = xs.tensor().dims().iter().map(|&length| Some(length)).collect();
        let (axis, channels, groups) = match self.config.groups_of(&shape) {
            Ok(found) => found,
            Err(what) => bail!("layer {}: {what}", self.name),
        };
        let dims = xs.tensor().dims();
        if !xs.fuses() || axis + 1 != dims.len() {
            return self.by_tensors(xs.tensor()).map(Strand::from);
        }
        let of =
            Groups { places: dims[1..axis].iter().product(), channels, groups, epsilon: self.config.epsilon };
        let or = |given: &Option<Tensor>, value: f32| match given {
            Some(given) => Ok(given.clone()),
            None => Tensor::full(value, channels, &Device::Cpu),
        };
        fused(
            "normalize-groups",
            [xs, &or(&self.gamma, 1.0)?.into(), &or(&self.beta, 0.0)?.into()],
            dims.to_vec(),
            |[x, gamma, beta], out| of.scale(x, gamma, beta, out),
            move |Back { x: [x, gamma, _], mut d, .. }: Back<'_, 3>| {
                let [d_gamma, d_beta] = of.scale_back(x, gamma, &mut d);
                [d, d_gamma, d_beta]
            },
        )
    }

    fn by_tensors(&self, xs: &Tensor) -> Result<Tensor> {
        let shape: Shape = xs.dims().iter().map(|&length| Some(length)).collect();
        let (axis, channels, groups) = match self.config.groups_of(&shape) {
            Ok(found) => found,
            Err(what) => bail!("layer {}: {what}", self.name),
        };
        // The channels as two axes: groups, and channels of a group.
        let mut split = xs.dims().to_vec();
        split[axis] = channels / groups;
        split.insert(axis, groups);
        let values = xs.reshape(split.as_slice())?;
        let axes: Vec<usize> = (1..split.len()).filter(|&other| other != axis).collect();
        let centered = values.broadcast_sub(&values.mean_keepdim(axes.as_slice())?)?;
        let variance = centered.sqr()?.mean_keepdim(axes.as_slice())?;
        let scale = (variance + self.config.epsilon)?.sqrt()?.recip()?;
        let mut ys = centered.broadcast_mul(&scale)?.reshape(xs.shape())?;
        let mut along = vec![1; xs.rank()];
        along[axis] = channels;
        if let Some(gamma) = &self.gamma {
            ys = ys.broadcast_mul(&gamma.reshape(along.as_slice())?)?;
        }
        match &self.beta {
            Some(beta) => ys.broadcast_add(&beta.reshape(along.as_slice())?),
            None => Ok(ys),
        }
    }
}

impl Module for GroupNormalization {
    /// Any shape in, the same shape out.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into())?.tensor().clone())
    }
}

impl Layer for GroupNormalization {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.over(&first(inputs)?.strand()?)?.into()])
    }
}

//! Keras's `Normalization` (`keras/src/layers/preprocessing/normalization.py`).

use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Axes, Checked, Shape, show, single};
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Keras's `epsilon()`.
const EPSILON: f32 = 1e-7;

/// The arguments of [`Normalization`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormalizationConfig {
    /// The axes along which each place has a mean and a variance of its own; none, for one of all numbers.
    #[serde(default = "last")]
    pub axis: Option<Axes>,
    /// The means; where left out they are variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Numbers>,
    /// The variances; given where the means are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variance: Option<Numbers>,
    /// The other way: from the common scale to the numbers' own.
    #[serde(default)]
    pub invert: bool,
}

/// A number, or lists of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or lists of numbers, no more than three in each other")]
pub enum Numbers {
    /// A number.
    One(f64),
    /// One for each place of an axis.
    Axis(Vec<f64>),
    /// One for each place of two axes.
    Axes2(Vec<Vec<f64>>),
    /// One for each place of three axes.
    Axes3(Vec<Vec<Vec<f64>>>),
}

impl Numbers {
    /// The shape of the lists; none where they are not of one length.
    fn shape(&self) -> Option<Vec<usize>> {
        let width = |rows: &[Vec<f64>]| {
            let width = rows.first()?.len();
            rows.iter().all(|row| row.len() == width).then_some(width)
        };
        Some(match self {
            Self::One(_) => vec![],
            Self::Axis(list) => vec![list.len()],
            Self::Axes2(rows) => vec![rows.len(), width(rows)?],
            Self::Axes3(tables) => {
                let first = tables.first()?;
                let (height, inner) = (first.len(), width(first)?);
                let fits = |table: &Vec<Vec<f64>>| table.len() == height && width(table) == Some(inner);
                tables.iter().all(fits).then(|| vec![tables.len(), height, inner])?
            }
        })
    }

    fn flat(&self) -> Vec<f32> {
        let all: Vec<f64> = match self {
            Self::One(value) => vec![*value],
            Self::Axis(list) => list.clone(),
            Self::Axes2(rows) => rows.concat(),
            Self::Axes3(tables) => tables.concat().concat(),
        };
        all.into_iter().map(|value| value as f32).collect()
    }
}

fn last() -> Option<Axes> {
    Some(Axes::One(-1))
}

impl NormalizationConfig {
    /// The axes that are kept, sorted.
    fn kept(&self, rank: usize) -> Checked<Vec<usize>> {
        let mut kept = self.axis.as_ref().map_or(Ok(vec![]), |axes| axes.indices(rank))?;
        kept.sort_unstable();
        kept.dedup();
        Ok(kept)
    }

    /// The lengths of the kept axes, and the shape in which the means meet an input: 1 for the others.
    fn shapes(&self, input: &[Option<usize>]) -> Checked<(Vec<usize>, Vec<usize>)> {
        let kept = self.kept(input.len())?;
        let mut broadcast = vec![1; input.len()];
        for &axis in &kept {
            broadcast[axis] = input[axis]
                .ok_or_else(|| format!("axis {axis} of its input {} must be known", show(input)))?;
        }
        Ok((kept.iter().map(|&axis| broadcast[axis]).collect(), broadcast))
    }

    /// mean and variance of the shape of the kept axes, and the number of samples that they come from, which is 0 in
    /// today's files; none where they are arguments.
    pub fn variables(&self, input: &[Option<usize>]) -> Checked<Vec<Variable>> {
        let (kept, _) = self.shapes(input)?;
        if self.mean.is_some() {
            return Ok(vec![]);
        }
        Ok(vec![
            Variable::untrained("mean", kept.clone(), Initializer::Zeros),
            Variable::untrained("variance", kept, Initializer::Ones),
            Variable::untrained("count", [], Initializer::Zeros),
        ])
    }

    /// An argument in the shape in which it meets an input.
    fn spread(&self, values: &Numbers, input: &[Option<usize>]) -> Checked<(Vec<f32>, Vec<usize>)> {
        let (kept, wrong) =
            (self.kept(input.len())?, || "its mean and variance do not fit its input".to_string());
        let shape = values.shape().ok_or_else(wrong)?;
        if shape.len() > kept.len() {
            return Err(wrong());
        }
        let mut spread = vec![1; input.len()];
        // Aligned at their ends.
        for (&axis, &length) in kept.iter().rev().zip(shape.iter().rev()) {
            if length != 1 && input[axis].is_some_and(|known| known != length) {
                return Err(wrong());
            }
            spread[axis] = length;
        }
        Ok((values.flat(), spread))
    }
}

impl Config for NormalizationConfig {
    fn check(&self) -> Checked<()> {
        let shape = |values: &Option<Numbers>| values.as_ref().map(Numbers::shape);
        match (shape(&self.mean), shape(&self.variance)) {
            (None, None) => Ok(()),
            (Some(Some(mean)), Some(Some(variance))) if mean == variance => Ok(()),
            _ => Err("mean and variance must both be given, in the same shape".into()),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        for values in self.mean.iter().chain(&self.variance) {
            self.spread(values, input)?;
        }
        Ok(Placed::one(input.clone()).with(self.variables(input)?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Normalization::new(first_shape(inputs), self.clone(), vb)?))
    }
}

/// Numbers on a common scale: (x - mean) / max(√variance, 1e-7). Any shape in, the same shape out.
#[derive(Clone, Debug)]
pub struct Normalization {
    config: NormalizationConfig,
    mean: Tensor,
    deviation: Tensor,
}

impl Normalization {
    /// The layer over an input of this shape, the batch first; its variables are taken from `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, the input does not fit, or `vb` lacks a variable.
    pub fn new(input: &[Option<usize>], config: NormalizationConfig, vb: VarBuilder) -> Result<Self> {
        let fail = |what: String| candle_core::Error::msg(format!("layer {}: {what}", vb.prefix()));
        config.check().map_err(fail)?;
        config.place(&[input.to_vec()]).map_err(fail)?;
        let argument = |values: &Numbers| {
            let (flat, shape) = config.spread(values, input).map_err(fail)?;
            Tensor::from_vec(flat, shape, vb.device())?.to_dtype(vb.dtype())
        };
        let (mean, variance) = match (&config.mean, &config.variance) {
            (Some(mean), Some(variance)) => (argument(mean)?, argument(variance)?),
            _ => {
                let (_, broadcast) = config.shapes(input).map_err(fail)?;
                let variables = config.variables(input).map_err(fail)?;
                let [mean, variance, _] = variables.as_slice() else {
                    bail!("layer {}: has no mean", vb.prefix())
                };
                (
                    mean.get(&vb)?.reshape(broadcast.as_slice())?,
                    variance.get(&vb)?.reshape(broadcast.as_slice())?,
                )
            }
        };
        Ok(Self { config, mean: mean.detach(), deviation: variance.detach().sqrt()?.maximum(EPSILON)? })
    }

    /// The configuration.
    pub fn config(&self) -> &NormalizationConfig {
        &self.config
    }
}

impl Module for Normalization {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (mean, deviation) = (self.mean.to_dtype(xs.dtype())?, self.deviation.to_dtype(xs.dtype())?);
        match self.config.invert {
            true => xs.broadcast_mul(&deviation)?.broadcast_add(&mean),
            false => xs.broadcast_sub(&mean)?.broadcast_div(&deviation),
        }
    }
}

impl Layer for Normalization {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.forward(&first(inputs)?.floats()?)?.into()])
    }
}

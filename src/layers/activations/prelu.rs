//! Keras's `PReLU` (`keras/src/layers/activations/prelu.py`).

use crate::layers::cpu::suits_kernels;
use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::pair::with_slopes;
use crate::layers::shape::{Checked, Shape, axis_index, single};
use crate::layers::strand::Strand;
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`PRelu`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PReluConfig {
    /// Axes, counted from 1 after the batch, along which the slope is the same.
    pub shared_axes: Option<Vec<usize>>,
}

impl PReluConfig {
    /// alpha, in the shape of the input without the batch, 1 along the shared axes.
    fn variable(&self, input: &[Option<usize>]) -> Checked<Variable> {
        let shared = self.shared_axes.as_deref().unwrap_or_default();
        for &axis in shared {
            if axis == 0 || axis_index(axis as i64, input.len()).is_err() {
                return Err(format!("shared_axes {shared:?} must be axes of the input after the batch"));
            }
        }
        let size = |(axis, size): (usize, &Option<usize>)| {
            if shared.contains(&axis) { Some(1) } else { *size }
        };
        let shape: Option<Vec<usize>> = input.iter().enumerate().skip(1).map(size).collect();
        let shape = shape.ok_or("every axis of its input that is not shared must be known")?;
        Ok(Variable::new("alpha", shape, Initializer::Zeros))
    }
}

impl Config for PReluConfig {
    fn check(&self) -> Checked<()> {
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        Ok(Placed::one(input.clone()).with(vec![self.variable(input)?]))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(PRelu::new(first_shape(inputs), self.clone(), vb)?))
    }
}

/// x for x > 0, else a learned slope times x (He et al. 2015).
#[derive(Clone, Debug)]
pub struct PRelu {
    config: PReluConfig,
    alpha: Tensor,
}

impl PRelu {
    /// The layer over an input of this shape, the batch first; its variable is `alpha`.
    ///
    /// # Errors
    /// If an axis makes no sense, or `vb` lacks the variable or has it in another shape.
    pub fn new(input: &[Option<usize>], config: PReluConfig, vb: VarBuilder) -> Result<Self> {
        match config.variable(input) {
            Ok(alpha) => Ok(Self { alpha: alpha.get(&vb)?, config }),
            Err(what) => bail!("layer {}: {what}", vb.prefix()),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &PReluConfig {
        &self.config
    }
}

impl PRelu {
    fn over(&self, xs: &Strand) -> Result<Strand> {
        let (dims, slopes) = (xs.tensor().dims(), self.alpha.dims());
        // Slopes that are shared along the first of a sample's axes are those of its last axes.
        let own: Vec<usize> = slopes.iter().copied().skip_while(|&axis| axis == 1).collect();
        let fits = dims.len() == slopes.len() + 1 && dims.ends_with(&own);
        match xs.fuses() && suits_kernels(&self.alpha) && fits {
            true => with_slopes(xs, &self.alpha),
            false => self.by_tensors(xs.tensor()).map(Strand::from),
        }
    }

    fn by_tensors(&self, xs: &Tensor) -> Result<Tensor> {
        // relu(x) - alpha relu(-x), both with slope 0 at 0.
        let zeros = xs.zeros_like()?;
        let above = xs.le(0.0)?.where_cond(&zeros, xs)?;
        let below = xs.ge(0.0)?.where_cond(&zeros, xs)?;
        above + below.broadcast_mul(&self.alpha)?
    }
}

impl Module for PRelu {
    /// Any shape in, the same shape out.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into())?.tensor().clone())
    }
}

impl Layer for PRelu {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.over(&first(inputs)?.strand()?)?.into()])
    }
}

//! Keras's `Softmax` (`keras/src/layers/activations/softmax.py`).

use crate::layers::activation::softmax;
use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Axes, Checked, Shape, single};
use crate::layers::strand::{Back, Strand, fused};
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::sample as kernel;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`Softmax`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftmaxConfig {
    /// The axis, or axes, over which the outputs add up to 1.
    pub axis: Axes,
}

impl Default for SoftmaxConfig {
    fn default() -> Self {
        Self { axis: Axes::One(-1) }
    }
}

impl SoftmaxConfig {
    /// The axes below `rank`: of each sample, each once.
    fn indices(&self, rank: usize) -> Checked<Vec<usize>> {
        let mut axes = self.axis.indices(rank)?;
        axes.sort_unstable();
        let repeats = axes.windows(2).any(|pair| pair[0] == pair[1]);
        match axes.first() {
            None => Err("its list of axes is empty".into()),
            Some(0) => Err("axis 0 is the batch, over which samples would depend on each other".into()),
            _ if repeats => Err("its axis names one axis twice".into()),
            _ => Ok(axes),
        }
    }
}

impl Config for SoftmaxConfig {
    fn check(&self) -> Checked<()> {
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        self.indices(input.len()).map(|_| Placed::one(input.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Softmax::new(first_shape(inputs), self.clone(), vb)?))
    }
}

/// Exponentials divided by their sum. With a mask, masked places take no part and give 0.
#[derive(Clone, Debug)]
pub struct Softmax {
    config: SoftmaxConfig,
    name: String,
}

impl Softmax {
    /// The layer over an input of this shape, the batch first. It has no variables; messages name it by the prefix of
    /// `vb`.
    ///
    /// # Errors
    /// If an axis is beyond the input's.
    pub fn new(input: &[Option<usize>], config: SoftmaxConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        match config.indices(input.len()) {
            Ok(_) => Ok(Self { config, name }),
            Err(what) => bail!("layer {name}: {what}"),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &SoftmaxConfig {
        &self.config
    }

    /// Any shape in, the same shape out; `mask`, u8, broadcasts from the last axes.
    ///
    /// # Errors
    /// If an axis is beyond the input's, or the mask does not fit.
    pub fn forward_masked(&self, xs: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let axes = match self.config.indices(xs.rank()) {
            Ok(axes) => axes,
            Err(what) => bail!("layer {}: {what}", self.name),
        };
        let fits = |mask: &Tensor| {
            let mask = mask.dims().iter().rev();
            mask.zip(xs.dims().iter().rev()).all(|(mask, axis)| *mask == 1 || mask == axis)
        };
        if let Some(mask) = mask.filter(|mask| mask.rank() > xs.rank() || !fits(mask)) {
            bail!(
                "layer {}: its mask {:?} does not fit its input {:?}, nor does it in Keras",
                self.name,
                mask.dims(),
                xs.dims()
            )
        }
        let mask = mask.map(|mask| mask.broadcast_as(xs.shape())?.contiguous()).transpose()?;
        let xs = match &mask {
            // Keras's large negative number.
            Some(mask) => mask.where_cond(xs, &(xs.ones_like()? * -1e9)?)?,
            None => xs.clone(),
        };
        let mut largest = xs.detach();
        for &axis in &axes {
            largest = largest.max_keepdim(axis)?;
        }
        let exponentials = xs.broadcast_sub(&largest)?.exp()?;
        let ys = exponentials.broadcast_div(&exponentials.sum_keepdim(axes)?)?;
        match &mask {
            Some(mask) => mask.where_cond(&ys, &ys.zeros_like()?),
            None => Ok(ys),
        }
    }
}

/// Softmax along an axis, in one op.
fn along(xs: &Strand, axis: usize) -> Result<Strand> {
    let dims = xs.tensor().dims();
    let (length, inner) = (dims[axis], dims[axis + 1..].iter().product());
    fused(
        "softmax-along",
        [xs],
        dims.to_vec(),
        |[x], out| kernel::softmax_along(length, inner, x, out),
        move |Back { y, mut d, .. }: Back<'_, 1>| {
            kernel::softmax_along_back(length, inner, y, &mut d);
            [d]
        },
    )
}

impl Module for Softmax {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.forward_masked(xs, None)
    }
}

impl Layer for Softmax {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        let input = first(inputs)?;
        let xs = input.strand()?;
        let rank = xs.tensor().rank();
        let is_last = self.config.indices(rank).is_ok_and(|axes| axes == [rank - 1]);
        if is_last && input.mask.is_none() && xs.fuses() {
            return Ok(vec![softmax(&xs, false)?.into()]);
        }
        if let (Ok([axis]), None, true) = (self.config.indices(rank).as_deref(), &input.mask, xs.fuses()) {
            return Ok(vec![along(&xs, *axis)?.into()]);
        }
        Ok(vec![self.forward_masked(&input.floats()?, input.mask.as_ref())?.into()])
    }
}

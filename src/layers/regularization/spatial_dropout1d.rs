//! Keras's `SpatialDropout1D` (`keras/src/layers/regularization/spatial_dropout.py`).

use crate::layers::dropout_mask::mask;
use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_rate, show, single};
use crate::random::Stream;
use candle_core::{Result, Tensor, bail};
use candle_nn::{ModuleT, VarBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`SpatialDropout1d`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialDropout1dConfig {
    /// The fraction of features set to 0 in training, from 0 to 1.
    pub rate: f64,
}

impl Config for SpatialDropout1dConfig {
    fn check(&self) -> Checked<()> {
        check_rate("rate", self.rate)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        match input.len() {
            3 => Ok(Placed::one(input.clone())),
            _ => Err(format!("needs an input of 3 axes (batch, time, features), given {}", show(input))),
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(SpatialDropout1d::new(*self, vb)?))
    }
}

/// Drops whole features of a sequence in training, the same ones at every step.
#[derive(Clone, Debug)]
pub struct SpatialDropout1d {
    config: SpatialDropout1dConfig,
    name: String,
    passes: Passes,
}

impl SpatialDropout1d {
    /// The layer has no variables. The prefix of `vb` is its name; what is drawn depends on the name and the batch's
    /// seed.
    ///
    /// # Errors
    /// If rate is not between 0 and 1.
    pub fn new(config: SpatialDropout1dConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        match config.check() {
            Ok(()) => Ok(Self { config, name, passes: Passes::default() }),
            Err(what) => bail!("layer {name}: {what}"),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &SpatialDropout1dConfig {
        &self.config
    }

    /// (batch, time, features) in, the same shape out.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        if self.config.rate == 0.0 {
            return Ok(xs.clone());
        }
        let (batch, _, features) = xs.dims3()?;
        let mut stream = Stream::named(seed, &self.name);
        let mask = mask(&mut stream, self.config.rate, batch * features);
        xs.broadcast_mul(&Tensor::from_vec(mask, (batch, 1, features), xs.device())?.to_dtype(xs.dtype())?)
    }
}

impl ModuleT for SpatialDropout1d {
    /// Each training pass draws anew.
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(xs, self.passes.next(train))
    }
}

impl Layer for SpatialDropout1d {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.forward(&first(inputs)?.floats()?, pass.mode)?.into()])
    }
}

//! Keras's `GaussianDropout` (`keras/src/layers/regularization/gaussian_dropout.py`).

use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_rate, single};
use crate::random::Stream;
use candle_core::{Result, Tensor, bail};
use candle_nn::{ModuleT, VarBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`GaussianDropout`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianDropoutConfig {
    /// As in a dropout of single elements, from 0 to 1: the factors' variance is rate / (1 - rate). With 1 the layer
    /// cannot be trained.
    pub rate: f64,
}

impl Config for GaussianDropoutConfig {
    fn check(&self) -> Checked<()> {
        check_rate("rate", self.rate)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(single(inputs)?.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(GaussianDropout::new(*self, vb)?))
    }
}

/// Multiplies by normal factors around 1 in training (Srivastava et al. 2014).
#[derive(Clone, Debug)]
pub struct GaussianDropout {
    config: GaussianDropoutConfig,
    name: String,
    passes: Passes,
}

impl GaussianDropout {
    /// The layer has no variables. The prefix of `vb` is its name; what is drawn depends on the name and the batch's
    /// seed.
    ///
    /// # Errors
    /// If rate is not between 0 and 1.
    pub fn new(config: GaussianDropoutConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        match config.check() {
            Ok(()) => Ok(Self { config, name, passes: Passes::default() }),
            Err(what) => bail!("layer {name}: {what}"),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &GaussianDropoutConfig {
        &self.config
    }

    /// Any shape in, the same shape out.
    ///
    /// # Errors
    /// In training with a rate of 1, where the noise would be infinite.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        let rate = self.config.rate;
        if rate == 0.0 {
            return Ok(xs.clone());
        }
        if rate == 1.0 {
            bail!("layer {}: with rate 1 its noise would be infinite; train with less", self.name)
        }
        let deviation = (rate / (1.0 - rate)).sqrt();
        let mut stream = Stream::named(seed, &self.name);
        let factors: Vec<f32> =
            (0..xs.elem_count()).map(|_| (1.0 + stream.normal() * deviation) as f32).collect();
        xs * Tensor::from_vec(factors, xs.shape(), xs.device())?.to_dtype(xs.dtype())?
    }
}

impl ModuleT for GaussianDropout {
    /// Each training pass draws anew.
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(xs, self.passes.next(train))
    }
}

impl Layer for GaussianDropout {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.forward(&first(inputs)?.floats()?, pass.mode)?.into()])
    }
}

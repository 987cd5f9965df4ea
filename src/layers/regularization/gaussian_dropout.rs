//! Keras's `GaussianDropout` (`keras/src/layers/regularization/gaussian_dropout.py`).

use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::padding::PaddingRule;
use crate::layers::pair::Pair;
use crate::layers::shape::{Checked, Shape, check_rate, single};
use crate::layers::strand::Strand;
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

    fn padding_rule(&self) -> PaddingRule {
        PaddingRule::Drawn
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
        Ok(self.over(&xs.clone().into(), mode)?.tensor().clone())
    }

    fn over(&self, xs: &Strand, mode: Mode) -> Result<Strand> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        let rate = self.config.rate;
        if rate == 0.0 {
            return Ok(xs.clone());
        }
        if rate == 1.0 {
            bail!("layer {}: with rate 1 its noise would be infinite; train with less", self.name)
        }
        let deviation = (rate / (1.0 - rate)).sqrt();
        let values = xs.tensor();
        let factors = Stream::named(seed, &self.name)
            .normals(values.elem_count(), |normal| (1.0 + normal * deviation) as f32);
        let factors = Tensor::from_vec(factors, values.shape(), values.device())?;
        match xs.fuses() {
            true => Pair::Product.of(xs, &factors.into()),
            false => (values * factors.to_dtype(values.dtype())?).map(Strand::from),
        }
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
        Ok(vec![self.over(&first(inputs)?.strand()?, pass.mode)?.into()])
    }
}

//! Keras's `GaussianNoise` (`keras/src/layers/regularization/gaussian_noise.py`).

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

/// The argument of [`GaussianNoise`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianNoiseConfig {
    /// The noise's standard deviation, from 0 to 1.
    pub stddev: f64,
}

impl Config for GaussianNoiseConfig {
    fn check(&self) -> Checked<()> {
        check_rate("stddev", self.stddev)
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
        Ok(Arc::new(GaussianNoise::new(*self, vb)?))
    }
}

/// Adds normal noise in training.
#[derive(Clone, Debug)]
pub struct GaussianNoise {
    config: GaussianNoiseConfig,
    name: String,
    passes: Passes,
}

impl GaussianNoise {
    /// The layer has no variables. The prefix of `vb` is its name; what is drawn depends on the name and the batch's
    /// seed.
    ///
    /// # Errors
    /// If stddev is not between 0 and 1.
    pub fn new(config: GaussianNoiseConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        match config.check() {
            Ok(()) => Ok(Self { config, name, passes: Passes::default() }),
            Err(what) => bail!("layer {name}: {what}"),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &GaussianNoiseConfig {
        &self.config
    }

    /// Any shape in, the same shape out.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into(), mode)?.tensor().clone())
    }

    fn over(&self, xs: &Strand, mode: Mode) -> Result<Strand> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        if self.config.stddev == 0.0 {
            return Ok(xs.clone());
        }
        let values = xs.tensor();
        let noise = Stream::named(seed, &self.name)
            .normals(values.elem_count(), |normal| (normal * self.config.stddev) as f32);
        let noise = Tensor::from_vec(noise, values.shape(), values.device())?;
        match xs.fuses() {
            true => Pair::Sum.of(xs, &noise.into()),
            false => (values + noise.to_dtype(values.dtype())?).map(Strand::from),
        }
    }
}

impl ModuleT for GaussianNoise {
    /// Each training pass draws anew.
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(xs, self.passes.next(train))
    }
}

impl Layer for GaussianNoise {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.over(&first(inputs)?.strand()?, pass.mode)?.into()])
    }
}

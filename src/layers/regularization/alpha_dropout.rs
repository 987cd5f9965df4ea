//! Keras's `AlphaDropout` (`keras/src/layers/regularization/alpha_dropout.py`).

use super::noise_shape::{check_noise_shape, drawn_shape};
use crate::layers::activation::{SELU_ALPHA, SELU_SCALE};
use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::pair::times_plus;
use crate::layers::shape::{Checked, Shape, check_rate, single};
use crate::layers::strand::Strand;
use crate::random::Stream;
use candle_core::{Result, Tensor, bail};
use candle_nn::{ModuleT, VarBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`AlphaDropout`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlphaDropoutConfig {
    /// The fraction of elements dropped in training, from 0 to 1. With 1 the layer cannot be trained.
    pub rate: f64,
    /// What is drawn, if not each element by itself: an axis of 1 is dropped as one, `None` has the input's length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_shape: Option<Shape>,
}

impl Config for AlphaDropoutConfig {
    fn check(&self) -> Checked<()> {
        check_rate("rate", self.rate)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        check_noise_shape(self.noise_shape.as_ref(), input)?;
        Ok(Placed::one(input.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(AlphaDropout::new(self.clone(), vb)?))
    }
}

/// Sets elements to selu's lowest value at random in training, and scales and shifts them all so that mean and variance
/// stay (Klambauer et al. 2017).
#[derive(Clone, Debug)]
pub struct AlphaDropout {
    config: AlphaDropoutConfig,
    name: String,
    passes: Passes,
}

impl AlphaDropout {
    /// The layer has no variables. The prefix of `vb` is its name; what is drawn depends on the name and the batch's
    /// seed.
    ///
    /// # Errors
    /// If rate is not between 0 and 1.
    pub fn new(config: AlphaDropoutConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        match config.check() {
            Ok(()) => Ok(Self { config, name, passes: Passes::default() }),
            Err(what) => bail!("layer {name}: {what}"),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &AlphaDropoutConfig {
        &self.config
    }

    /// Any shape in, the same shape out.
    ///
    /// # Errors
    /// In training with a rate of 1, where nothing would be left to scale; where `noise_shape` does not fit.
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
            bail!("layer {}: with rate 1 nothing would be left to scale; train with less", self.name)
        }
        let lowest = -SELU_ALPHA * SELU_SCALE;
        let scale = 1.0 / ((1.0 - rate) * (1.0 + rate * lowest * lowest)).sqrt();
        let shift = -scale * lowest * rate;
        let values = xs.tensor();
        let shape = drawn_shape(&self.name, values, self.config.noise_shape.as_ref())?;
        let mut stream = Stream::named(seed, &self.name);
        let count = shape.iter().product();
        // kept · (scale x + shift) where it is kept, scale · lowest + shift elsewhere.
        if xs.fuses() && shape == values.dims() {
            let factors = stream.choices(rate, [scale as f32, 0.0], count);
            let dropped = (scale * lowest + shift) as f32;
            return times_plus(xs, factors, [dropped + (-scale * lowest) as f32, dropped]);
        }
        let kept = stream.choices(rate, [1.0, 0.0], count);
        let kept = Tensor::from_vec(kept, shape, values.device())?.to_dtype(values.dtype())?;
        let dropped = kept.affine(-scale * lowest, scale * lowest + shift)?;
        values.broadcast_mul(&(kept * scale)?)?.broadcast_add(&dropped).map(Strand::from)
    }
}

impl ModuleT for AlphaDropout {
    /// Each training pass draws anew.
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(xs, self.passes.next(train))
    }
}

impl Layer for AlphaDropout {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.over(&first(inputs)?.strand()?, pass.mode)?.into()])
    }
}

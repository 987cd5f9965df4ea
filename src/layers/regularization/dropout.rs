//! Keras's `Dropout` (`keras/src/layers/regularization/dropout.py`).

use crate::layers::dropout_mask::mask;
use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_rate, single};
use crate::random::Stream;
use candle_core::{Result, Tensor, bail};
use candle_nn::{ModuleT, VarBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`Dropout`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropoutConfig {
    /// The fraction of elements set to 0 in training, from 0 to 1.
    pub rate: f64,
}

impl Config for DropoutConfig {
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
        Ok(Arc::new(Dropout::new(*self, vb)?))
    }
}

/// Sets elements to 0 at random in training and scales the others by 1 / (1 - rate) (Srivastava et al. 2014).
#[derive(Clone, Debug)]
pub struct Dropout {
    config: DropoutConfig,
    name: String,
    passes: Passes,
}

impl Dropout {
    /// The layer has no variables. The prefix of `vb` is its name; what is drawn depends on the name and the batch's
    /// seed.
    ///
    /// # Errors
    /// If rate is not between 0 and 1.
    pub fn new(config: DropoutConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        match config.check() {
            Ok(()) => Ok(Self { config, name, passes: Passes::default() }),
            Err(what) => bail!("layer {name}: {what}"),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &DropoutConfig {
        &self.config
    }

    /// Any shape in, the same shape out.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        if self.config.rate == 0.0 {
            return Ok(xs.clone());
        }
        let mut stream = Stream::named(seed, &self.name);
        let mask = mask(&mut stream, self.config.rate, xs.elem_count());
        xs * Tensor::from_vec(mask, xs.shape(), xs.device())?.to_dtype(xs.dtype())?
    }
}

impl ModuleT for Dropout {
    /// Each training pass draws anew.
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(xs, self.passes.next(train))
    }
}

impl Layer for Dropout {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.forward(&first(inputs)?.floats()?, pass.mode)?.into()])
    }
}

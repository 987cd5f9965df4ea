//! Keras's `Dropout` (`keras/src/layers/regularization/dropout.py`), and the masks that recurrent layers draw.

use super::{Mode, random::Stream};
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// Keras's argument.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropoutConfig {
    /// The fraction of elements set to 0 in training, from 0 to 1.
    pub rate: f64,
}

impl DropoutConfig {
    /// Says what is wrong with the configuration, if anything is.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(format!("rate must be between 0 and 1, not {}", self.rate));
        }
        Ok(())
    }
}

/// Sets elements to 0 at random in training and scales the others by 1 / (1 - rate) (Srivastava et al. 2014).
#[derive(Clone, Debug)]
pub struct Dropout {
    config: DropoutConfig,
    name: String,
}

impl Dropout {
    /// The layer has no variables: `vb` gives it its name, which decides its masks beside the batch's seed.
    ///
    /// # Errors
    /// If the rate is not between 0 and 1.
    pub fn new(config: DropoutConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = config.check() {
            bail!("layer {name}: {what}")
        }
        Ok(Self { config, name })
    }

    /// Any shape, the same out.
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

/// `count` factors: 0 with probability `rate`, else 1 / (1 - rate).
pub(super) fn mask(stream: &mut Stream, rate: f64, count: usize) -> Vec<f32> {
    // A table rather than a branch, which no processor could foresee.
    let factors = [(1.0 / (1.0 - rate)) as f32, 0.0];
    (0..count).map(|_| factors[usize::from(stream.uniform() < rate)]).collect()
}

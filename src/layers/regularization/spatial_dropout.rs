//! Keras's `SpatialDropout1D` to `SpatialDropout3D` (`keras/src/layers/regularization/spatial_dropout.py`), channels last.

use crate::layers::dropout_mask::drop_out;
use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::padding::PaddingRule;
use crate::layers::shape::{Checked, Shape, axes_needed, check_rate, single};
use crate::layers::strand::Strand;
use crate::random::Stream;
use candle_core::{Result, Tensor, bail};
use candle_nn::{ModuleT, VarBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`SpatialDropout`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialDropoutConfig<const N: usize> {
    /// The fraction of features set to 0 in training, from 0 to 1.
    pub rate: f64,
}

/// The argument of [`SpatialDropout1d`].
pub type SpatialDropout1dConfig = SpatialDropoutConfig<1>;
/// [`SpatialDropout`] of a sequence: (batch, time, features).
pub type SpatialDropout1d = SpatialDropout<1>;

impl<const N: usize> Config for SpatialDropoutConfig<N> {
    fn check(&self) -> Checked<()> {
        check_rate("rate", self.rate)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        match input.len() == N + 2 {
            true => Ok(Placed::one(input.clone())),
            false => Err(axes_needed(N + 2, input)),
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn padding_rule(&self) -> PaddingRule {
        PaddingRule::Passed
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(SpatialDropout::new(*self, vb)?))
    }
}

/// Drops whole features in training, the same ones at every step or place (Tompson et al. 2015).
#[derive(Clone, Debug)]
pub struct SpatialDropout<const N: usize> {
    config: SpatialDropoutConfig<N>,
    name: String,
    passes: Passes,
}

impl<const N: usize> SpatialDropout<N> {
    /// The layer has no variables. The prefix of `vb` is its name; what is drawn depends on the name and the batch's
    /// seed.
    ///
    /// # Errors
    /// If rate is not between 0 and 1.
    pub fn new(config: SpatialDropoutConfig<N>, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        match config.check() {
            Ok(()) => Ok(Self { config, name, passes: Passes::default() }),
            Err(what) => bail!("layer {name}: {what}"),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &SpatialDropoutConfig<N> {
        &self.config
    }

    /// (batch, …, features) in, the same shape out.
    ///
    /// # Errors
    /// If the input has another number of axes.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into(), mode)?.tensor().clone())
    }

    fn over(&self, xs: &Strand, mode: Mode) -> Result<Strand> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        if self.config.rate == 0.0 {
            return Ok(xs.clone());
        }
        let mut shape = xs.tensor().dims().to_vec();
        if shape.len() != N + 2 {
            bail!("layer {}: needs an input of {} axes, given {shape:?}", self.name, N + 2)
        }
        shape[1..=N].fill(1);
        let mut stream = Stream::named(seed, &self.name);
        drop_out(xs, &mut stream, self.config.rate, shape)
    }
}

impl<const N: usize> ModuleT for SpatialDropout<N> {
    /// Each training pass draws anew.
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(xs, self.passes.next(train))
    }
}

impl<const N: usize> Layer for SpatialDropout<N> {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.over(&first(inputs)?.strand()?, pass.mode)?.into()])
    }
}

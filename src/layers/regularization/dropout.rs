//! Keras's `Dropout` (`keras/src/layers/regularization/dropout.py`).

use super::noise_shape::{check_noise_shape, drawn_shape};
use crate::layers::dropout_mask::drop_out;
use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::padding::PaddingRule;
use crate::layers::shape::{Checked, Shape, check_rate, single};
use crate::layers::strand::Strand;
use crate::random::Stream;
use candle_core::{Result, Tensor, bail};
use candle_nn::{ModuleT, VarBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`Dropout`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropoutConfig {
    /// The fraction of elements set to 0 in training, from 0 to 1.
    pub rate: f64,
    /// What is drawn, if not each element by itself: an axis of 1 is dropped as one, `None` has the input's length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_shape: Option<Shape>,
}

impl Config for DropoutConfig {
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

    fn padding_rule(&self) -> PaddingRule {
        // A length of the time axis that is said is that of all steps.
        let fixed = |axis: &Option<usize>| axis.is_some_and(|length| length != 1);
        match self.noise_shape.as_ref().and_then(|shape| shape.get(1)).is_some_and(fixed) {
            true => PaddingRule::Matters,
            false => PaddingRule::Drawn,
        }
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Dropout::new(self.clone(), vb)?))
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
    /// If `noise_shape` does not fit the input.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into(), mode)?.tensor().clone())
    }

    fn over(&self, xs: &Strand, mode: Mode) -> Result<Strand> {
        let Mode::Training { seed } = mode else { return Ok(xs.clone()) };
        if self.config.rate == 0.0 {
            return Ok(xs.clone());
        }
        let mut stream = Stream::named(seed, &self.name);
        let shape = drawn_shape(&self.name, xs.tensor(), self.config.noise_shape.as_ref())?;
        drop_out(xs, &mut stream, self.config.rate, shape)
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
        Ok(vec![self.over(&first(inputs)?.strand()?, pass.mode)?.into()])
    }
}

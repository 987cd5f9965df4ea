//! Keras's `ReLU` (`keras/src/layers/activations/relu.py`).

use crate::layers::activation::activate;
use crate::layers::layer::{Config, Layer, Placed, first_shape, plain_layer};
use crate::layers::masks::MaskRule;
use crate::layers::pair::mapped;
use crate::layers::shape::{Checked, Shape, single};
use crate::layers::strand::Strand;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_recurrent_kernel as kernel;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`Relu`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReluConfig {
    /// The largest output, if there is one.
    pub max_value: Option<f64>,
    /// The slope below the threshold.
    pub negative_slope: f64,
    /// Where x begins to count.
    pub threshold: f64,
}

impl ReluConfig {
    fn forward(&self, xs: &Strand) -> Result<Strand> {
        match self.kernel().filter(|_| xs.fuses()) {
            Some(activation) => activate(activation, xs),
            None if xs.fuses() => self.by_elements(xs),
            None => self.by_tensors(xs.tensor()).map(Strand::from),
        }
    }

    /// The kernels' form of it, where they have one.
    fn kernel(&self) -> Option<kernel::Activation> {
        match (self.max_value, self.negative_slope, self.threshold) {
            (None, 0.0, 0.0) => Some(kernel::Activation::Relu),
            (Some(6.0), 0.0, 0.0) => Some(kernel::Activation::Relu6),
            (None, slope, 0.0) => Some(kernel::Activation::LeakyRelu { slope: slope as f32 }),
            _ => None,
        }
    }

    fn by_elements(&self, xs: &Strand) -> Result<Strand> {
        let (negative, threshold) = (self.negative_slope as f32, self.threshold as f32);
        let shift = (-self.negative_slope * self.threshold) as f32;
        let is_capped = self.max_value.is_some();
        let largest = self.max_value.map_or(f32::INFINITY, |max| max as f32);
        // No slope times minus infinity is 0 here, and NaN is NaN.
        let has_slope = self.negative_slope != 0.0;
        let bare = move |x: f32| {
            let below = if has_slope | x.is_nan() { x * negative } else { 0.0 } + shift;
            if x > threshold { x } else { below }
        };
        let value = move |x: f32| {
            let y = bare(x);
            if y >= largest { largest } else { y }
        };
        let slope = move |x: f32| {
            let slope = if x > threshold { 1.0 } else { negative };
            if is_capped & (bare(x) >= largest) { 0.0 } else { slope }
        };
        mapped(xs, value, slope)
    }

    fn by_tensors(&self, xs: &Tensor) -> Result<Tensor> {
        // No slope times minus infinity is 0 here, and NaN is NaN.
        let finite = if self.negative_slope == 0.0 { &xs.maximum(f64::from(f32::MIN))? } else { xs };
        let below = finite.affine(self.negative_slope, -self.negative_slope * self.threshold)?;
        let ys = xs.gt(self.threshold)?.where_cond(xs, &below)?;
        match self.max_value {
            // Asked so that NaN stays NaN, as in Keras.
            Some(max) => ys.ge(max)?.where_cond(&(ys.ones_like()? * max)?, &ys),
            None => Ok(ys),
        }
    }
}

impl Config for ReluConfig {
    fn check(&self) -> Checked<()> {
        if self.max_value.is_some_and(|value| value < 0.0)
            || self.negative_slope < 0.0
            || self.threshold < 0.0
        {
            return Err("max_value, negative_slope and threshold must not be negative".into());
        }
        Ok(())
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(single(inputs)?.clone()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Relu::new(first_shape(inputs), *self, vb)?))
    }
}

plain_layer! {
    /// 0 or a slope below the threshold, x above it, at most `max_value`. Any shape in, the same shape out.
    Relu, ReluConfig, strand
}

//! Activations as layers: `Activation`, `Softmax`, `LeakyReLU`, `ReLU`, `ELU`, `PReLU`
//! (`keras/src/layers/activations/`).

use super::sizes::{Axes, axis_index};
use super::{Activation, Initializer, Variable};
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// Keras's `Activation`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationConfig {
    /// Which.
    pub activation: Activation,
}

/// Keras's `Softmax`. With a mask, masked places take no part and give 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftmaxConfig {
    /// The axis, or axes, over which the outputs add up to 1.
    pub axis: Axes,
}

impl Default for SoftmaxConfig {
    fn default() -> Self {
        Self { axis: Axes::One(-1) }
    }
}

impl SoftmaxConfig {
    /// Any shape, the same out; `mask`, u8, broadcasts from the last axes.
    ///
    /// # Errors
    /// If an axis is beyond the input's, or the mask does not fit.
    pub fn forward(&self, xs: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let axes = match self.axis.indices(xs.rank()) {
            Ok(axes) => axes,
            Err(what) => bail!("Softmax: {what}"),
        };
        let fits = |mask: &Tensor| {
            let mask = mask.dims().iter().rev();
            mask.zip(xs.dims().iter().rev()).all(|(mask, axis)| *mask == 1 || mask == axis)
        };
        if let Some(mask) = mask.filter(|mask| mask.rank() > xs.rank() || !fits(mask)) {
            bail!(
                "Softmax: its mask {:?} does not fit its input {:?}, nor does it in Keras",
                mask.dims(),
                xs.dims()
            )
        }
        let mask = mask.map(|mask| mask.broadcast_as(xs.shape())?.contiguous()).transpose()?;
        let xs = match &mask {
            // Keras's large negative number.
            Some(mask) => mask.where_cond(xs, &(xs.ones_like()? * -1e9)?)?,
            None => xs.clone(),
        };
        let mut largest = xs.detach();
        for &axis in &axes {
            largest = largest.max_keepdim(axis)?;
        }
        let exponentials = xs.broadcast_sub(&largest)?.exp()?;
        let ys = exponentials.broadcast_div(&exponentials.sum_keepdim(axes)?)?;
        match &mask {
            Some(mask) => mask.where_cond(&ys, &ys.zeros_like()?),
            None => Ok(ys),
        }
    }
}

/// Keras's `LeakyReLU`: x for x > 0, else `negative_slope` x.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeakyReluConfig {
    /// The slope below 0.
    pub negative_slope: f64,
}

impl Default for LeakyReluConfig {
    fn default() -> Self {
        Self { negative_slope: 0.3 }
    }
}

impl LeakyReluConfig {
    /// Any shape, the same out.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        xs.gt(0.0)?.where_cond(xs, &(xs * self.negative_slope)?)
    }
}

/// Keras's `ReLU`: 0 or a slope below the threshold, x above it, at most `max_value`.
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
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        if self.max_value.is_some_and(|value| value < 0.0)
            || self.negative_slope < 0.0
            || self.threshold < 0.0
        {
            return Err("max_value, negative_slope and threshold must not be negative".into());
        }
        Ok(())
    }

    /// Any shape, the same out.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let below = xs.affine(self.negative_slope, -self.negative_slope * self.threshold)?;
        let ys = xs.gt(self.threshold)?.where_cond(xs, &below)?;
        match self.max_value {
            // Asked so that NaN stays NaN, as in Keras.
            Some(max) => ys.ge(max)?.where_cond(&(ys.ones_like()? * max)?, &ys),
            None => Ok(ys),
        }
    }
}

/// Keras's `Rescaling`: x · scale + offset (`keras/src/layers/preprocessing/rescaling.py`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RescalingConfig {
    /// The factor.
    pub scale: f64,
    /// What is added.
    #[serde(default)]
    pub offset: f64,
}

impl RescalingConfig {
    /// Any shape, the same out.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        xs.affine(self.scale, self.offset)
    }
}

/// Keras's `ELU`: x for x > 0, else `alpha` (eˣ - 1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EluConfig {
    /// The scale below 0.
    pub alpha: f64,
}

impl Default for EluConfig {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

impl EluConfig {
    /// Any shape, the same out.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        super::activation::elu(xs, self.alpha)
    }
}

/// Keras's `PReLU`: x for x > 0, else a learned slope times x.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PReluConfig {
    /// Axes, counted from 1 after the batch, along which the slope is the same.
    pub shared_axes: Option<Vec<usize>>,
}

impl PReluConfig {
    /// alpha, in the shape of the input without the batch, 1 along the shared axes.
    pub(crate) fn variables(&self, input: &[Option<usize>]) -> std::result::Result<Vec<Variable>, String> {
        let shared = self.shared_axes.as_deref().unwrap_or_default();
        for &axis in shared {
            if axis == 0 || axis_index(axis as i64, input.len()).is_err() {
                return Err(format!("shared_axes {shared:?} must be axes of the input after the batch"));
            }
        }
        let size = |(axis, size): (usize, &Option<usize>)| {
            if shared.contains(&axis) { Some(1) } else { *size }
        };
        let shape: Option<Vec<usize>> = input.iter().enumerate().skip(1).map(size).collect();
        let shape = shape.ok_or("every axis of its input that is not shared must be known")?;
        Ok(vec![Variable::new("alpha", shape, Initializer::Zeros)])
    }
}

/// The layer of a [`PReluConfig`].
#[derive(Clone, Debug)]
pub(crate) struct PRelu {
    alpha: Tensor,
}

impl PRelu {
    pub fn new(variables: &[Variable], vb: &VarBuilder) -> Result<Self> {
        match variables.first() {
            Some(alpha) => Ok(Self { alpha: alpha.get(vb)? }),
            None => bail!("layer {}: alpha is needed", vb.prefix()),
        }
    }

    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        // relu(x) - alpha relu(-x), both with slope 0 at 0.
        let zeros = xs.zeros_like()?;
        let above = xs.le(0.0)?.where_cond(&zeros, xs)?;
        let below = xs.ge(0.0)?.where_cond(&zeros, xs)?;
        above + below.broadcast_mul(&self.alpha)?
    }
}

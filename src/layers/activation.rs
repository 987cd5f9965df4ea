//! Keras's activations (`keras/src/activations/activations.py`), by name.

use super::strand::{Back, Strand, fused};
use crate::Error;
use candle_core::{D, Result, Tensor};
use candle_recurrent_kernel::{self as kernel, elementwise};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

macro_rules! activations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $(| $alias:literal)*,)*) => {
        /// An activation; configurations give it by Keras's name.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[non_exhaustive]
        pub enum Activation { $($(#[$doc])* $variant,)* }

        impl Activation {
            /// Every activation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Keras's name for it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            fn from_name(name: &str) -> Option<Self> {
                match name { $($name $(| $alias)* => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

activations! {
    /// x
    #[default]
    Linear = "linear",
    /// tanh x
    Tanh = "tanh",
    /// 1 / (1 + e⁻ˣ)
    Sigmoid = "sigmoid",
    /// relu6(x + 3) / 6, as in Keras 3
    HardSigmoid = "hard_sigmoid",
    /// clip(0.2 x + 0.5, 0, 1): what Keras 1 and 2 called `hard_sigmoid`
    HardSigmoidKeras2 = "hard_sigmoid_keras2",
    /// max(x, 0)
    Relu = "relu",
    /// min(max(x, 0), 6)
    Relu6 = "relu6",
    /// x for x > 0, else 0.2 x
    LeakyRelu = "leaky_relu",
    /// x for x > 0, else eˣ - 1
    Elu = "elu",
    /// Elu, scaled so that it normalises itself (Klambauer et al. 2017)
    Selu = "selu",
    /// Exponentials over the last axis, divided by their sum
    Softmax = "softmax",
    /// The logarithm of softmax
    LogSoftmax = "log_softmax",
    /// log(1 + eˣ)
    Softplus = "softplus",
    /// x / (1 + |x|)
    Softsign = "softsign",
    /// x · sigmoid(x)
    Silu = "silu" | "swish",
    /// x · relu6(x + 3) / 6
    HardSilu = "hard_silu" | "hard_swish",
    /// x · Φ(x), exact
    Gelu = "gelu",
    /// x · tanh(softplus x)
    Mish = "mish",
    /// eˣ
    Exponential = "exponential" | "exp",
}

pub(crate) const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
pub(crate) const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

impl Activation {
    /// Applies it to each element (softmax: over the last axis). Same shape.
    pub fn forward(self, xs: &Tensor) -> Result<Tensor> {
        Ok(self.over(&xs.clone().into())?.tensor().clone())
    }

    /// The same for an op of this crate.
    pub(crate) fn over(self, xs: &Strand) -> Result<Strand> {
        if self == Self::Linear {
            return Ok(xs.clone());
        }
        if !xs.fuses() || xs.tensor().rank() == 0 {
            return self.by_tensors(xs.tensor()).map(Strand::from);
        }
        match self.kernel() {
            Some(activation) => activate(activation, xs),
            None => softmax(xs, self == Self::LogSoftmax),
        }
    }

    fn by_tensors(self, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Linear => Ok(xs.clone()),
            Self::Tanh => xs.tanh(),
            Self::Sigmoid => candle_nn::ops::sigmoid(xs),
            Self::HardSigmoid => (relu6(&(xs + 3.0)?)? / 6.0)?.to_dtype(xs.dtype()),
            Self::HardSigmoidKeras2 => clip(&xs.affine(0.2, 0.5)?, 1.0),
            Self::Relu => relu(xs),
            Self::Relu6 => relu6(xs),
            Self::LeakyRelu => piecewise(xs, xs, &(xs * 0.2)?),
            Self::Elu => elu(xs, 1.0),
            Self::Selu => elu(xs, SELU_ALPHA)? * SELU_SCALE,
            Self::Softmax => log_softmax(xs)?.exp(),
            Self::LogSoftmax => log_softmax(xs),
            Self::Softplus => softplus(xs),
            Self::Softsign => xs / (xs.abs()? + 1.0)?,
            Self::Silu => xs * candle_nn::ops::sigmoid(xs)?,
            Self::HardSilu => xs * (relu6(&(xs + 3.0)?)? / 6.0)?,
            Self::Gelu => xs.gelu_erf(),
            Self::Mish => xs * softplus(xs)?.tanh()?,
            Self::Exponential => xs.exp(),
        }
    }

    /// The kernels' form of it, if it works on each element by itself.
    pub(crate) fn kernel(self) -> Option<kernel::Activation> {
        Some(match self {
            Self::Linear => kernel::Activation::Linear,
            Self::Tanh => kernel::Activation::Tanh,
            Self::Sigmoid => kernel::Activation::Sigmoid,
            Self::HardSigmoid => kernel::Activation::HardSigmoid { slope: 1.0 / 6.0 },
            Self::HardSigmoidKeras2 => kernel::Activation::HardSigmoid { slope: 0.2 },
            Self::Relu => kernel::Activation::Relu,
            Self::Relu6 => kernel::Activation::Relu6,
            Self::Elu => kernel::Activation::Elu { alpha: 1.0, scale: 1.0 },
            Self::Selu => kernel::Activation::Elu { alpha: SELU_ALPHA as f32, scale: SELU_SCALE as f32 },
            Self::Softplus => kernel::Activation::Softplus,
            Self::Softsign => kernel::Activation::Softsign,
            Self::Exponential => kernel::Activation::Exponential,
            Self::LeakyRelu => kernel::Activation::LeakyRelu { slope: 0.2 },
            Self::Silu => kernel::Activation::Silu,
            Self::HardSilu => kernel::Activation::HardSilu,
            Self::Gelu => kernel::Activation::Gelu,
            Self::Mish => kernel::Activation::Mish,
            Self::Softmax | Self::LogSoftmax => return None,
        })
    }
}

/// An activation of each element, in one pass.
pub(crate) fn activate(activation: kernel::Activation, xs: &Strand) -> Result<Strand> {
    fused(
        "activation",
        [xs],
        xs.tensor().shape(),
        |[x], out| elementwise::activate(activation, x, out),
        move |Back { x: [x], y, mut d, .. }: Back<'_, 1>| {
            elementwise::activate_back(activation, x, y, &mut d);
            [d]
        },
    )
}

/// Softmax over the last axis, or its logarithm.
pub(crate) fn softmax(xs: &Strand, logarithm: bool) -> Result<Strand> {
    let width = xs.tensor().dim(D::Minus1)?;
    fused(
        "softmax",
        [xs],
        xs.tensor().shape(),
        |[x], out| elementwise::softmax(width, logarithm, x, out),
        move |Back { y, mut d, .. }: Back<'_, 1>| {
            elementwise::softmax_back(width, logarithm, y, &mut d);
            [d]
        },
    )
}

/// `above` where xs > 0, else `below`.
fn piecewise(xs: &Tensor, above: &Tensor, below: &Tensor) -> Result<Tensor> {
    xs.gt(0.0)?.where_cond(above, below)
}

/// x for x ≥ 0, else alpha (eˣ - 1); the slope at 0 is 1.
pub(crate) fn elu(xs: &Tensor, alpha: f64) -> Result<Tensor> {
    let positive = xs.ge(0.0)?;
    // The side not chosen must not overflow: infinity times the gradient 0 is NaN.
    let negative = positive.where_cond(&xs.zeros_like()?, xs)?;
    positive.where_cond(xs, &((negative.exp()? - 1.0)? * alpha)?)
}

/// max(x, 0), with slope 0 at 0; NaN of NaN, as in Keras.
fn relu(xs: &Tensor) -> Result<Tensor> {
    xs.le(0.0)?.where_cond(&xs.zeros_like()?, xs)
}

/// clip(x, 0, upper), with gradient 0 at and beyond both ends; NaN of NaN.
fn clip(xs: &Tensor, upper: f64) -> Result<Tensor> {
    let inside = relu(xs)?;
    inside.ge(upper)?.where_cond(&(xs.ones_like()? * upper)?, &inside)
}

fn relu6(xs: &Tensor) -> Result<Tensor> {
    clip(xs, 6.0)
}

fn softplus(xs: &Tensor) -> Result<Tensor> {
    // max(x, 0) + log(1 + e), e = e^-|x|: what rounding takes from 1 + e is given back, so that a small e counts.
    let e = xs.abs()?.neg()?.exp()?;
    let sum = (&e + 1.0)?;
    let lost = ((&sum - 1.0)? - e)?;
    xs.relu()? + (sum.log()? - (lost / sum)?)?
}

fn log_softmax(xs: &Tensor) -> Result<Tensor> {
    candle_nn::ops::log_softmax(xs, D::Minus1)
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> crate::Result<Self> {
        Self::from_name(name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|a| a.name()).collect();
            let nearest = crate::error::nearest(name, names.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| format!("known are {}", names.join(", ")));
            Error::argument("activation", format!("`{name}` is unknown; {nearest}"))
        })
    }
}

impl TryFrom<String> for Activation {
    type Error = Error;
    fn try_from(name: String) -> crate::Result<Self> {
        name.parse()
    }
}

impl From<Activation> for String {
    fn from(activation: Activation) -> Self {
        activation.name().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// Far below 0 it is eˣ, in value and slope, and not 0.
    #[test]
    fn softplus_keeps_what_is_small() -> Result<()> {
        let xs = Var::new(&[-30f32, -18.0, -5.0, -0.5, 0.5, 20.0], &Device::Cpu)?;
        let ys = Activation::Softplus.forward(&xs)?;
        let slopes = ys.sum_all()?.backward()?.remove(&xs);
        let slopes = slopes.map(|slopes| slopes.to_vec1::<f32>()).transpose()?.unwrap_or_default();
        for ((x, y), slope) in xs.to_vec1::<f32>()?.into_iter().zip(ys.to_vec1::<f32>()?).zip(slopes) {
            let exact = f64::from(x).exp().ln_1p();
            assert!((f64::from(y) / exact - 1.0).abs() < 1e-6, "softplus({x}) is {y}, not {exact}");
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!(
                (f64::from(slope) / exact - 1.0).abs() < 1e-6,
                "the slope at {x} is {slope}, not {exact}"
            );
        }
        Ok(())
    }
}

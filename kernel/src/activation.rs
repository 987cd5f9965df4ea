//! The activations that the kernels know: all that work on each element by itself.

use super::math;
use pulp::{Simd, bytemuck};

/// An activation of each element by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// x
    Linear,
    /// tanh x
    Tanh,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// clip(slope · x + 0.5, 0, 1); the slope is 1/6 in Keras 3 and 0.2 in Keras 1 and 2.
    HardSigmoid {
        /// The slope at 0.
        slope: f32,
    },
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// x for x > 0, else `scale · alpha · (eˣ - 1)`, all times `scale`; ELU has scale and alpha 1.
    Elu {
        /// The limit for x → -∞ before scaling.
        alpha: f32,
        /// The factor on everything.
        scale: f32,
    },
    /// eˣ
    Exponential,
    /// log(1 + eˣ)
    Softplus,
    /// x / (1 + |x|)
    Softsign,
    /// x for x > 0, else 0.2 x
    LeakyRelu,
    /// x / (1 + e⁻ˣ)
    Silu,
    /// x · clip(x / 6 + 0.5, 0, 1)
    HardSilu,
    /// x · Φ(x), exact
    Gelu,
    /// x · tanh(log(1 + eˣ))
    Mish,
}

/// A cell's two activations, and what its slots keep of them for the way back.
pub(super) trait Functions: Copy {
    /// The activation (of the candidate, and of c in an LSTM).
    fn squash<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M];

    /// The recurrent activation (of the gates).
    fn gate<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M];

    /// What is kept: what went in or what came out.
    fn keep<V>(self, xs: V, ys: V) -> V;

    /// The value and the slope of the activation, from what was kept.
    fn squash_back<S: Simd>(self, simd: S, kept: S::f32s) -> (S::f32s, S::f32s);

    /// The same of the recurrent activation.
    fn gate_back<S: Simd>(self, simd: S, kept: S::f32s) -> (S::f32s, S::f32s);
}

/// tanh and sigmoid. The values are kept: the slopes follow from them.
#[derive(Clone, Copy)]
pub(super) struct Usual;

impl Functions for Usual {
    #[inline(always)]
    fn squash<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M] {
        math::tanh(simd, xs)
    }

    #[inline(always)]
    fn gate<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M] {
        math::sigmoid(simd, xs)
    }

    #[inline(always)]
    fn keep<V>(self, _: V, ys: V) -> V {
        ys
    }

    #[inline(always)]
    fn squash_back<S: Simd>(self, simd: S, y: S::f32s) -> (S::f32s, S::f32s) {
        (y, simd.sub_f32s(simd.splat_f32s(1.0), simd.mul_f32s(y, y)))
    }

    #[inline(always)]
    fn gate_back<S: Simd>(self, simd: S, y: S::f32s) -> (S::f32s, S::f32s) {
        (y, simd.mul_f32s(y, simd.sub_f32s(simd.splat_f32s(1.0), y)))
    }
}

/// Any activation, any recurrent activation. What went in is kept, and the values are computed again.
#[derive(Clone, Copy)]
pub(super) struct Any(pub Activation, pub Activation);

impl Functions for Any {
    #[inline(always)]
    fn squash<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M] {
        self.0.values(simd, xs)
    }

    #[inline(always)]
    fn gate<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M] {
        self.1.values(simd, xs)
    }

    #[inline(always)]
    fn keep<V>(self, xs: V, _: V) -> V {
        xs
    }

    #[inline(always)]
    fn squash_back<S: Simd>(self, simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        self.0.value_and_slope(simd, x)
    }

    #[inline(always)]
    fn gate_back<S: Simd>(self, simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        self.1.value_and_slope(simd, x)
    }
}

impl Activation {
    #[inline(always)]
    fn values<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M] {
        match self {
            Self::Tanh => math::tanh(simd, xs),
            Self::Sigmoid => math::sigmoid(simd, xs),
            _ => {
                let mut ys = xs;
                for m in 0..M {
                    ys[m] = self.value(simd, xs[m]);
                }
                ys
            }
        }
    }

    /// What it makes of `x`; NaN of NaN.
    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        match self {
            Self::Linear => x,
            Self::Tanh => math::tanh(simd, [x])[0],
            Self::Sigmoid => math::sigmoid(simd, [x])[0],
            Self::HardSigmoid { slope } => {
                let y = simd.mul_add_e_f32s(x, simd.splat_f32s(slope), simd.splat_f32s(0.5));
                let clipped = simd.min_f32s(simd.max_f32s(y, zero), one);
                math::select(simd, simd.equal_f32s(y, y), clipped, y)
            }
            // `select` rather than `max`, so that NaN stays NaN.
            Self::Relu => math::select(simd, simd.less_than_f32s(x, zero), zero, x),
            Self::Relu6 => {
                let six = simd.splat_f32s(6.0);
                let y = math::select(simd, simd.less_than_f32s(x, zero), zero, x);
                math::select(simd, simd.greater_than_f32s(y, six), six, y)
            }
            Self::Elu { alpha, scale } => {
                let below =
                    simd.mul_f32s(simd.sub_f32s(math::exp(simd, x), one), simd.splat_f32s(scale * alpha));
                let above = simd.mul_f32s(x, simd.splat_f32s(scale));
                math::select(simd, simd.greater_than_f32s(x, zero), above, below)
            }
            Self::Exponential => math::exp(simd, x),
            Self::Softplus => softplus(simd, x),
            Self::Softsign => simd.div_f32s(x, simd.add_f32s(one, math::abs(simd, x))),
            Self::LeakyRelu => {
                let below = simd.mul_f32s(x, simd.splat_f32s(LEAK));
                math::select(simd, simd.greater_than_f32s(x, zero), x, below)
            }
            Self::Silu => simd.mul_f32s(x, math::sigmoid(simd, [x])[0]),
            Self::HardSilu => simd.mul_f32s(x, Self::SIXTHS.value(simd, x)),
            Self::Gelu => simd.mul_f32s(x, normal_distribution(simd, x)),
            Self::Mish => simd.mul_f32s(x, math::tanh(simd, [softplus(simd, x)])[0]),
        }
    }

    const SIXTHS: Self = Self::HardSigmoid { slope: 1.0 / 6.0 };

    /// The value, and the derivative there.
    #[inline(always)]
    fn value_and_slope<S: Simd>(self, simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let y = self.value(simd, x);
        let slope = match self {
            Self::Linear => one,
            Self::Tanh => simd.sub_f32s(one, simd.mul_f32s(y, y)),
            Self::Sigmoid => simd.mul_f32s(y, simd.sub_f32s(one, y)),
            Self::HardSigmoid { slope } => inside(simd, y, 1.0, slope),
            Self::Relu => inside(simd, y, f32::INFINITY, 1.0),
            Self::Relu6 => inside(simd, y, 6.0, 1.0),
            Self::Elu { alpha, scale } => math::select(
                simd,
                simd.greater_than_or_equal_f32s(y, zero),
                simd.splat_f32s(scale),
                simd.add_f32s(y, simd.splat_f32s(scale * alpha)),
            ),
            Self::Exponential => y,
            Self::Softplus => math::sigmoid(simd, [x])[0],
            Self::Softsign => {
                let d = simd.sub_f32s(one, math::abs(simd, y));
                simd.mul_f32s(d, d)
            }
            Self::LeakyRelu => {
                math::select(simd, simd.greater_than_f32s(x, zero), one, simd.splat_f32s(LEAK))
            }
            Self::Silu => {
                let s = math::sigmoid(simd, [x])[0];
                simd.mul_add_e_f32s(y, simd.sub_f32s(one, s), s)
            }
            Self::HardSilu => {
                let (s, slope) = (Self::SIXTHS.value(simd, x), 1.0 / 6.0);
                simd.mul_add_e_f32s(x, inside(simd, s, 1.0, slope), s)
            }
            Self::Gelu => {
                let half = simd.splat_f32s(-0.5);
                let density = math::exp(simd, simd.mul_f32s(simd.mul_f32s(x, x), half));
                let density = simd.mul_f32s(density, simd.splat_f32s(NORMAL_DENSITY_AT_0));
                simd.mul_add_e_f32s(x, density, normal_distribution(simd, x))
            }
            Self::Mish => {
                let t = math::tanh(simd, [softplus(simd, x)])[0];
                let s = math::sigmoid(simd, [x])[0];
                let inner = simd.mul_f32s(simd.sub_f32s(one, simd.mul_f32s(t, t)), s);
                simd.mul_add_e_f32s(x, inner, t)
            }
        };
        (y, slope)
    }
}

const LEAK: f32 = 0.2;
/// 1 / √(2π)
const NORMAL_DENSITY_AT_0: f32 = 0.398_942_3;

/// log(1 + eˣ)
#[inline(always)]
fn softplus<S: Simd>(_: S, x: S::f32s) -> S::f32s {
    let mut vector = [x];
    let lanes: &mut [f32] = bytemuck::cast_slice_mut(&mut vector);
    for x in lanes {
        *x = x.max(0.0) + libm::log1pf(libm::expf(-x.abs()));
    }
    vector[0]
}

/// Φ(x), the probability that a standard normal variable is at most x.
#[inline(always)]
fn normal_distribution<S: Simd>(_: S, x: S::f32s) -> S::f32s {
    let mut vector = [x];
    let lanes: &mut [f32] = bytemuck::cast_slice_mut(&mut vector);
    for x in lanes {
        *x = 0.5 * libm::erfcf(-*x * std::f32::consts::FRAC_1_SQRT_2);
    }
    vector[0]
}

/// `slope` where 0 < y < `upper`, else 0.
#[inline(always)]
fn inside<S: Simd>(simd: S, y: S::f32s, upper: f32, slope: f32) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    let below = simd.less_than_f32s(y, simd.splat_f32s(upper));
    let within = math::select(simd, below, simd.splat_f32s(slope), zero);
    math::select(simd, simd.greater_than_f32s(y, zero), within, zero)
}

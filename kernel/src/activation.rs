//! The activations that the kernels know: all that work on each element by itself.

use crate::isa::outline;
use crate::math;
use pulp::{Simd, WithSimd, bytemuck};

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
pub(crate) trait Functions: Copy {
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
pub(crate) struct Usual;

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
pub(crate) struct Any(pub Activation, pub Activation);

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

// The activations that are more than a few operations are functions of their own, compiled once for each instruction
// set: inlined into every cell they took half of the compiler's time, and no longer stayed in registers.

/// Turns pre-activations, `M` vectors at a time, into their values.
struct Values<'a, const M: usize>(Activation, &'a mut [f32]);

impl<const M: usize> WithSimd for Values<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for xs in pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(self.1).0).0 {
            *xs = match self.0 {
                Activation::Tanh => math::tanh(simd, *xs),
                Activation::Sigmoid => math::sigmoid(simd, *xs),
                other => {
                    let mut ys = *xs;
                    for m in 0..M {
                        ys[m] = other.composed(simd, xs[m]).0;
                    }
                    ys
                }
            };
        }
    }
}

/// Turns a vector of pre-activations, given twice, into the values and the slopes.
struct ValueAndSlope<'a>(Activation, &'a mut [f32]);

impl WithSimd for ValueAndSlope<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for xs in pulp::as_arrays_mut::<2, _>(S::as_mut_simd_f32s(self.1).0).0 {
            let (value, slope) = self.0.composed(simd, xs[0]);
            *xs = [value, slope];
        }
    }
}

impl Activation {
    /// The values of `M` vectors.
    #[inline(always)]
    fn values<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M] {
        let mut ys = xs;
        if self.is_simple() {
            for m in 0..M {
                ys[m] = self.simple(simd, xs[m]).0;
            }
        } else {
            outline(simd, Values::<M>(self, bytemuck::cast_slice_mut(&mut ys)));
        }
        ys
    }

    /// The value, and the derivative there.
    #[inline(always)]
    fn value_and_slope<S: Simd>(self, simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        if self.is_simple() {
            return self.simple(simd, x);
        }
        let mut both = [x; 2];
        outline(simd, ValueAndSlope(self, bytemuck::cast_slice_mut(&mut both)));
        (both[0], both[1])
    }

    /// Whether it is a few operations: those stay within the cell.
    #[inline(always)]
    fn is_simple(self) -> bool {
        match self {
            Self::Linear | Self::HardSigmoid { .. } | Self::Relu | Self::Relu6 => true,
            Self::Softsign | Self::LeakyRelu => true,
            Self::Tanh | Self::Sigmoid | Self::Elu { .. } | Self::Exponential | Self::Softplus => false,
            Self::Silu | Self::HardSilu | Self::Gelu | Self::Mish => false,
        }
    }

    /// The value and the slope of a simple one; NaN of NaN.
    #[inline(always)]
    fn simple<S: Simd>(self, simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        match self {
            Self::HardSigmoid { slope } => {
                let y = simd.mul_add_f32s(x, simd.splat_f32s(slope), simd.splat_f32s(0.5));
                let clipped = simd.min_f32s(simd.max_f32s(y, zero), one);
                let y = math::select(simd, simd.equal_f32s(y, y), clipped, y);
                (y, inside(simd, y, 1.0, slope))
            }
            // `select` rather than `max`, so that NaN stays NaN.
            Self::Relu => {
                let y = math::select(simd, simd.less_than_f32s(x, zero), zero, x);
                (y, inside(simd, y, f32::INFINITY, 1.0))
            }
            Self::Relu6 => {
                let six = simd.splat_f32s(6.0);
                let y = math::select(simd, simd.less_than_f32s(x, zero), zero, x);
                let y = math::select(simd, simd.greater_than_f32s(y, six), six, y);
                (y, inside(simd, y, 6.0, 1.0))
            }
            Self::Softsign => {
                let y = simd.div_f32s(x, simd.add_f32s(one, math::abs(simd, x)));
                let d = simd.sub_f32s(one, math::abs(simd, y));
                (y, simd.mul_f32s(d, d))
            }
            Self::LeakyRelu => {
                let below = simd.mul_f32s(x, simd.splat_f32s(LEAK));
                let positive = simd.greater_than_f32s(x, zero);
                (
                    math::select(simd, positive, x, below),
                    math::select(simd, positive, one, simd.splat_f32s(LEAK)),
                )
            }
            // `Linear`; the others are not simple.
            _ => (x, one),
        }
    }

    /// The value and the slope of one that is not simple; NaN of NaN.
    #[inline(always)]
    fn composed<S: Simd>(self, simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        match self {
            Self::Tanh => {
                let y = math::tanh(simd, [x])[0];
                (y, simd.sub_f32s(one, simd.mul_f32s(y, y)))
            }
            Self::Sigmoid => {
                let y = math::sigmoid(simd, [x])[0];
                (y, simd.mul_f32s(y, simd.sub_f32s(one, y)))
            }
            Self::Elu { alpha, scale } => {
                let below =
                    simd.mul_f32s(simd.sub_f32s(math::exp(simd, x), one), simd.splat_f32s(scale * alpha));
                let above = simd.mul_f32s(x, simd.splat_f32s(scale));
                let y = math::select(simd, simd.greater_than_f32s(x, zero), above, below);
                let slope = math::select(
                    simd,
                    simd.greater_than_or_equal_f32s(y, zero),
                    simd.splat_f32s(scale),
                    simd.add_f32s(y, simd.splat_f32s(scale * alpha)),
                );
                (y, slope)
            }
            Self::Exponential => {
                let y = math::exp(simd, x);
                (y, y)
            }
            Self::Softplus => (softplus(simd, x), math::sigmoid(simd, [x])[0]),
            Self::Silu => {
                let s = math::sigmoid(simd, [x])[0];
                let y = simd.mul_f32s(x, s);
                (y, simd.mul_add_f32s(y, simd.sub_f32s(one, s), s))
            }
            Self::HardSilu => {
                let (s, slope) = Self::HardSigmoid { slope: 1.0 / 6.0 }.simple(simd, x);
                (simd.mul_f32s(x, s), simd.mul_add_f32s(x, slope, s))
            }
            Self::Gelu => {
                let half = simd.splat_f32s(-0.5);
                let density = math::exp(simd, simd.mul_f32s(simd.mul_f32s(x, x), half));
                let density = simd.mul_f32s(density, simd.splat_f32s(NORMAL_DENSITY_AT_0));
                let below = normal_distribution(simd, x);
                (simd.mul_f32s(x, below), simd.mul_add_f32s(x, density, below))
            }
            Self::Mish => {
                let t = math::tanh(simd, [softplus(simd, x)])[0];
                let s = math::sigmoid(simd, [x])[0];
                let inner = simd.mul_f32s(simd.sub_f32s(one, simd.mul_f32s(t, t)), s);
                (simd.mul_f32s(x, t), simd.mul_add_f32s(x, inner, t))
            }
            _ => self.simple(simd, x),
        }
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

//! The activations that the kernels know: those whose derivative follows from their own value.

use super::isa::outline;
use super::math;
use pulp::{Simd, WithSimd, bytemuck};

/// An activation whose derivative is a function of its output.
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
}

/// Vectors whose sigmoid or tanh is taken at a time.
const SIDE_BY_SIDE: usize = 4;

impl Activation {
    /// Replaces each value by its activation.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(self, simd: S, values: &mut [S::f32s]) {
        outline(simd, Apply { activation: self, values: bytemuck::cast_slice_mut(values) });
    }

    #[inline(always)]
    fn apply_here<S: Simd>(self, simd: S, values: &mut [S::f32s]) {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        match self {
            Self::Linear => {}
            Self::Tanh => {
                let (several, rest) = pulp::as_arrays_mut::<SIDE_BY_SIDE, _>(values);
                for vs in several {
                    *vs = math::tanh(simd, *vs);
                }
                for v in rest {
                    [*v] = math::tanh(simd, [*v]);
                }
            }
            Self::Sigmoid => {
                let (several, rest) = pulp::as_arrays_mut::<SIDE_BY_SIDE, _>(values);
                for vs in several {
                    *vs = math::sigmoid(simd, *vs);
                }
                for v in rest {
                    [*v] = math::sigmoid(simd, [*v]);
                }
            }
            Self::HardSigmoid { slope } => {
                let (slope, half) = (simd.splat_f32s(slope), simd.splat_f32s(0.5));
                for v in values {
                    let y = simd.mul_add_e_f32s(*v, slope, half);
                    let clipped = simd.min_f32s(simd.max_f32s(y, zero), one);
                    *v = math::select(simd, simd.equal_f32s(y, y), clipped, y);
                }
            }
            // `select` rather than `max`, so that NaN stays NaN.
            Self::Relu => {
                for v in values {
                    *v = math::select(simd, simd.less_than_f32s(*v, zero), zero, *v);
                }
            }
            Self::Relu6 => {
                let six = simd.splat_f32s(6.0);
                for v in values {
                    let y = math::select(simd, simd.less_than_f32s(*v, zero), zero, *v);
                    *v = math::select(simd, simd.greater_than_f32s(y, six), six, y);
                }
            }
            Self::Elu { alpha, scale } => {
                let (negative, positive) = (simd.splat_f32s(scale * alpha), simd.splat_f32s(scale));
                for v in values {
                    let below = simd.mul_f32s(simd.sub_f32s(math::exp(simd, *v), one), negative);
                    let above = simd.mul_f32s(*v, positive);
                    *v = math::select(simd, simd.greater_than_f32s(*v, zero), above, below);
                }
            }
            Self::Exponential => {
                for v in values {
                    *v = math::exp(simd, *v);
                }
            }
            Self::Softplus => {
                for v in values {
                    let lanes: &mut [f32] = bytemuck::cast_slice_mut(std::slice::from_mut(v));
                    for x in lanes {
                        *x = x.max(0.0) + libm::log1pf(libm::expf(-x.abs()));
                    }
                }
            }
            Self::Softsign => {
                for v in values {
                    *v = simd.div_f32s(*v, simd.add_f32s(one, math::abs(simd, *v)));
                }
            }
        }
    }

    /// Writes the derivative at the points where the activation took the values `ys`.
    #[inline(always)]
    pub(super) fn derivatives<S: Simd>(self, simd: S, ys: &[S::f32s], into: &mut [S::f32s]) {
        let (ys, into) = (bytemuck::cast_slice(ys), bytemuck::cast_slice_mut(into));
        outline(simd, Derivatives { activation: self, ys, into });
    }

    /// The derivative at the point where the activation took the value `y`.
    #[inline(always)]
    pub(super) fn derivative<S: Simd>(self, simd: S, y: S::f32s) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        match self {
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
            Self::Softplus => simd.sub_f32s(one, math::exp(simd, simd.sub_f32s(zero, y))),
            Self::Softsign => {
                let d = simd.sub_f32s(one, math::abs(simd, y));
                simd.mul_f32s(d, d)
            }
        }
    }
}

/// [`Activation::apply`] as a function of its own: it is called from many places.
struct Apply<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.activation.apply_here(simd, S::as_mut_simd_f32s(self.values).0);
    }
}

/// [`Activation::derivatives`] as a function of its own.
struct Derivatives<'a> {
    activation: Activation,
    ys: &'a [f32],
    into: &'a mut [f32],
}

impl WithSimd for Derivatives<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ys = S::as_simd_f32s(self.ys).0;
        let into = S::as_mut_simd_f32s(self.into).0;
        for k in 0..ys.len() {
            into[k] = self.activation.derivative(simd, ys[k]);
        }
    }
}

/// `slope` where 0 < y < `upper`, else 0.
#[inline(always)]
fn inside<S: Simd>(simd: S, y: S::f32s, upper: f32, slope: f32) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    let below = simd.less_than_f32s(y, simd.splat_f32s(upper));
    let within = math::select(simd, below, simd.splat_f32s(slope), zero);
    math::select(simd, simd.greater_than_f32s(y, zero), within, zero)
}

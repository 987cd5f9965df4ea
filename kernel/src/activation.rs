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
    /// x for x > 0, else slope · x
    LeakyRelu {
        /// 0.2 where Keras's activation of that name is meant.
        slope: f32,
    },
    /// x / (1 + e⁻ˣ)
    Silu,
    /// x · clip(x / 6 + 0.5, 0, 1)
    HardSilu,
    /// x · Φ(x), exact
    Gelu,
    /// x · tanh(log(1 + eˣ))
    Mish,
}

/// What an activation is to the kernels: its values, and the slopes there, for `M` vectors side by side.
pub(crate) trait Elementwise: Copy + Send + Sync {
    /// The values; NaN of NaN.
    fn values<S: Simd, const M: usize>(self, simd: S, x: [S::f32s; M]) -> [S::f32s; M];

    /// The slopes at `x`, where the values are `y`.
    fn slopes<S: Simd, const M: usize>(self, simd: S, x: [S::f32s; M], y: [S::f32s; M]) -> [S::f32s; M];
}

/// Runs `$body` with `$f` an activation of its own type, so that what `$body` calls is compiled for each by itself.
macro_rules! with_function {
    ($activation:expr, $f:ident => $body:expr) => {{
        use $crate::activation as functions;
        match $activation {
            $crate::activation::Activation::Linear => {
                let $f = functions::Linear {};
                $body
            }
            $crate::activation::Activation::Tanh => {
                let $f = functions::Tanh;
                $body
            }
            $crate::activation::Activation::Sigmoid => {
                let $f = functions::Sigmoid;
                $body
            }
            $crate::activation::Activation::HardSigmoid { slope } => {
                let $f = functions::HardSigmoid { slope };
                $body
            }
            $crate::activation::Activation::Relu => {
                let $f = functions::Relu {};
                $body
            }
            $crate::activation::Activation::Relu6 => {
                let $f = functions::Relu6 {};
                $body
            }
            $crate::activation::Activation::Elu { alpha, scale } => {
                let $f = functions::Elu { alpha, scale };
                $body
            }
            $crate::activation::Activation::Exponential => {
                let $f = functions::Exponential {};
                $body
            }
            $crate::activation::Activation::Softplus => {
                let $f = functions::Softplus {};
                $body
            }
            $crate::activation::Activation::Softsign => {
                let $f = functions::Softsign {};
                $body
            }
            $crate::activation::Activation::LeakyRelu { slope } => {
                let $f = functions::LeakyRelu { slope };
                $body
            }
            $crate::activation::Activation::Silu => {
                let $f = functions::Silu {};
                $body
            }
            $crate::activation::Activation::HardSilu => {
                let $f = functions::HardSilu {};
                $body
            }
            $crate::activation::Activation::Gelu => {
                let $f = functions::Gelu {};
                $body
            }
            $crate::activation::Activation::Mish => {
                let $f = functions::Mish {};
                $body
            }
        }
    }};
}

pub(crate) use with_function;

/// A cell's two activations, and what its slots keep of them for the way back.
pub(crate) trait Functions: Copy {
    /// What was kept of `M` vectors, made ready for [`at`](Self::at).
    type Opened<S: Simd, const M: usize>: Copy;

    /// The activation (of the candidate, and of c in an LSTM).
    fn squash<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M];

    /// The recurrent activation (of the gates).
    fn gate<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M];

    /// What is kept: what went in or what came out.
    fn keep<V>(self, xs: V, ys: V) -> V;

    /// What was kept of the activation, for the way back.
    fn open_squash<S: Simd, const M: usize>(self, simd: S, kept: [S::f32s; M]) -> Self::Opened<S, M>;

    /// What was kept of the recurrent activation, for the way back.
    fn open_gate<S: Simd, const M: usize>(self, simd: S, kept: [S::f32s; M]) -> Self::Opened<S, M>;

    /// The value and the slope of the activation, in vector `m` of what was opened.
    fn squash_at<S: Simd, const M: usize>(
        self,
        simd: S,
        opened: &Self::Opened<S, M>,
        m: usize,
    ) -> (S::f32s, S::f32s);

    /// The same of the recurrent activation.
    fn gate_at<S: Simd, const M: usize>(
        self,
        simd: S,
        opened: &Self::Opened<S, M>,
        m: usize,
    ) -> (S::f32s, S::f32s);
}

/// tanh and sigmoid. The values are kept: the slopes follow from them.
#[derive(Clone, Copy)]
pub(crate) struct Usual;

impl Functions for Usual {
    type Opened<S: Simd, const M: usize> = [S::f32s; M];

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
    fn open_squash<S: Simd, const M: usize>(self, _: S, ys: [S::f32s; M]) -> [S::f32s; M] {
        ys
    }

    #[inline(always)]
    fn open_gate<S: Simd, const M: usize>(self, _: S, ys: [S::f32s; M]) -> [S::f32s; M] {
        ys
    }

    #[inline(always)]
    fn squash_at<S: Simd, const M: usize>(self, simd: S, ys: &[S::f32s; M], m: usize) -> (S::f32s, S::f32s) {
        (ys[m], simd.sub_f32s(simd.splat_f32s(1.0), simd.mul_f32s(ys[m], ys[m])))
    }

    #[inline(always)]
    fn gate_at<S: Simd, const M: usize>(self, simd: S, ys: &[S::f32s; M], m: usize) -> (S::f32s, S::f32s) {
        (ys[m], simd.mul_f32s(ys[m], simd.sub_f32s(simd.splat_f32s(1.0), ys[m])))
    }
}

/// Any activation, any recurrent activation. What went in is kept, and the values are computed again.
#[derive(Clone, Copy)]
pub(crate) struct Any(pub Activation, pub Activation);

impl Functions for Any {
    type Opened<S: Simd, const M: usize> = [[S::f32s; M]; 2];

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
    fn open_squash<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [[S::f32s; M]; 2] {
        self.0.values_and_slopes(simd, xs)
    }

    #[inline(always)]
    fn open_gate<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [[S::f32s; M]; 2] {
        self.1.values_and_slopes(simd, xs)
    }

    #[inline(always)]
    fn squash_at<S: Simd, const M: usize>(
        self,
        _: S,
        opened: &[[S::f32s; M]; 2],
        m: usize,
    ) -> (S::f32s, S::f32s) {
        (opened[0][m], opened[1][m])
    }

    #[inline(always)]
    fn gate_at<S: Simd, const M: usize>(
        self,
        _: S,
        opened: &[[S::f32s; M]; 2],
        m: usize,
    ) -> (S::f32s, S::f32s) {
        (opened[0][m], opened[1][m])
    }
}

// Each activation is a function of its own, compiled once for each instruction set. Within one function for all of them
// the compiler has too much before it, and leaves single instructions out of line.

/// Turns pre-activations, `M` vectors at a time, into their values.
struct ValuesOf<'a, F, const M: usize>(F, &'a mut [f32]);

impl<F: Elementwise, const M: usize> WithSimd for ValuesOf<'_, F, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for xs in pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(self.1).0).0 {
            *xs = self.0.values(simd, *xs);
        }
    }
}

/// Turns `M` pre-activations, given twice, into the values and the slopes.
struct BothOf<'a, F, const M: usize>(F, &'a mut [f32]);

impl<F: Elementwise, const M: usize> WithSimd for BothOf<'_, F, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let tiles = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(self.1).0).0;
        let x = tiles[0];
        let y = self.0.values(simd, x);
        tiles[0] = y;
        tiles[1] = self.0.slopes(simd, x, y);
    }
}

/// The choice of the function, once for all of the places that ask for one.
struct Choose<'a, const M: usize, const BOTH: bool>(Activation, &'a mut [f32]);

impl<const M: usize, const BOTH: bool> WithSimd for Choose<'_, M, BOTH> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(activation, floats) = self;
        match BOTH {
            true => with_function!(activation, f => outline(simd, BothOf::<_, M>(f, floats))),
            false => with_function!(activation, f => outline(simd, ValuesOf::<_, M>(f, floats))),
        }
    }
}

impl Activation {
    /// The values of `M` vectors.
    #[inline(always)]
    fn values<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [S::f32s; M] {
        let mut ys = xs;
        outline(simd, Choose::<M, false>(self, bytemuck::cast_slice_mut(&mut ys)));
        ys
    }

    /// The values, and the derivatives there.
    #[inline(always)]
    fn values_and_slopes<S: Simd, const M: usize>(self, simd: S, xs: [S::f32s; M]) -> [[S::f32s; M]; 2] {
        let mut both = [xs; 2];
        let vectors: &mut [S::f32s] = both.as_flattened_mut();
        outline(simd, Choose::<M, true>(self, bytemuck::cast_slice_mut(vectors)));
        both
    }
}

/// Writes an activation: of each vector its value, and its slope given the value.
macro_rules! elementwise {
    ($($(#[$doc:meta])* $name:ident $({ $($field:ident),* })?,
        |$simd:ident, $x:ident| $value:expr, |$y:ident| $slope:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name { $($(pub $field: f32),*)? }

        impl Elementwise for $name {
            #[inline(always)]
            fn values<S: Simd, const M: usize>(self, $simd: S, x: [S::f32s; M]) -> [S::f32s; M] {
                $(let Self { $($field),* } = self;)?
                let mut ys = x;
                for m in 0..M {
                    let $x = x[m];
                    ys[m] = $value;
                }
                ys
            }

            #[inline(always)]
            fn slopes<S: Simd, const M: usize>(
                self,
                $simd: S,
                x: [S::f32s; M],
                y: [S::f32s; M],
            ) -> [S::f32s; M] {
                $(let Self { $($field),* } = self;)?
                let mut slopes = x;
                for m in 0..M {
                    let ($x, $y) = (x[m], y[m]);
                    let _ = ($x, $y);
                    slopes[m] = $slope;
                }
                slopes
            }
        }
    )*};
}

elementwise! {
    Linear, |simd, x| { let _ = simd; x }, |y| simd.splat_f32s(1.0);

    HardSigmoid { slope },
    |simd, x| {
        let y = simd.mul_add_f32s(x, simd.splat_f32s(slope), simd.splat_f32s(0.5));
        let clipped = simd.min_f32s(simd.max_f32s(y, simd.splat_f32s(0.0)), simd.splat_f32s(1.0));
        math::select(simd, simd.equal_f32s(y, y), clipped, y)
    },
    |y| inside(simd, y, 1.0, slope);

    // `select` rather than `max`, so that NaN stays NaN.
    Relu,
    |simd, x| math::select(simd, simd.less_than_f32s(x, simd.splat_f32s(0.0)), simd.splat_f32s(0.0), x),
    |y| inside(simd, y, f32::INFINITY, 1.0);

    Relu6,
    |simd, x| {
        let (zero, six) = (simd.splat_f32s(0.0), simd.splat_f32s(6.0));
        let y = math::select(simd, simd.less_than_f32s(x, zero), zero, x);
        math::select(simd, simd.greater_than_f32s(y, six), six, y)
    },
    |y| inside(simd, y, 6.0, 1.0);

    Elu { alpha, scale },
    |simd, x| {
        let below = simd.sub_f32s(math::exp(simd, x), simd.splat_f32s(1.0));
        let below = simd.mul_f32s(below, simd.splat_f32s(scale * alpha));
        let above = simd.mul_f32s(x, simd.splat_f32s(scale));
        math::select(simd, simd.greater_than_f32s(x, simd.splat_f32s(0.0)), above, below)
    },
    |y| {
        let below = simd.add_f32s(y, simd.splat_f32s(scale * alpha));
        let positive = simd.greater_than_or_equal_f32s(x, simd.splat_f32s(0.0));
        math::select(simd, positive, simd.splat_f32s(scale), below)
    };

    Exponential, |simd, x| math::exp(simd, x), |y| { let _ = simd; y };

    Softplus, |simd, x| math::softplus(simd, x), |y| math::sigmoid(simd, [x])[0];

    Softsign,
    |simd, x| simd.div_f32s(x, simd.add_f32s(simd.splat_f32s(1.0), math::abs(simd, x))),
    |y| {
        let d = simd.sub_f32s(simd.splat_f32s(1.0), math::abs(simd, y));
        simd.mul_f32s(d, d)
    };

    LeakyRelu { slope },
    |simd, x| {
        let below = simd.mul_f32s(x, simd.splat_f32s(slope));
        math::select(simd, simd.greater_than_f32s(x, simd.splat_f32s(0.0)), x, below)
    },
    |y| {
        let positive = simd.greater_than_f32s(x, simd.splat_f32s(0.0));
        math::select(simd, positive, simd.splat_f32s(1.0), simd.splat_f32s(slope))
    };

    Silu,
    |simd, x| simd.mul_f32s(x, math::sigmoid(simd, [x])[0]),
    |y| {
        let s = math::sigmoid(simd, [x])[0];
        simd.mul_add_f32s(y, simd.sub_f32s(simd.splat_f32s(1.0), s), s)
    };

    HardSilu,
    |simd, x| simd.mul_f32s(x, HARD.values(simd, [x])[0]),
    |y| {
        let s = HARD.values(simd, [x]);
        simd.mul_add_f32s(x, HARD.slopes(simd, [x], s)[0], s[0])
    };

    Gelu,
    |simd, x| simd.mul_f32s(x, math::normal_distribution(simd, x)),
    |y| {
        let density = math::exp(simd, simd.mul_f32s(simd.mul_f32s(x, x), simd.splat_f32s(-0.5)));
        let density = simd.mul_f32s(density, simd.splat_f32s(NORMAL_DENSITY_AT_0));
        simd.mul_add_f32s(x, density, math::normal_distribution(simd, x))
    };

    Mish,
    |simd, x| simd.mul_f32s(x, math::tanh(simd, [math::softplus(simd, x)])[0]),
    |y| {
        let t = math::tanh(simd, [math::softplus(simd, x)])[0];
        let s = math::sigmoid(simd, [x])[0];
        let inner = simd.mul_f32s(simd.sub_f32s(simd.splat_f32s(1.0), simd.mul_f32s(t, t)), s);
        simd.mul_add_f32s(x, inner, t)
    };
}

/// Of [`HardSilu`].
const HARD: HardSigmoid = HardSigmoid { slope: 1.0 / 6.0 };

#[derive(Clone, Copy)]
pub(crate) struct Tanh;

impl Elementwise for Tanh {
    #[inline(always)]
    fn values<S: Simd, const M: usize>(self, simd: S, x: [S::f32s; M]) -> [S::f32s; M] {
        math::tanh(simd, x)
    }

    #[inline(always)]
    fn slopes<S: Simd, const M: usize>(self, simd: S, _: [S::f32s; M], y: [S::f32s; M]) -> [S::f32s; M] {
        let mut slopes = y;
        for m in 0..M {
            slopes[m] = simd.sub_f32s(simd.splat_f32s(1.0), simd.mul_f32s(y[m], y[m]));
        }
        slopes
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;

impl Elementwise for Sigmoid {
    #[inline(always)]
    fn values<S: Simd, const M: usize>(self, simd: S, x: [S::f32s; M]) -> [S::f32s; M] {
        math::sigmoid(simd, x)
    }

    #[inline(always)]
    fn slopes<S: Simd, const M: usize>(self, simd: S, _: [S::f32s; M], y: [S::f32s; M]) -> [S::f32s; M] {
        let mut slopes = y;
        for m in 0..M {
            slopes[m] = simd.mul_f32s(y[m], simd.sub_f32s(simd.splat_f32s(1.0), y[m]));
        }
        slopes
    }
}

/// 1 / √(2π)
const NORMAL_DENSITY_AT_0: f32 = 0.398_942_3;

/// `slope` where 0 < y < `upper`, else 0.
#[inline(always)]
fn inside<S: Simd>(simd: S, y: S::f32s, upper: f32, slope: f32) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    let below = simd.less_than_f32s(y, simd.splat_f32s(upper));
    let within = math::select(simd, below, simd.splat_f32s(slope), zero);
    math::select(simd, simd.greater_than_f32s(y, zero), within, zero)
}

//! exp, sigmoid and tanh on vectors.
//!
//! The exponent is split as x = n ln 2 + r with |r| ≤ ln 2 / 2, and eʳ is the polynomial of Cephes' `expf`.

use pulp::Simd;

// Some of pulp's provided methods are not forced inline, and a call that is not inlined leaves the function for which
// the vector instructions were enabled. These take their place.

/// The bits of each lane.
#[inline(always)]
fn bits<S: Simd>(_: S, x: S::f32s) -> S::u32s {
    pulp::cast(x)
}

/// The floats of such bits.
#[inline(always)]
fn floats<S: Simd>(_: S, bits: S::u32s) -> S::f32s {
    pulp::cast(bits)
}

/// `yes` in the lanes of `mask`, `no` elsewhere.
#[inline(always)]
pub fn select<S: Simd>(simd: S, mask: S::m32s, yes: S::f32s, no: S::f32s) -> S::f32s {
    floats(simd, simd.select_u32s(mask, bits(simd, yes), bits(simd, no)))
}

/// |x|
#[inline(always)]
pub fn abs<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    floats(simd, simd.and_u32s(bits(simd, x), simd.splat_u32s(0x7fff_ffff)))
}

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has few enough bits that n times it is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding 1.5 · 2²³ rounds to an integer, which then stands in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;

/// n and r of x = n ln 2 + r; n as the integer (two's complement) in each lane's bits.
#[inline(always)]
fn reduce<S: Simd>(simd: S, x: S::f32s) -> (S::u32s, S::f32s) {
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(LOG2_E), simd.splat_f32s(ROUND));
    let n = simd.sub_f32s(shifted, simd.splat_f32s(ROUND));
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN2_HIGH), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN2_LOW), r);
    (simd.sub_u32s(bits(simd, shifted), simd.splat_u32s(ROUND.to_bits())), r)
}

/// eʳ - 1 for |r| ≤ ln 2 / 2, accurate relative to its own size.
#[inline(always)]
fn expm1_small<S: Simd>(simd: S, r: S::f32s) -> S::f32s {
    let mut p = simd.splat_f32s(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(c));
    }
    simd.mul_add_e_f32s(simd.mul_f32s(r, r), p, r)
}

/// 2ⁿ for an n whose biased exponent `n + 127` is given.
#[inline(always)]
fn power_of_two<S: Simd>(simd: S, biased: S::u32s) -> S::f32s {
    floats(simd, simd.wrapping_dyn_shl_u32s(biased, simd.splat_u32s(23)))
}

/// eˣ, subnormal results, infinities and NaN included.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let clamped = simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(-104.0)), simd.splat_f32s(89.0));
    let (n, r) = reduce(simd, clamped);
    let e = simd.add_f32s(expm1_small(simd, r), simd.splat_f32s(1.0));
    // 2ⁿ in two factors, neither of which overflows or vanishes.
    let biased = simd.add_u32s(n, simd.splat_u32s(254));
    let half = simd.wrapping_dyn_shr_u32s(biased, simd.splat_u32s(1));
    let rest = simd.sub_u32s(biased, half);
    let y = simd.mul_f32s(simd.mul_f32s(e, power_of_two(simd, half)), power_of_two(simd, rest));
    select(simd, simd.equal_f32s(x, x), y, x)
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    // e⁻ˡˣˡ, first 2⁶⁴ times as large, so that the exponent can be added in place; the product then rounds once, into
    // the subnormal numbers too.
    let negated = floats(simd, simd.or_u32s(bits(simd, x), simd.splat_u32s(0x8000_0000)));
    let (n, r) = reduce(simd, simd.max_f32s(negated, simd.splat_f32s(-104.0)));
    let power = simd.wrapping_dyn_shl_u32s(simd.add_u32s(n, simd.splat_u32s(64)), simd.splat_u32s(23));
    let e = simd.add_u32s(bits(simd, simd.add_f32s(expm1_small(simd, r), one)), power);
    let e = simd.mul_f32s(floats(simd, e), simd.splat_f32s(1.0 / 18_446_744_073_709_551_616.0));
    let negative = simd.less_than_f32s(x, simd.splat_f32s(0.0));
    let y = simd.div_f32s(select(simd, negative, e, one), simd.add_f32s(one, e));
    select(simd, simd.equal_f32s(x, x), y, x)
}

/// The hyperbolic tangent, by e⁻²ˡˣˡ - 1 so that nothing cancels near 0.
#[inline(always)]
pub fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let magnitude = simd.min_f32s(abs(simd, x), simd.splat_f32s(15.0));
    let (n, r) = reduce(simd, simd.mul_f32s(magnitude, simd.splat_f32s(-2.0)));
    let scale = power_of_two(simd, simd.add_u32s(n, simd.splat_u32s(127)));
    let expm1 = simd.mul_add_e_f32s(scale, expm1_small(simd, r), simd.sub_f32s(scale, one));
    let y = simd.div_f32s(expm1, simd.add_f32s(expm1, simd.splat_f32s(2.0)));
    // expm1 ≤ 0: y is -tanh|x|. Give it the sign of x, and NaN where x is NaN.
    let sign = simd.and_u32s(bits(simd, x), simd.splat_u32s(0x8000_0000));
    let y = floats(simd, simd.or_u32s(bits(simd, abs(simd, y)), sign));
    select(simd, simd.equal_f32s(x, x), y, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::isa::dispatch;
    use pulp::WithSimd;

    #[derive(Clone, Copy, Debug)]
    enum Function {
        Exp,
        Sigmoid,
        Tanh,
    }

    struct Apply<'a>(Function, &'a mut [f32]);

    impl WithSimd for Apply<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for v in S::as_mut_simd_f32s(self.1).0 {
                *v = match self.0 {
                    Function::Exp => exp(simd, *v),
                    Function::Sigmoid => sigmoid(simd, *v),
                    Function::Tanh => tanh(simd, *v),
                };
            }
        }
    }

    fn exact(function: Function, x: f32) -> f32 {
        let x = f64::from(x);
        (match function {
            Function::Exp => libm::exp(x),
            Function::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
            Function::Tanh => libm::tanh(x),
        }) as f32
    }

    /// Floats in order as integers in order.
    fn rank(x: f32) -> i64 {
        let bits = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() { -bits } else { bits }
    }

    #[test]
    fn functions_are_within_2_ulp_of_the_correctly_rounded_value() {
        // Every 1021st float, of both signs, subnormals and infinities included.
        let all: Vec<f32> =
            (0..=0x7f80_0000u32).step_by(1021).chain([0x7f80_0000]).map(f32::from_bits).collect();
        let mut xs: Vec<f32> = all.iter().flat_map(|&x| [x, -x]).collect();
        xs.resize(xs.len().next_multiple_of(64), 0.0);
        for function in [Function::Exp, Function::Sigmoid, Function::Tanh] {
            let mut ys = xs.clone();
            dispatch(Apply(function, &mut ys));
            let apart = |(&x, &y): (&f32, &f32)| ((rank(y) - rank(exact(function, x))).abs(), x.to_bits());
            let (worst, at) = xs.iter().zip(&ys).map(apart).max().unwrap_or_default();
            assert!(worst <= 2, "{function:?}: {worst} ulp at {}", f32::from_bits(at));
        }
    }

    #[test]
    fn nan_stays_nan() {
        for function in [Function::Exp, Function::Sigmoid, Function::Tanh] {
            let mut values = vec![f32::NAN; 64];
            dispatch(Apply(function, &mut values));
            assert!(values.iter().all(|y| y.is_nan()), "{function:?}");
        }
    }
}

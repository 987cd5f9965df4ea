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

/// A vector for each of several independent values: `each!(i => …)` gives `[…; N]`. The steps of the chains stand side
/// by side, so that the processor need not look far ahead for work.
macro_rules! each {
    ($simd:ident, $i:ident => $value:expr) => {{
        let mut values = [$simd.splat_f32s(0.0); N];
        for $i in 0..N {
            values[$i] = $value;
        }
        values
    }};
}

/// n and r of x = n ln 2 + r; n as the integer (two's complement) in each lane's bits.
#[inline(always)]
fn reduce<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> ([S::u32s; N], [S::f32s; N]) {
    let (log2_e, round) = (simd.splat_f32s(LOG2_E), simd.splat_f32s(ROUND));
    let shifted = each!(simd, i => simd.mul_add_f32s(x[i], log2_e, round));
    let n = each!(simd, i => simd.sub_f32s(shifted[i], round));
    let r = each!(simd, i => simd.mul_add_f32s(n[i], simd.splat_f32s(-LN2_HIGH), x[i]));
    let r = each!(simd, i => simd.mul_add_f32s(n[i], simd.splat_f32s(-LN2_LOW), r[i]));
    let mut exponents = [simd.splat_u32s(0); N];
    for i in 0..N {
        exponents[i] = simd.sub_u32s(bits(simd, shifted[i]), simd.splat_u32s(ROUND.to_bits()));
    }
    (exponents, r)
}

/// eʳ - 1 for |r| ≤ ln 2 / 2, accurate relative to its own size.
#[inline(always)]
fn expm1_small<S: Simd, const N: usize>(simd: S, r: [S::f32s; N]) -> [S::f32s; N] {
    let square = each!(simd, i => simd.mul_f32s(r[i], r[i]));
    // The polynomial in three pairs (Estrin), whose chains are shorter than one of six.
    let high = each!(simd, i => simd.mul_add_f32s(r[i], simd.splat_f32s(1.987_569_1e-4), simd.splat_f32s(1.398_199_9e-3)));
    let middle = each!(simd, i => simd.mul_add_f32s(r[i], simd.splat_f32s(8.333_452e-3), simd.splat_f32s(4.166_579_6e-2)));
    let low =
        each!(simd, i => simd.mul_add_f32s(r[i], simd.splat_f32s(1.666_666_5e-1), simd.splat_f32s(0.5)));
    let p = each!(simd, i => simd.mul_add_f32s(high[i], square[i], middle[i]));
    let p = each!(simd, i => simd.mul_add_f32s(p[i], square[i], low[i]));
    each!(simd, i => simd.mul_add_f32s(square[i], p[i], r[i]))
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
    let ([n], r) = reduce(simd, [clamped]);
    let [e] = expm1_small(simd, r);
    let e = simd.add_f32s(e, simd.splat_f32s(1.0));
    // 2ⁿ in two factors, neither of which overflows or vanishes.
    let biased = simd.add_u32s(n, simd.splat_u32s(254));
    let half = simd.wrapping_dyn_shr_u32s(biased, simd.splat_u32s(1));
    let rest = simd.sub_u32s(biased, half);
    let y = simd.mul_f32s(simd.mul_f32s(e, power_of_two(simd, half)), power_of_two(simd, rest));
    select(simd, simd.equal_f32s(x, x), y, x)
}

/// Where a value is nearer to 0 than `limit`; not where it is NaN.
#[inline(always)]
fn within<S: Simd>(simd: S, x: S::f32s, limit: f32) -> S::m32s {
    simd.less_than_f32s(abs(simd, x), simd.splat_f32s(limit))
}

/// Whether all values are nearer to 0 than `limit`; not if one is NaN.
#[inline(always)]
fn all_within<S: Simd, const N: usize>(simd: S, x: [S::f32s; N], limit: f32) -> bool {
    let mut outside = simd.splat_u32s(0);
    for i in 0..N {
        let inside = within(simd, x[i], limit);
        outside = simd.or_u32s(outside, simd.select_u32s(inside, simd.splat_u32s(0), simd.splat_u32s(1)));
    }
    let outside: [S::u64s; 1] = [pulp::cast(outside)];
    let words: &[u64] = pulp::bytemuck::cast_slice(&outside);
    let mut any = 0;
    for i in 0..words.len() {
        any |= words[i];
    }
    any == 0
}

/// n and r of x = n ln 2 + r, n as the bits of 2ⁿ but for the bias of the exponent.
#[inline(always)]
fn reduce_near<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> ([S::u32s; N], [S::f32s; N]) {
    let (log2_e, round) = (simd.splat_f32s(LOG2_E), simd.splat_f32s(ROUND));
    let shifted = each!(simd, i => simd.mul_add_f32s(x[i], log2_e, round));
    let n = each!(simd, i => simd.sub_f32s(shifted[i], round));
    let r = each!(simd, i => simd.mul_add_f32s(n[i], simd.splat_f32s(-LN2_HIGH), x[i]));
    let r = each!(simd, i => simd.mul_add_f32s(n[i], simd.splat_f32s(-LN2_LOW), r[i]));
    let mut exponents = [simd.splat_u32s(0); N];
    for i in 0..N {
        exponents[i] = simd.wrapping_dyn_shl_u32s(bits(simd, shifted[i]), simd.splat_u32s(23));
    }
    (exponents, r)
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    if all_within(simd, x, 80.0) {
        return sigmoid_near(simd, x);
    }
    // Each by itself, so that no value depends on those beside it.
    let (near, far) = (sigmoid_near(simd, x), sigmoid_far(simd, x));
    each!(simd, i => select(simd, within(simd, x[i], 80.0), near[i], far[i]))
}

#[inline(always)]
fn sigmoid_near<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let one = simd.splat_f32s(1.0);
    let negated = each!(simd, i => simd.sub_f32s(simd.splat_f32s(0.0), x[i]));
    let (n, r) = reduce_near(simd, negated);
    let e = expm1_small(simd, r);
    let e = each!(simd, i => simd.add_f32s(e[i], one));
    let e = each!(simd, i => floats(simd, simd.add_u32s(bits(simd, e[i]), n[i])));
    each!(simd, i => simd.div_f32s(one, simd.add_f32s(one, e[i])))
}

/// The hyperbolic tangent, by e²ˣ - 1 so that nothing cancels near 0.
#[inline(always)]
pub fn tanh<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    if all_within(simd, x, 40.0) {
        return tanh_near(simd, x);
    }
    let (near, far) = (tanh_near(simd, x), tanh_far(simd, x));
    each!(simd, i => select(simd, within(simd, x[i], 40.0), near[i], far[i]))
}

#[inline(always)]
fn tanh_near<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let (one, two) = (simd.splat_f32s(1.0), simd.splat_f32s(2.0));
    let doubled = each!(simd, i => simd.add_f32s(x[i], x[i]));
    let (n, r) = reduce_near(simd, doubled);
    let e = expm1_small(simd, r);
    let scale = each!(simd, i => floats(simd, simd.add_u32s(n[i], bits(simd, one))));
    let expm1 = each!(simd, i => simd.mul_add_f32s(scale[i], e[i], simd.sub_f32s(scale[i], one)));
    each!(simd, i => simd.div_f32s(expm1[i], simd.add_f32s(expm1[i], two)))
}

/// [`sigmoid`] for any x, infinite or NaN too.
#[inline(always)]
fn sigmoid_far<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    // e⁻ˡˣˡ, first 2⁶⁴ times as large, so that the exponent can be added in place; the product then rounds once, into
    // the subnormal numbers too.
    let negated =
        each!(simd, i => floats(simd, simd.or_u32s(bits(simd, x[i]), simd.splat_u32s(0x8000_0000))));
    let clamped = each!(simd, i => simd.max_f32s(negated[i], simd.splat_f32s(-104.0)));
    let (n, r) = reduce(simd, clamped);
    let e = expm1_small(simd, r);
    let e = each!(simd, i => simd.add_f32s(e[i], one));
    let e = each!(simd, i => {
        let power = simd.wrapping_dyn_shl_u32s(simd.add_u32s(n[i], simd.splat_u32s(64)), simd.splat_u32s(23));
        floats(simd, simd.add_u32s(bits(simd, e[i]), power))
    });
    let e = each!(simd, i => simd.mul_f32s(e[i], simd.splat_f32s(1.0 / 18_446_744_073_709_551_616.0)));
    let numerator = each!(simd, i => select(simd, simd.less_than_f32s(x[i], zero), e[i], one));
    let y = each!(simd, i => simd.div_f32s(numerator[i], simd.add_f32s(one, e[i])));
    each!(simd, i => select(simd, simd.equal_f32s(x[i], x[i]), y[i], x[i]))
}

/// [`tanh`] for any x, infinite or NaN too, by e⁻²ˡˣˡ - 1.
#[inline(always)]
fn tanh_far<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let (one, two) = (simd.splat_f32s(1.0), simd.splat_f32s(2.0));
    let magnitude = each!(simd, i => simd.min_f32s(abs(simd, x[i]), simd.splat_f32s(15.0)));
    let doubled = each!(simd, i => simd.mul_f32s(magnitude[i], simd.splat_f32s(-2.0)));
    let (n, r) = reduce(simd, doubled);
    let scale = each!(simd, i => power_of_two(simd, simd.add_u32s(n[i], simd.splat_u32s(127))));
    let e = expm1_small(simd, r);
    let expm1 = each!(simd, i => simd.mul_add_f32s(scale[i], e[i], simd.sub_f32s(scale[i], one)));
    let y = each!(simd, i => simd.div_f32s(expm1[i], simd.add_f32s(expm1[i], two)));
    // expm1 ≤ 0: y is -tanh|x|. Give it the sign of x, and NaN where x is NaN.
    let y = each!(simd, i => {
        let sign = simd.and_u32s(bits(simd, x[i]), simd.splat_u32s(0x8000_0000));
        floats(simd, simd.or_u32s(bits(simd, abs(simd, y[i])), sign))
    });
    each!(simd, i => select(simd, simd.equal_f32s(x[i], x[i]), y[i], x[i]))
}

/// log(1 + eˣ) = max(x, 0) + log(1 + e), e = e⁻ˡˣˡ; the logarithm is 2 artanh(e / (2 + e)), whose series ends soon.
#[inline(always)]
pub fn softplus<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let e = exp(simd, simd.sub_f32s(simd.splat_f32s(0.0), abs(simd, x)));
    let s = simd.div_f32s(e, simd.add_f32s(e, simd.splat_f32s(2.0)));
    let square = simd.mul_f32s(s, s);
    let mut series = simd.splat_f32s(1.0 / 15.0);
    for term in [1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0] {
        series = simd.mul_add_f32s(series, square, simd.splat_f32s(term));
    }
    let doubled = simd.add_f32s(s, s);
    let logarithm = simd.mul_add_f32s(simd.mul_f32s(doubled, square), series, doubled);
    let above = simd.greater_than_f32s(x, simd.splat_f32s(0.0));
    simd.add_f32s(select(simd, above, x, simd.splat_f32s(0.0)), logarithm)
}

/// Φ(x), the probability that a standard normal variable is at most x: half of erfc(z), z = -x / √2, which for z ≥ 0 is
/// t e^(p(t) - z²), t = 1 / (1 + z / 2) (Numerical Recipes, `erfcc`, off by 1.2e-7 of the value at most).
#[inline(always)]
pub fn normal_distribution<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (one, half) = (simd.splat_f32s(1.0), simd.splat_f32s(0.5));
    let z = simd.mul_f32s(abs(simd, x), simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
    let t = simd.div_f32s(one, simd.mul_add_f32s(z, half, one));
    let mut p = simd.splat_f32s(0.170_872_77);
    for term in [
        -0.822_152_23,
        1.488_515_9,
        -1.135_204,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_7,
        -1.265_512_2,
    ] {
        p = simd.mul_add_f32s(p, t, simd.splat_f32s(term));
    }
    let exponent = simd.mul_add_f32s(simd.sub_f32s(simd.splat_f32s(0.0), z), z, p);
    let tail = simd.mul_f32s(simd.mul_f32s(t, half), exp(simd, exponent));
    let below = simd.less_than_f32s(x, simd.splat_f32s(0.0));
    select(simd, below, tail, simd.sub_f32s(one, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::dispatch;
    use pulp::WithSimd;

    #[derive(Clone, Copy, Debug)]
    enum Function {
        Exp,
        Sigmoid,
        SigmoidFar,
        Tanh,
        TanhFar,
    }

    const ALL: [Function; 5] =
        [Function::Exp, Function::Sigmoid, Function::SigmoidFar, Function::Tanh, Function::TanhFar];

    struct Apply<'a>(Function, &'a mut [f32]);

    impl WithSimd for Apply<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for v in S::as_mut_simd_f32s(self.1).0 {
                *v = match self.0 {
                    Function::Exp => exp(simd, *v),
                    Function::Sigmoid => sigmoid(simd, [*v])[0],
                    Function::SigmoidFar => sigmoid_far(simd, [*v])[0],
                    Function::Tanh => tanh(simd, [*v])[0],
                    Function::TanhFar => tanh_far(simd, [*v])[0],
                };
            }
        }
    }

    fn exact(function: Function, x: f32) -> f32 {
        let x = f64::from(x);
        (match function {
            Function::Exp => libm::exp(x),
            Function::Sigmoid | Function::SigmoidFar => 1.0 / (1.0 + libm::exp(-x)),
            Function::Tanh | Function::TanhFar => libm::tanh(x),
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
        for function in ALL {
            let mut ys = xs.clone();
            dispatch(Apply(function, &mut ys));
            let apart = |(&x, &y): (&f32, &f32)| ((rank(y) - rank(exact(function, x))).abs(), x.to_bits());
            let (worst, at) = xs.iter().zip(&ys).map(apart).max().unwrap_or_default();
            assert!(worst <= 2, "{function:?}: {worst} ulp at {}", f32::from_bits(at));
        }
    }

    #[test]
    fn what_stands_beside_a_value_does_not_show_in_it() {
        let near: Vec<f32> = (0..64).map(|i| i as f32 * 0.61 - 19.7).collect();
        for function in [Function::Sigmoid, Function::Tanh] {
            let (mut alone, mut beside) = (near.clone(), near.clone());
            dispatch(Apply(function, &mut alone));
            for i in (0..64).step_by(2) {
                beside[i] = if i % 4 == 0 { 500.0 } else { f32::NAN };
            }
            dispatch(Apply(function, &mut beside));
            for i in (1..64).step_by(2) {
                assert_eq!(alone[i].to_bits(), beside[i].to_bits(), "{function:?}");
            }
        }
    }

    struct Two<'a>(&'a mut [f32], &'a mut [f32]);

    impl WithSimd for Two<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for v in S::as_mut_simd_f32s(self.0).0 {
                *v = softplus(simd, *v);
            }
            for v in S::as_mut_simd_f32s(self.1).0 {
                *v = normal_distribution(simd, *v);
            }
        }
    }

    #[test]
    fn softplus_and_the_normal_distribution_are_near_their_values() {
        let xs: Vec<f32> = (0..4096).map(|i| i as f32 * 0.005 - 10.24).collect();
        let (mut soft, mut normal) = (xs.clone(), xs.clone());
        dispatch(Two(&mut soft, &mut normal));
        for ((&x, soft), normal) in xs.iter().zip(soft).zip(normal) {
            let x = f64::from(x);
            let exact = x.max(0.0) + libm::log1p(libm::exp(-x.abs()));
            assert!((f64::from(soft) / exact - 1.0).abs() < 3e-7, "softplus({x}) is {soft}, not {exact}");
            let exact = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
            // z and the exponent are rounded.
            let bound = 4e-7 + 1.2e-7 * x * x;
            assert!((f64::from(normal) / exact - 1.0).abs() < bound, "Φ({x}) is {normal}, not {exact}");
        }
    }

    #[test]
    fn nan_stays_nan() {
        for function in ALL {
            let mut values = vec![f32::NAN; 64];
            dispatch(Apply(function, &mut values));
            assert!(values.iter().all(|y| y.is_nan()), "{function:?}");
        }
    }
}

//! The natural logarithm of numbers in f64, in plain operations.

/// `libm::log` to the last bit for numbers from 2^-1022 on, in operations of which the compiler makes vectors.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "as they stand there")]
pub fn logarithm(x: f64) -> f64 {
    // FreeBSD's e_log.c, as in libm: x = 2^k (1 + f), with 1 + f around 1.
    let bits = x.to_bits();
    let high = (bits >> 32) + (0x3ff0_0000 - 0x3fe6_a09e);
    // A whole number below 2^52 stands at the end of 2^52's own bits.
    let k = f64::from_bits((high >> 20) | 0x4330_0000_0000_0000) - 4_503_599_627_370_496.0 - 1023.0;
    let high = (high & 0x000f_ffff) + 0x3fe6_a09e;
    let f = f64::from_bits((high << 32) | (bits & 0xffff_ffff)) - 1.0;
    let half = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w
        * (3.999_999_999_940_941_908e-1
            + w * (2.222_219_843_214_978_396e-1 + w * 1.531_383_769_920_937_332e-1));
    let odd = z
        * (6.666_666_666_666_735_130e-1
            + w * (2.857_142_874_366_239_149e-1
                + w * (1.818_357_216_161_805_012e-1 + w * 1.479_819_860_511_658_591e-1)));
    let r = odd + even;
    s * (half + r) + k * 1.908_214_929_270_587_700_02e-10 - half + f + k * 6.931_471_803_691_238_164_90e-1
}

#[cfg(test)]
mod tests {
    use super::logarithm;

    #[test]
    fn logarithms_are_those_of_libm() {
        let mut state = 1u64;
        for at in 0..200_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let share = (state >> 11) as f64 / (1u64 << 53) as f64;
            let x = match at % 3 {
                0 => share.max(1e-300),
                1 => f64::from_bits((state >> 2).max(1 << 52)),
                _ => 1.0 - share * 1e-6,
            };
            assert_eq!(logarithm(x).to_bits(), libm::log(x).to_bits(), "{x:e}");
        }
        assert_eq!(logarithm(1.0), 0.0);
    }
}

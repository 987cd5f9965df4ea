//! Powers, logarithms and cosines of f32, each the nearest one to the true value, on every machine.

/// `base` to the power `exponent`.
pub(super) fn power(base: f32, exponent: f32) -> f32 {
    libm::pow(base.into(), exponent.into()) as f32
}

/// The natural logarithm.
pub(super) fn log(x: f32) -> f32 {
    libm::log(x.into()) as f32
}

/// `(1 + cos(π x)) / 2` as Keras adds it up, `factor` being what the half is multiplied with first.
pub(super) fn half_cosine(factor: f32, x: f32) -> f32 {
    let angle = std::f32::consts::PI * x;
    0.5 * factor * (1.0 + libm::cos(angle.into()) as f32)
}

//! What the crossentropies share.

use crate::{Error, Result};

/// A probability within 1e-7 and 1 - 1e-7, in float: the upper end is 1 - 1.19e-7.
pub(super) fn clipped(probability: f32) -> f32 {
    probability.clamp(1e-7, 1.0 - 1e-7)
}

/// log Σ eˣ of a position.
pub(super) fn log_sum_exp(row: impl Iterator<Item = f64> + Clone) -> f64 {
    let greatest = row.clone().fold(f64::NEG_INFINITY, f64::max);
    greatest + libm::log(row.map(|x| libm::exp(x - greatest)).sum())
}

/// That `label_smoothing` is a share.
pub(super) fn check_smoothing(class: &str, label_smoothing: f32) -> Result<()> {
    match (0.0..=1.0).contains(&label_smoothing) {
        true => Ok(()),
        false => {
            let what = format!("label_smoothing {label_smoothing}: it must be from 0 to 1");
            Err(Error::argument(format!("metric {class}"), what))
        }
    }
}

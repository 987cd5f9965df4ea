//! What the binary hinges share.

use super::mean::Sums;
use super::scores::Scores;
use crate::Result;

/// The sums of `value(max(1 - target · output, 0))`.
pub(super) fn hinge_sums(batch: &Scores, value: impl Fn(f64) -> f64) -> Result<Sums> {
    let is_binary = batch.targets.iter().all(|&target| target == 0.0 || target == 1.0);
    Ok(Sums::of_elements(batch, batch.probabilities()?, |output, target| {
        let (output, target) = (f64::from(output), f64::from(target));
        let sign = if is_binary { 2.0 * target - 1.0 } else { target };
        let hinge = 1.0 - sign * output;
        value(if hinge < 0.0 { 0.0 } else { hinge })
    }))
}

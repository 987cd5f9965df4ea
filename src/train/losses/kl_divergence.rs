//! Kullback-Leibler divergence.

use super::criterion::{Criterion, plain_loss};
use super::heads::{self, Checked};
use super::reduction::Reduction;
use super::rowwise::{LEAST, clip, clip_tensor};
use crate::Result;
use crate::layers::Activation;
use candle_core::{D, Tensor};

plain_loss! {
    /// Σ z log(z / p) for probabilities p and targets z, both kept from 10⁻⁷ to 1; the slope is 0 beyond.
    KLDivergence
}

impl Criterion for KLDivergence {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check_head(&self, _: Option<usize>, last: Option<Activation>) -> Checked {
        heads::probabilities(last, "softmax")
    }

    fn check_target(&self, target: f32, _: usize) -> Checked {
        heads::within(target, 0.0, 1.0)
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        let clipped = |x| clip(x, LEAST, 1.0);
        let values = x.iter().zip(targets).map(|(&p, &z)| {
            let z = clipped(z).0;
            f64::from(z * libm::logf(z / clipped(p).0))
        });
        let sum = values.sum();
        if let Some(gradient) = gradient {
            for ((to, &p), &z) in gradient.iter_mut().zip(x).zip(targets) {
                *to = match clipped(p) {
                    (p, true) => -clipped(z).0 / p,
                    _ => 0.0,
                };
            }
        }
        sum
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let (p, inside) = clip_tensor(x, LEAST, 1.0)?;
        let (z, _) = clip_tensor(targets, LEAST, 1.0)?;
        let losses = (&z * (&z / &p)?.log()?)?.sum(D::Minus1)?;
        Ok((losses, ((z / p)?.neg()? * inside)?))
    }
}

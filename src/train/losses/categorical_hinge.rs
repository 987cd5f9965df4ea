//! Categorical hinge loss.

use super::criterion::{Criterion, plain_loss};
use super::heads::{self, Checked};
use super::reduction::Reduction;
use super::rowwise::positive;
use crate::Result;
use crate::layers::Activation;
use candle_core::{D, Tensor};

plain_loss! {
    /// max(max((1 - z) y) - Σ z y + 1, 0) for targets z that are 1 for one class and 0 for the others. Several greatest values
    /// share the slope; at the kink it is that of the margin's side.
    CategoricalHinge
}

impl Criterion for CategoricalHinge {
    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check_head(&self, width: Option<usize>, _: Option<Activation>) -> Checked {
        heads::several(width, "use hinge")
    }

    fn check_target(&self, target: f32, _: usize) -> Checked {
        heads::within(target, 0.0, 1.0)
    }

    fn row(&self, x: &[f32], targets: &[f32], _: bool, gradient: Option<&mut [f32]>) -> f64 {
        let others = || x.iter().zip(targets).map(|(&y, &z)| (1.0 - z) * y);
        let right: f64 = x.iter().zip(targets).map(|(&y, &z)| f64::from(z) * f64::from(y)).sum();
        // A NaN among them comes through by the sum.
        let greatest = others().fold(f32::NEG_INFINITY, f32::max);
        let loss = f64::from(greatest) - right + 1.0;
        if let Some(gradient) = gradient {
            let ties = others().filter(|&other| other == greatest).count() as f32;
            for ((to, other), &z) in gradient.iter_mut().zip(others()).zip(targets) {
                let share = if other == greatest { (1.0 - z) / ties } else { 0.0 };
                *to = if loss >= 0.0 { share - z } else { 0.0 };
            }
        }
        if loss < 0.0 { 0.0 } else { loss }
    }

    fn tensors(&self, x: &Tensor, targets: &Tensor, _: bool) -> Result<(Tensor, Tensor)> {
        let factors = targets.affine(-1.0, 1.0)?;
        let others = (x * &factors)?;
        let greatest = others.max_keepdim(D::Minus1)?;
        let margin = ((&greatest - (x * targets)?.sum_keepdim(D::Minus1)?)? + 1.0)?;
        let ties = others.broadcast_eq(&greatest)?.to_dtype(x.dtype())?;
        let shares = ties.broadcast_div(&ties.sum_keepdim(D::Minus1)?)?;
        let slopes = ((factors * shares)? - targets)?;
        let inside = margin.ge(0.0)?.to_dtype(x.dtype())?;
        Ok((positive(&margin)?.squeeze(D::Minus1)?, slopes.broadcast_mul(&inside)?))
    }
}

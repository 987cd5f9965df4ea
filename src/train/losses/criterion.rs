//! What a loss is: its arguments, what it asks of a model and of targets, and its value and slope at one position.

use super::heads::Checked;
use super::reduction::Reduction;
use crate::Result;
use crate::layers::Activation;
use candle_core::Tensor;
use std::fmt::Debug;

/// The targets of one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// As many as the output has values.
    LikeOutput,
    /// The number of a class; the axis of the classes is left out.
    Class,
    /// One value for all of the output's.
    Single,
}

/// A loss: a number for each position, that is for each place of an output's axes before the last. How positions are
/// weighted and added up is not its business.
pub trait Criterion: Debug + Send + Sync {
    /// How the numbers of a batch become one.
    fn reduction(&self) -> Reduction;

    /// Checks the arguments.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The activation whose logits it takes, as Keras does behind the user's back.
    fn logits_of(&self) -> Option<Activation> {
        None
    }

    /// Whether the output itself is logits.
    fn takes_logits(&self) -> bool {
        false
    }

    /// Whether it makes sense on an output so wide that has gone through `last`; says what to do if not. None: not known.
    fn check_head(&self, _width: Option<usize>, _last: Option<Activation>) -> Checked {
        Ok(())
    }

    /// The targets of one position.
    fn targets(&self) -> Targets {
        Targets::LikeOutput
    }

    /// Whether a target, which is finite, makes sense; says what was expected.
    fn check_target(&self, _target: f32, _width: usize) -> Checked {
        Ok(())
    }

    /// The target that says that a position does not count.
    fn ignored(&self) -> Option<f32> {
        None
    }

    /// What depends on all targets of a batch at once.
    fn prepared(&self, targets: Tensor) -> Result<Tensor> {
        Ok(targets)
    }

    /// The loss of one position, and its gradient with respect to `x`, which are logits or the output itself.
    fn row(&self, x: &[f32], targets: &[f32], logits: bool, gradient: Option<&mut [f32]>) -> f64;

    /// The sum over positions of `width` values, each times its weight, where there are weights. Positions that weigh 0 are
    /// left out, and so is their gradient. In each loss it is a loop of its own, which `row` is a part of.
    fn rows(
        &self,
        (x, targets): (&[f32], &[f32]),
        width: usize,
        weights: Option<&[f32]>,
        logits: bool,
        mut gradient: Option<&mut [f32]>,
    ) -> f64 {
        let count = x.len() / width;
        let rows = x.chunks_exact(width).zip(targets.chunks_exact(targets.len() / count));
        let mut sum = 0.0;
        for (at, (x, targets)) in rows.enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[at]);
            if weight != 0.0 {
                let gradient = gradient.as_deref_mut().map(|gradient| &mut gradient[at * width..][..width]);
                sum += self.row(x, targets, logits, gradient) * f64::from(weight);
            }
        }
        sum
    }

    /// The same by tensor operations, for other devices and types: `x` (positions, width), `targets` (positions, targets)
    /// give losses (positions) and gradients (positions, width). Nothing is tracked.
    fn tensors(&self, x: &Tensor, targets: &Tensor, logits: bool) -> Result<(Tensor, Tensor)>;
}

/// A loss without arguments of its own.
macro_rules! plain_loss {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// How the losses of a batch become one number.
            pub reduction: $crate::train::losses::reduction::Reduction,
            /// What the user calls it.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub name: Option<String>,
        }
    };
}
pub(super) use plain_loss;

//! Which outputs and targets losses make sense on, in words that say what to do.

use crate::layers::Activation;

/// Nothing, or what to do.
pub type Checked = Result<(), String>;

/// Whether an activation's values can be below 0, so that they are no probabilities.
fn goes_below_0(activation: Activation) -> bool {
    use Activation as A;
    !matches!(
        activation,
        A::Sigmoid
            | A::HardSigmoid
            | A::HardSigmoidKeras2
            | A::Softmax
            | A::Relu
            | A::Relu6
            | A::Softplus
            | A::Exponential
    )
}

/// For a loss on probabilities: what the model ends in must not give anything else.
pub fn probabilities(last: Option<Activation>, end: &str) -> Checked {
    match last.filter(|&last| goes_below_0(last)) {
        Some(last) => Err(format!(
            "it takes probabilities, and the model ends in {}: end it in {end}, or use a loss that takes any number",
            last.name()
        )),
        None => Ok(()),
    }
}

/// The same for a loss with `from_logits`: on logits, `last` must not have made probabilities of them, and otherwise it must.
pub fn logits_or_probabilities(from_logits: bool, last: Option<Activation>, end: &str) -> Checked {
    match (from_logits, last) {
        (true, Some(last @ (Activation::Sigmoid | Activation::Softmax))) => Err(format!(
            "`from_logits` is true, and the model ends in {}, which are no logits: leave `from_logits` out",
            last.name()
        )),
        (false, Some(last)) if goes_below_0(last) => Err(format!(
            "it takes probabilities, and the model ends in {}: end it in {end}, or say `from_logits: true`",
            last.name()
        )),
        _ => Ok(()),
    }
}

/// For a loss over classes: more than one of them.
pub fn several(width: Option<usize>, instead: &str) -> Checked {
    match width {
        Some(1) => Err(format!("it needs a value for each class, and the model gives 1: {instead}")),
        _ => Ok(()),
    }
}

/// For a loss that Keras would give the logits of another activation than its own.
pub fn not(last: Option<Activation>, other: Activation, instead: &str) -> Checked {
    match last == Some(other) {
        true => Err(format!("it does not fit a model that ends in {}: {instead}", other.name())),
        false => Ok(()),
    }
}

/// A target from `least` to `most`.
pub fn within(target: f32, least: f32, most: f32) -> Checked {
    match (least..=most).contains(&target) {
        true => Ok(()),
        false => Err(format!("target {target}, and this loss takes {least} to {most}")),
    }
}

/// The number of a class.
pub fn class(target: f32, classes: usize) -> Checked {
    match target.fract() == 0.0 && target >= 0.0 && (target as usize) < classes {
        true => Ok(()),
        false => {
            Err(format!("class {target}, and the model tells the {classes} classes 0 to {}", classes - 1))
        }
    }
}

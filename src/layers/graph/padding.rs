//! Whether a model gives the same for a text however much padding stands around it.

use super::place::{PlacedCall, Placement};
use crate::layers::masks::MaskRule;
use crate::layers::named::Named;
use crate::layers::padding::PaddingRule;

/// What the axis of steps is in a tensor of the graph.
#[derive(Clone, Copy, PartialEq)]
enum Steps {
    /// Ids, 0 where a text is padded.
    Ids,
    /// Steps, masked where the text is padded. They are `alike` there, in training too, if a layer skipped them: before, each has
    /// a gradient of its own.
    Masked { alike: bool },
    /// There is none.
    Gone,
}

impl<L: Named> Placement<'_, L> {
    /// Whether columns of zeros at either end of the ids can be left out of a batch, but for one, without a change in what
    /// the model gives: its first layer masks them, and every other heeds the mask until no steps are left.
    pub fn skips_padding(&self) -> bool {
        let [input] = self.inputs.as_slice() else { return false };
        let mut steps: Vec<Steps> = Vec::with_capacity(self.calls.len());
        for (index, call) in self.calls.iter().enumerate() {
            let next = match index == *input {
                true if call.outputs.first().is_some_and(|shape| shape.len() == 2) => Some(Steps::Ids),
                true => None,
                false => self.after(call, &steps),
            };
            let Some(next) = next else { return false };
            steps.push(next);
        }
        self.outputs.iter().all(|&(call, _)| steps[call] == Steps::Gone)
    }

    /// The steps of what a call gives; none where padding matters to it.
    fn after(&self, call: &PlacedCall, steps: &[Steps]) -> Option<Steps> {
        let layer = &self.layers.get(call.layer?)?.layer;
        if call.inputs.iter().all(|&(from, _)| steps[from] == Steps::Gone) {
            return Some(Steps::Gone);
        }
        let &[(from, tensor)] = call.inputs.as_slice() else { return None };
        if tensor != 0 || layer.rules().activity_regularizer.is_some() {
            return None;
        }
        let rule = layer.config().mask_rule();
        let alike = match steps[from] {
            Steps::Gone => return Some(Steps::Gone),
            Steps::Ids => {
                let begins = rule == MaskRule::Begins { value: 0.0, features: false };
                return begins.then_some(Steps::Masked { alike: false });
            }
            Steps::Masked { alike } => alike,
        };
        let alike = match layer.config().padding_rule() {
            PaddingRule::Matters => return None,
            PaddingRule::Largest if !alike => return None,
            PaddingRule::Passed => alike,
            PaddingRule::Drawn => false,
            PaddingRule::Skipped | PaddingRule::Largest => true,
        };
        match (call.outputs.as_slice(), rule) {
            ([output], _) if output.len() == 2 => Some(Steps::Gone),
            ([_], MaskRule::Passes | MaskRule::PassesTo(1)) => Some(Steps::Masked { alike }),
            _ => None,
        }
    }
}

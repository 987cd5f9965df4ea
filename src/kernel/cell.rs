//! What a cell is to a time loop: how it steps forward, and how it steps back.

use super::activation::Activation;
use pulp::Simd;

/// The kind of recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// h' = f(x W + h U + b)
    SimpleRnn,
    /// Hochreiter and Schmidhuber 1997, with a forget gate; gates in Keras's order i, f, c, o.
    Lstm,
    /// Cho et al. 2014; gates in Keras's order z, r, h.
    Gru {
        /// The reset gate acts after the recurrent product (Keras's default and cuDNN's) instead of before it.
        reset_after: bool,
    },
}

impl Kind {
    /// Blocks of `units` columns in the kernels: 1, 4 or 3.
    pub fn gates(self) -> usize {
        match self {
            Self::SimpleRnn => 1,
            Self::Lstm => 4,
            Self::Gru { .. } => 3,
        }
    }

    /// State vectors: 2 for the LSTM (h, c), 1 otherwise.
    pub fn states(self) -> usize {
        if self == Self::Lstm { 2 } else { 1 }
    }

    /// Rows of the bias: 2 for a GRU with `reset_after` (input side, recurrent side), 1 otherwise.
    pub fn bias_rows(self) -> usize {
        if self == (Self::Gru { reset_after: true }) { 2 } else { 1 }
    }
}

/// One product with the recurrent kernel: which of its gates go to which slots, and what is multiplied.
pub(super) struct Part {
    /// (gate, slot): the gate's share of the product is added to the slot, and the backward pass leaves its gradient
    /// there.
    pub gates: &'static [(usize, usize)],
    /// The factor: the previous h, or a slot.
    pub factor: Factor,
}

#[derive(Clone, Copy)]
pub(super) enum Factor {
    PreviousState,
    Slot(usize),
}

/// The products of one step with the recurrent kernel, as a time loop provides them.
pub(super) trait Products<S: Simd> {
    /// Vectors in a slot.
    fn slot(&self) -> usize;

    /// The activation of the candidate, and that of the gates.
    fn activations(&self) -> (Activation, Activation);

    /// Adds to the slots of part `part` the product of `factor`, dropout applied, with the recurrent kernel. `slots`
    /// begins with slot 0.
    fn recurrent(
        &self,
        simd: S,
        part: usize,
        slots: &mut [S::f32s],
        factor: &[S::f32s],
        scratch: &mut [S::f32s],
    );

    /// Adds to `gradient` that of the factor, given those of the part's slots.
    fn recurrent_back(
        &self,
        simd: S,
        part: usize,
        gradient: &mut [S::f32s],
        slots: &[S::f32s],
        scratch: &mut [S::f32s],
    );
}

/// Slots' worth of scratch memory that a cell is given.
pub(super) const SCRATCH: usize = 5;

/// A cell's arithmetic. The time loop hands it its *state* ([`Kind::states`] slots' worth) and its *slots*, which are
/// kept for the backward pass. The first [`Kind::gates`] slots come in holding `x · kernel + bias`, and hold, after
/// `backward`, the gradient of that.
pub(super) trait Cell {
    /// The slots.
    const SLOTS: usize;
    /// The products with the recurrent kernel, in the order they are made.
    const PARTS: &'static [Part];

    /// Replaces `state` by the next one and fills `slots`.
    fn forward<S: Simd, P: Products<S>>(
        simd: S,
        net: &P,
        state: &mut [S::f32s],
        slots: &mut [S::f32s],
        scratch: &mut [S::f32s],
    );

    /// `gradient`: of the state after the step, replaced by that of the state before it, `previous`.
    fn backward<S: Simd, P: Products<S>>(
        simd: S,
        net: &P,
        previous: &[S::f32s],
        slots: &mut [S::f32s],
        gradient: &mut [S::f32s],
        scratch: &mut [S::f32s],
    );
}

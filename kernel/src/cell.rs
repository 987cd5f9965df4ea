//! What a cell is to the time loop: how it steps forward, and how it steps back.

use crate::activation::Functions;
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

/// A product with the recurrent kernel: which of its gates go to which slots, and what is multiplied.
pub(crate) struct Part {
    /// (gate, slot): the gate's share of the product is added to the slot, and the backward pass leaves its gradient
    /// there.
    pub gates: &'static [(usize, usize)],
    /// The factor: the previous h, or a slot.
    pub factor: Factor,
}

#[derive(Clone, Copy)]
pub(crate) enum Factor {
    PreviousState,
    Slot(usize),
}

/// A cell's arithmetic between the products, on a group: `M` vectors of units, each of a sequence or of two.
///
/// The *state* is the vectors of [`Kind::states`]; the *slots* are kept for the backward pass. The first slots come in
/// holding `x · kernel + bias`, and hold, after the backward pass, the gradient of that.
pub(crate) trait Cell {
    /// Vectors of a state.
    const STATES: usize;
    /// The slots.
    const SLOTS: usize;
    /// The products with the recurrent kernel, in the order they are made.
    const PARTS: &'static [Part];

    /// What follows once the product of part `part` has been added to its slots. After the last part `next` holds the
    /// next state.
    fn forward<S: Simd, F: Functions, const M: usize>(
        simd: S,
        part: usize,
        functions: F,
        previous: &[[S::f32s; M]],
        next: &mut [[S::f32s; M]],
        slots: &mut [[S::f32s; M]],
    );

    /// The way back, from the last part to the first: turns the slots of part `part` into the gradients of their
    /// pre-activations. `gradient` comes in as that of the next state, and after part 0 it is that of `previous`, but for
    /// what the products add to h. `d_factor` is the gradient of the factor of the part before (which was handled after),
    /// if that is a slot.
    fn backward<S: Simd, F: Functions, const M: usize>(
        simd: S,
        part: usize,
        functions: F,
        previous: &[[S::f32s; M]],
        slots: &mut [[S::f32s; M]],
        gradient: &mut [[S::f32s; M]],
        d_factor: &[S::f32s; M],
    );
}

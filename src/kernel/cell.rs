//! What a cell is to the time loop: how it steps forward, and how it steps back.

use super::{activation::Activation, block};
use pulp::Simd;
use std::ops::Range;

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

/// Dropout masks in lanes: one for all gates, or one a gate.
#[derive(Clone, Copy)]
pub(super) struct Masks<'a, V> {
    /// `gates` masks, each as long as what it multiplies.
    pub values: &'a [V],
    pub per_gate: bool,
}

impl<'a, V> Masks<'a, V> {
    /// The mask of `gate` over a vector of `len` values.
    #[inline(always)]
    pub fn of(self, gate: usize, len: usize) -> &'a [V] {
        let start = if self.per_gate { gate * len } else { 0 };
        &self.values[start..start + len]
    }
}

/// The weights and masks of a block, as the cells use them. F is the number of input features, u of units, G of gates.
pub(super) struct Net<'a, V> {
    pub units: usize,
    pub activation: Activation,
    pub recurrent_activation: Activation,
    /// (F, G·u)
    pub kernel: &'a [f32],
    /// (u, G·u)
    pub recurrent: &'a [f32],
    /// (rows, G·u) or empty.
    pub bias: &'a [f32],
    /// (G·u, F), (G·u, u): the transposes, for the backward pass.
    pub kernel_transposed: &'a [f32],
    pub recurrent_transposed: &'a [f32],
    pub input_masks: Option<Masks<'a, V>>,
    pub recurrent_masks: Option<Masks<'a, V>>,
    pub gates: usize,
}

impl<'a, V: Copy> Net<'a, V> {
    /// Row `row` of the bias for gate `from` on, as long as `out`, or zeros, in every lane of `out`.
    #[inline(always)]
    pub fn start<S: Simd<f32s = V>>(&self, simd: S, row: usize, from: usize, out: &mut [V]) {
        if self.bias.is_empty() {
            out.fill(simd.splat_f32s(0.0));
        } else {
            let row = &self.bias[(row * self.gates + from) * self.units..][..out.len()];
            for j in 0..out.len() {
                out[j] = simd.splat_f32s(row[j]);
            }
        }
    }

    /// The input's masks, if each gate has its own.
    #[inline(always)]
    pub fn input_masks_per_gate(&self) -> Option<Masks<'a, V>> {
        match self.input_masks {
            Some(masks) if masks.per_gate => Some(masks),
            _ => None,
        }
    }

    /// `out += x · kernel`, all gates. A mask common to the gates has been applied when x was read.
    #[inline(always)]
    pub fn input<S: Simd<f32s = V>>(&self, simd: S, out: &mut [V], x: &[V], scratch: &mut [V]) {
        self.masked_product(simd, out, x, self.kernel, 0, self.input_masks_per_gate(), scratch);
    }

    /// `out += (h · mask) · recurrent_kernel` for the gates from `gate` on.
    #[inline(always)]
    pub fn recurrent<S: Simd<f32s = V>>(
        &self,
        simd: S,
        out: &mut [V],
        h: &[V],
        gate: usize,
        scratch: &mut [V],
    ) {
        self.masked_product(simd, out, h, self.recurrent, gate, self.recurrent_masks, scratch);
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn masked_product<S: Simd<f32s = V>>(
        &self,
        simd: S,
        out: &mut [V],
        a: &[V],
        weights: &[f32],
        gate: usize,
        masks: Option<Masks<'_, V>>,
        scratch: &mut [V],
    ) {
        let width = self.gates * self.units;
        let Some(masks) = masks else {
            return block::project(simd, out, a, weights, width, gate * self.units);
        };
        let scratch = &mut scratch[..a.len()];
        for g in 0..out.len() / self.units {
            let mask = masks.of(gate + g, a.len());
            for k in 0..a.len() {
                scratch[k] = simd.mul_f32s(a[k], mask[k]);
            }
            let out = &mut out[g * self.units..][..self.units];
            block::project(simd, out, scratch, weights, width, (gate + g) * self.units);
        }
    }

    /// `dh += (d · recurrent_kernelᵀ) · mask` for the gates from `gate` on: the gradient of [`Net::recurrent`].
    #[inline(always)]
    pub fn recurrent_back<S: Simd<f32s = V>>(
        &self,
        simd: S,
        dh: &mut [V],
        d: &[V],
        gate: usize,
        scratch: &mut [V],
    ) {
        self.masked_back(simd, dh, d, self.recurrent_transposed, gate, self.recurrent_masks, scratch);
    }

    /// `dx += (d · kernelᵀ) · mask`: the gradient of [`Net::input`], with the common mask too.
    #[inline(always)]
    pub fn input_back<S: Simd<f32s = V>>(&self, simd: S, dx: &mut [V], d: &[V], scratch: &mut [V]) {
        self.masked_back(simd, dx, d, self.kernel_transposed, 0, self.input_masks, scratch);
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn masked_back<S: Simd<f32s = V>>(
        &self,
        simd: S,
        out: &mut [V],
        d: &[V],
        transposed: &[f32],
        gate: usize,
        masks: Option<Masks<'_, V>>,
        scratch: &mut [V],
    ) {
        let width = out.len();
        let weights = &transposed[gate * self.units * width..];
        let Some(masks) = masks else {
            return block::project(simd, out, d, weights, width, 0);
        };
        let scratch = &mut scratch[..width];
        for g in 0..d.len() / self.units {
            let d = &d[g * self.units..][..self.units];
            scratch.fill(simd.splat_f32s(0.0));
            block::project(simd, scratch, d, &weights[g * self.units * width..], width, 0);
            let mask = masks.of(gate + g, width);
            for k in 0..width {
                out[k] = simd.mul_add_e_f32s(scratch[k], mask[k], out[k]);
            }
        }
    }
}

/// What multiplied the recurrent kernel's block of some gates, and where the gradient of the product stands: for the
/// weight gradient.
pub(super) struct RecurrentPart {
    /// The gates of the recurrent kernel.
    pub gates: Range<usize>,
    /// The factor: the previous h, or a slot.
    pub factor: Factor,
    /// The slot where the gradients of these gates begin.
    pub gradient: usize,
}

pub(super) enum Factor {
    PreviousState,
    Slot(usize),
}

/// A cell's arithmetic. The time loop hands it its *state* ([`Kind::states`] · u vectors) and its *slots* (`SLOTS` · u
/// vectors kept for the backward pass); the first [`Kind::gates`] slots hold, after `backward`, the gradient of the
/// input product.
pub(super) trait Cell {
    const SLOTS: usize;

    /// Replaces `state` by the next one and fills `slots`.
    fn forward<S: Simd>(
        simd: S,
        net: &Net<'_, S::f32s>,
        x: &[S::f32s],
        state: &mut [S::f32s],
        slots: &mut [S::f32s],
        scratch: &mut [S::f32s],
    );

    /// `gradient`: of the state after the step, replaced by that of the state before it, `previous`.
    fn backward<S: Simd>(
        simd: S,
        net: &Net<'_, S::f32s>,
        previous: &[S::f32s],
        slots: &mut [S::f32s],
        gradient: &mut [S::f32s],
        scratch: &mut [S::f32s],
    );

    /// The parts of the recurrent kernel's gradient.
    fn recurrent_parts() -> Vec<RecurrentPart>;
}

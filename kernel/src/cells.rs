//! The cells by their kind: what the time loops know of them, and a step of their arithmetic on all groups of a block.

use crate::activation::{Any, Functions, Usual};
use crate::cell::{Cell, Kind, Part};
use crate::isa::outline;
use crate::layer::Layer;
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// A value in which `$C` is the cell of a kind.
macro_rules! with_cell {
    ($kind:expr, $C:ident => $value:expr) => {
        match $kind {
            $crate::cell::Kind::SimpleRnn => {
                type $C = $crate::simple_rnn::SimpleRnn;
                $value
            }
            $crate::cell::Kind::Lstm => {
                type $C = $crate::lstm::Lstm;
                $value
            }
            $crate::cell::Kind::Gru { reset_after: true } => {
                type $C = $crate::gru::Gru<true>;
                $value
            }
            $crate::cell::Kind::Gru { reset_after: false } => {
                type $C = $crate::gru::Gru<false>;
                $value
            }
        }
    };
}

pub(crate) use with_cell;

impl Kind {
    /// The slots of its cell.
    pub(crate) fn slots(self) -> usize {
        with_cell!(self, C => C::SLOTS)
    }

    /// The products with the recurrent kernel, in the order they are made.
    pub(crate) fn parts(self) -> &'static [Part] {
        with_cell!(self, C => C::PARTS)
    }
}

/// A step forward of all groups, after the product of a part: see [`Cell::forward`].
pub(crate) struct StepForward<'a> {
    pub part: usize,
    pub previous: &'a [f32],
    pub next: &'a mut [f32],
    pub slots: &'a mut [f32],
}

impl StepForward<'_> {
    /// With a cell and the layer's activations, on groups of `M` vectors.
    #[inline(always)]
    pub fn run<S: Simd, C: Cell, const M: usize>(self, simd: S, layer: &Layer) {
        let cell = PhantomData::<C>;
        if layer.usual() {
            outline(simd, Forward::<C, _, M> { step: self, functions: Usual, cell });
        } else {
            let functions = Any(layer.activation, layer.recurrent_activation);
            outline(simd, Forward::<C, _, M> { step: self, functions, cell });
        }
    }
}

struct Forward<'a, C, F, const M: usize> {
    step: StepForward<'a>,
    functions: F,
    cell: PhantomData<C>,
}

impl<C: Cell, F: Functions, const M: usize> WithSimd for Forward<'_, C, F, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let StepForward { part, previous, next, slots } = self.step;
        let previous = pulp::as_arrays::<M, _>(S::as_simd_f32s(previous).0).0;
        let next = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(next).0).0;
        let slots = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(slots).0).0;
        for t in 0..slots.len() / C::SLOTS {
            let previous = &previous[t * C::STATES..][..C::STATES];
            let next = &mut next[t * C::STATES..][..C::STATES];
            let slots = &mut slots[t * C::SLOTS..][..C::SLOTS];
            C::forward(simd, part, self.functions, previous, next, slots);
        }
    }
}

/// A step back of all groups, before the product of a part goes back: see [`Cell::backward`].
pub(crate) struct StepBackward<'a> {
    pub part: usize,
    pub previous: &'a [f32],
    pub slots: &'a mut [f32],
    pub gradient: &'a mut [f32],
    pub d_factor: &'a [f32],
}

impl StepBackward<'_> {
    /// With a cell and the layer's activations, on groups of `M` vectors.
    #[inline(always)]
    pub fn run<S: Simd, C: Cell, const M: usize>(self, simd: S, layer: &Layer) {
        let cell = PhantomData::<C>;
        if layer.usual() {
            outline(simd, Backward::<C, _, M> { step: self, functions: Usual, cell });
        } else {
            let functions = Any(layer.activation, layer.recurrent_activation);
            outline(simd, Backward::<C, _, M> { step: self, functions, cell });
        }
    }
}

struct Backward<'a, C, F, const M: usize> {
    step: StepBackward<'a>,
    functions: F,
    cell: PhantomData<C>,
}

impl<C: Cell, F: Functions, const M: usize> WithSimd for Backward<'_, C, F, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let StepBackward { part, previous, slots, gradient, d_factor } = self.step;
        let previous = pulp::as_arrays::<M, _>(S::as_simd_f32s(previous).0).0;
        let slots = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(slots).0).0;
        let gradient = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(gradient).0).0;
        let d_factor = pulp::as_arrays::<M, _>(S::as_simd_f32s(d_factor).0).0;
        for t in 0..slots.len() / C::SLOTS {
            let previous = &previous[t * C::STATES..][..C::STATES];
            let gradient = &mut gradient[t * C::STATES..][..C::STATES];
            let slots = &mut slots[t * C::SLOTS..][..C::SLOTS];
            C::backward(simd, part, self.functions, previous, slots, gradient, &d_factor[t]);
        }
    }
}

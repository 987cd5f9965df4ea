//! SimpleRNN (Elman 1990; `keras/src/layers/rnn/simple_rnn.py`): h' = f(x W + b + h U).

use crate::activation::Functions;
use crate::cell::{Cell, Factor, Part};
use pulp::Simd;

/// One slot: the new h, then the gradient of its pre-activation.
pub(crate) struct SimpleRnn;

impl Cell for SimpleRnn {
    const STATES: usize = 1;
    const SLOTS: usize = 1;
    const PARTS: &'static [Part] = &[Part { gates: &[(0, 0)], factor: Factor::PreviousState }];

    #[inline(always)]
    fn forward<S: Simd, F: Functions, const M: usize>(
        simd: S,
        _: usize,
        functions: F,
        _: &[[S::f32s; M]],
        next: &mut [[S::f32s; M]],
        slots: &mut [[S::f32s; M]],
    ) {
        next[0] = functions.squash(simd, slots[0]);
        slots[0] = functions.keep(slots[0], next[0]);
    }

    #[inline(always)]
    fn backward<S: Simd, F: Functions, const M: usize>(
        simd: S,
        _: usize,
        functions: F,
        _: &[[S::f32s; M]],
        slots: &mut [[S::f32s; M]],
        gradient: &mut [[S::f32s; M]],
        _: &[S::f32s; M],
    ) {
        let opened = functions.open_squash(simd, slots[0]);
        for m in 0..M {
            let (_, slope) = functions.squash_at(simd, &opened, m);
            slots[0][m] = simd.mul_f32s(gradient[0][m], slope);
            gradient[0][m] = simd.splat_f32s(0.0);
        }
    }
}

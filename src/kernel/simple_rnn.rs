//! SimpleRNN (Elman 1990; `keras/src/layers/rnn/simple_rnn.py`): h' = f(x W + b + h U).

use super::cell::{Cell, Factor, Part, Products};
use pulp::Simd;

/// One slot: the new h, then the gradient of its pre-activation.
pub(super) struct SimpleRnn;

impl Cell for SimpleRnn {
    const SLOTS: usize = 1;
    const PARTS: &'static [Part] = &[Part { gates: &[(0, 0)], factor: Factor::PreviousState }];

    #[inline(always)]
    fn forward<S: Simd, P: Products<S>>(
        simd: S,
        net: &P,
        state: &mut [S::f32s],
        slots: &mut [S::f32s],
        scratch: &mut [S::f32s],
    ) {
        net.recurrent(simd, 0, slots, state, scratch);
        net.activations().0.apply(simd, slots);
        state.copy_from_slice(slots);
    }

    #[inline(always)]
    fn backward<S: Simd, P: Products<S>>(
        simd: S,
        net: &P,
        _: &[S::f32s],
        slots: &mut [S::f32s],
        gradient: &mut [S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let slopes = &mut scratch[..net.slot()];
        net.activations().0.derivatives(simd, slots, slopes);
        for k in 0..net.slot() {
            slots[k] = simd.mul_f32s(gradient[k], slopes[k]);
            gradient[k] = simd.splat_f32s(0.0);
        }
        net.recurrent_back(simd, 0, gradient, slots, scratch);
    }
}

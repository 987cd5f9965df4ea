//! SimpleRNN (Elman 1990; `keras/src/layers/rnn/simple_rnn.py`): h' = f(x W + b + h U).

use super::cell::{Cell, Factor, Net, RecurrentPart};
use pulp::Simd;

/// One slot: the new h, then the gradient of its pre-activation.
pub(super) struct SimpleRnn;

impl Cell for SimpleRnn {
    const SLOTS: usize = 1;

    #[inline(always)]
    fn forward<S: Simd>(
        simd: S,
        net: &Net<'_, S::f32s>,
        x: &[S::f32s],
        state: &mut [S::f32s],
        slots: &mut [S::f32s],
        scratch: &mut [S::f32s],
    ) {
        net.start(simd, 0, 0, slots);
        net.input(simd, slots, x, scratch);
        net.recurrent(simd, slots, state, 0, scratch);
        net.activation.apply(simd, slots);
        state.copy_from_slice(slots);
    }

    #[inline(always)]
    fn backward<S: Simd>(
        simd: S,
        net: &Net<'_, S::f32s>,
        _: &[S::f32s],
        slots: &mut [S::f32s],
        gradient: &mut [S::f32s],
        scratch: &mut [S::f32s],
    ) {
        for k in 0..net.units {
            slots[k] = simd.mul_f32s(gradient[k], net.activation.derivative(simd, slots[k]));
            gradient[k] = simd.splat_f32s(0.0);
        }
        net.recurrent_back(simd, gradient, slots, 0, scratch);
    }

    fn recurrent_parts() -> Vec<RecurrentPart> {
        vec![RecurrentPart { gates: 0..1, factor: Factor::PreviousState, gradient: 0 }]
    }
}

//! LSTM (Hochreiter and Schmidhuber 1997; `keras/src/layers/rnn/lstm.py`), s the recurrent activation, f the activation:
//!
//! ```text
//! i = s(x W_i + h U_i + b_i)    forget = s(x W_f + h U_f + b_f)
//! g = f(x W_c + h U_c + b_c)    o      = s(x W_o + h U_o + b_o)
//! c' = forget · c + i · g       h'     = o · f(c')
//! ```

use super::cell::{Cell, Factor, Net, RecurrentPart};
use pulp::Simd;

/// Five slots: i, forget, g, o (then their gradients) and f(c'). The state is h, c.
pub(super) struct Lstm;

impl Cell for Lstm {
    const SLOTS: usize = 5;

    #[inline(always)]
    fn forward<S: Simd>(
        simd: S,
        net: &Net<'_, S::f32s>,
        x: &[S::f32s],
        state: &mut [S::f32s],
        slots: &mut [S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let u = net.units;
        let (gates, squashed) = slots.split_at_mut(4 * u);
        let (h, c) = state.split_at_mut(u);
        net.start(simd, 0, 0, gates);
        net.input(simd, gates, x, scratch);
        net.recurrent(simd, gates, h, 0, scratch);
        net.recurrent_activation.apply(simd, &mut gates[..2 * u]);
        net.activation.apply(simd, &mut gates[2 * u..3 * u]);
        net.recurrent_activation.apply(simd, &mut gates[3 * u..]);
        let (i, forget, g, o) = quarters(gates, u);
        for k in 0..u {
            c[k] = simd.mul_add_e_f32s(forget[k], c[k], simd.mul_f32s(i[k], g[k]));
        }
        squashed.copy_from_slice(c);
        net.activation.apply(simd, squashed);
        for k in 0..u {
            h[k] = simd.mul_f32s(o[k], squashed[k]);
        }
    }

    #[inline(always)]
    fn backward<S: Simd>(
        simd: S,
        net: &Net<'_, S::f32s>,
        previous: &[S::f32s],
        slots: &mut [S::f32s],
        gradient: &mut [S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let u = net.units;
        let c = &previous[u..2 * u];
        let (gates, squashed) = slots.split_at_mut(4 * u);
        let (dh, dc) = gradient.split_at_mut(u);
        let (squash, gate) = (net.activation, net.recurrent_activation);
        let (i, forget, g, o) = quarters(gates, u);
        for k in 0..u {
            let d_output = simd.mul_f32s(dh[k], squashed[k]);
            let through = simd.mul_f32s(simd.mul_f32s(dh[k], o[k]), squash.derivative(simd, squashed[k]));
            let d_cell = simd.add_f32s(dc[k], through);
            let d_input = simd.mul_f32s(d_cell, g[k]);
            let d_candidate = simd.mul_f32s(d_cell, i[k]);
            let d_forget = simd.mul_f32s(d_cell, c[k]);
            dc[k] = simd.mul_f32s(d_cell, forget[k]);
            dh[k] = simd.splat_f32s(0.0);
            o[k] = simd.mul_f32s(d_output, gate.derivative(simd, o[k]));
            i[k] = simd.mul_f32s(d_input, gate.derivative(simd, i[k]));
            g[k] = simd.mul_f32s(d_candidate, squash.derivative(simd, g[k]));
            forget[k] = simd.mul_f32s(d_forget, gate.derivative(simd, forget[k]));
        }
        net.recurrent_back(simd, dh, gates, 0, scratch);
    }

    fn recurrent_parts() -> Vec<RecurrentPart> {
        vec![RecurrentPart { gates: 0..4, factor: Factor::PreviousState, gradient: 0 }]
    }
}

/// The four gates, each `u` long.
#[inline(always)]
fn quarters<V>(gates: &mut [V], u: usize) -> (&mut [V], &mut [V], &mut [V], &mut [V]) {
    let (i, rest) = gates.split_at_mut(u);
    let (forget, rest) = rest.split_at_mut(u);
    let (g, o) = rest.split_at_mut(u);
    (i, forget, g, &mut o[..u])
}

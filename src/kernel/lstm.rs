//! LSTM (Hochreiter and Schmidhuber 1997; `keras/src/layers/rnn/lstm.py`), s the recurrent activation, f the activation:
//!
//! ```text
//! i = s(x W_i + h U_i + b_i)    forget = s(x W_f + h U_f + b_f)
//! g = f(x W_c + h U_c + b_c)    o      = s(x W_o + h U_o + b_o)
//! c' = forget · c + i · g       h'     = o · f(c')
//! ```

use super::activation::Activation;
use super::cell::{Cell, Factor, Part, Products};
use pulp::Simd;

/// Five slots: i, forget, g, o (then their gradients) and f(c'). The state is h, c.
pub(super) struct Lstm;

impl Cell for Lstm {
    const SLOTS: usize = 5;
    const PARTS: &'static [Part] =
        &[Part { gates: &[(0, 0), (1, 1), (2, 2), (3, 3)], factor: Factor::PreviousState }];

    #[inline(always)]
    fn forward<S: Simd, P: Products<S>>(
        simd: S,
        net: &P,
        state: &mut [S::f32s],
        slots: &mut [S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let u = net.slot();
        let (gates, squashed) = slots.split_at_mut(4 * u);
        let (h, c) = state.split_at_mut(u);
        let (squash, gate) = net.activations();
        net.recurrent(simd, 0, gates, h, scratch);
        gate.apply(simd, &mut gates[..2 * u]);
        squash.apply(simd, &mut gates[2 * u..3 * u]);
        gate.apply(simd, &mut gates[3 * u..]);
        let (i, forget, g, o) = quarters(gates, u);
        for k in 0..u {
            c[k] = simd.mul_add_e_f32s(forget[k], c[k], simd.mul_f32s(i[k], g[k]));
        }
        squashed.copy_from_slice(c);
        squash.apply(simd, squashed);
        for k in 0..u {
            h[k] = simd.mul_f32s(o[k], squashed[k]);
        }
    }

    #[inline(always)]
    fn backward<S: Simd, P: Products<S>>(
        simd: S,
        net: &P,
        previous: &[S::f32s],
        slots: &mut [S::f32s],
        gradient: &mut [S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let u = net.slot();
        let c = &previous[u..2 * u];
        let (gates, squashed) = slots.split_at_mut(4 * u);
        let (dh, dc) = gradient.split_at_mut(u);
        if net.activations() == (Activation::Tanh, Activation::Sigmoid) {
            gates_back::<S, true>(simd, gates, squashed, c, dh, dc, &[]);
        } else {
            let (squash, gate) = net.activations();
            let slopes = &mut scratch[..5 * u];
            gate.derivatives(simd, &gates[..2 * u], &mut slopes[..2 * u]);
            squash.derivatives(simd, &gates[2 * u..3 * u], &mut slopes[2 * u..3 * u]);
            gate.derivatives(simd, &gates[3 * u..], &mut slopes[3 * u..4 * u]);
            squash.derivatives(simd, squashed, &mut slopes[4 * u..]);
            gates_back::<S, false>(simd, gates, squashed, c, dh, dc, slopes);
        }
        net.recurrent_back(simd, 0, dh, gates, scratch);
    }
}

/// Turns the gates into the gradients of their pre-activations, `dc` into that of the c before, `dh` into zeros. The
/// slopes of the activations are those of tanh and sigmoid (`USUAL`), or stand in `slopes`, slot by slot.
#[inline(always)]
fn gates_back<S: Simd, const USUAL: bool>(
    simd: S,
    gates: &mut [S::f32s],
    squashed: &[S::f32s],
    c: &[S::f32s],
    dh: &mut [S::f32s],
    dc: &mut [S::f32s],
    slopes: &[S::f32s],
) {
    let u = c.len();
    let slopes = if USUAL { slopes } else { &slopes[..5 * u] };
    let (i, forget, g, o) = quarters(gates, u);
    let (squashed, dh, dc) = (&squashed[..u], &mut dh[..u], &mut dc[..u]);
    for k in 0..u {
        macro_rules! slope_of {
            ($usual:ident, $y:expr, $slot:literal) => {
                if USUAL { Activation::$usual.derivative(simd, $y) } else { slopes[$slot * u + k] }
            };
        }
        let d_output = simd.mul_f32s(dh[k], squashed[k]);
        let through = simd.mul_f32s(simd.mul_f32s(dh[k], o[k]), slope_of!(Tanh, squashed[k], 4));
        let d_cell = simd.add_f32s(dc[k], through);
        let d_input = simd.mul_f32s(d_cell, g[k]);
        let d_candidate = simd.mul_f32s(d_cell, i[k]);
        let d_forget = simd.mul_f32s(d_cell, c[k]);
        dc[k] = simd.mul_f32s(d_cell, forget[k]);
        dh[k] = simd.splat_f32s(0.0);
        o[k] = simd.mul_f32s(d_output, slope_of!(Sigmoid, o[k], 3));
        i[k] = simd.mul_f32s(d_input, slope_of!(Sigmoid, i[k], 0));
        g[k] = simd.mul_f32s(d_candidate, slope_of!(Tanh, g[k], 2));
        forget[k] = simd.mul_f32s(d_forget, slope_of!(Sigmoid, forget[k], 1));
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

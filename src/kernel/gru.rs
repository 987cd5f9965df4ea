//! GRU (Cho et al. 2014; `keras/src/layers/rnn/gru.py`), s the recurrent activation, f the activation:
//!
//! ```text
//! z = s(x W_z + h U_z + b_z)    r = s(x W_r + h U_r + b_r)
//! reset after:   candidate = f(x W_h + b_h + r · q),  q = h U_h + b'_h
//! reset before:  candidate = f(x W_h + b_h + q U_h),  q = r · h
//! h' = z · h + (1 - z) · candidate
//! ```

use super::cell::{Cell, Factor, Net, RecurrentPart};
use pulp::Simd;

/// Four slots: z, r, the candidate (then the gradients of their pre-activations) and q (reset after: then its
/// gradient).
pub(super) struct Gru<const RESET_AFTER: bool>;

impl<const RESET_AFTER: bool> Cell for Gru<RESET_AFTER> {
    const SLOTS: usize = 4;

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
        net.start(simd, 0, 0, &mut slots[..3 * u]);
        net.input(simd, &mut slots[..3 * u], x, scratch);
        let (gates, rest) = slots.split_at_mut(2 * u);
        let (candidate, q) = rest.split_at_mut(u);
        if RESET_AFTER && !net.bias.is_empty() {
            let recurrent_bias = &net.bias[3 * u..5 * u];
            for k in 0..2 * u {
                gates[k] = simd.add_f32s(gates[k], simd.splat_f32s(recurrent_bias[k]));
            }
        }
        net.recurrent(simd, gates, state, 0, scratch);
        net.recurrent_activation.apply(simd, gates);
        let (z, r) = gates.split_at_mut(u);
        if RESET_AFTER {
            net.start(simd, 1, 2, q);
            net.recurrent(simd, q, state, 2, scratch);
            for k in 0..u {
                candidate[k] = simd.mul_add_e_f32s(r[k], q[k], candidate[k]);
            }
        } else {
            for k in 0..u {
                q[k] = simd.mul_f32s(r[k], state[k]);
            }
            net.recurrent(simd, candidate, q, 2, scratch);
        }
        net.activation.apply(simd, candidate);
        for k in 0..u {
            let difference = simd.sub_f32s(state[k], candidate[k]);
            state[k] = simd.mul_add_e_f32s(z[k], difference, candidate[k]);
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
        let one = simd.splat_f32s(1.0);
        let (squash, gate) = (net.activation, net.recurrent_activation);
        let h = &previous[..u];
        let (gates, rest) = slots.split_at_mut(2 * u);
        let (candidate, q) = rest.split_at_mut(u);
        {
            let (z, r) = gates.split_at_mut(u);
            for k in 0..u {
                let dh = gradient[k];
                let d_update = simd.mul_f32s(dh, simd.sub_f32s(h[k], candidate[k]));
                let d_candidate = simd.mul_f32s(
                    simd.mul_f32s(dh, simd.sub_f32s(one, z[k])),
                    squash.derivative(simd, candidate[k]),
                );
                gradient[k] = simd.mul_f32s(dh, z[k]);
                z[k] = simd.mul_f32s(d_update, gate.derivative(simd, z[k]));
                candidate[k] = d_candidate;
                if RESET_AFTER {
                    let d_reset = simd.mul_f32s(d_candidate, q[k]);
                    q[k] = simd.mul_f32s(d_candidate, r[k]);
                    r[k] = simd.mul_f32s(d_reset, gate.derivative(simd, r[k]));
                }
            }
            if !RESET_AFTER {
                // The gradient of q, which itself stays for the weight gradient.
                let (d_q, scratch) = scratch.split_at_mut(u);
                d_q.fill(simd.splat_f32s(0.0));
                net.recurrent_back(simd, d_q, candidate, 2, scratch);
                for k in 0..u {
                    gradient[k] = simd.mul_add_e_f32s(d_q[k], r[k], gradient[k]);
                    let d_reset = simd.mul_f32s(d_q[k], h[k]);
                    r[k] = simd.mul_f32s(d_reset, gate.derivative(simd, r[k]));
                }
            }
        }
        net.recurrent_back(simd, gradient, gates, 0, scratch);
        if RESET_AFTER {
            net.recurrent_back(simd, gradient, q, 2, scratch);
        }
    }

    fn recurrent_parts() -> Vec<RecurrentPart> {
        let candidate = if RESET_AFTER {
            RecurrentPart { gates: 2..3, factor: Factor::PreviousState, gradient: 3 }
        } else {
            RecurrentPart { gates: 2..3, factor: Factor::Slot(3), gradient: 2 }
        };
        vec![RecurrentPart { gates: 0..2, factor: Factor::PreviousState, gradient: 0 }, candidate]
    }
}

//! GRU (Cho et al. 2014; `keras/src/layers/rnn/gru.py`), s the recurrent activation, f the activation:
//!
//! ```text
//! z = s(x W_z + h U_z + b_z)    r = s(x W_r + h U_r + b_r)
//! reset after:   candidate = f(x W_h + b_h + r · q),  q = h U_h + b'_h
//! reset before:  candidate = f(x W_h + b_h + q U_h),  q = r · h
//! h' = z · h + (1 - z) · candidate
//! ```

use super::activation::Activation;
use super::cell::{Cell, Factor, Part, Products};
use pulp::Simd;

/// Four slots: z, r, the candidate (then the gradients of their pre-activations) and q (reset after: then its
/// gradient).
pub(super) struct Gru<const RESET_AFTER: bool>;

impl<const RESET_AFTER: bool> Cell for Gru<RESET_AFTER> {
    const SLOTS: usize = 4;
    const PARTS: &'static [Part] = if RESET_AFTER {
        &[Part { gates: &[(0, 0), (1, 1), (2, 3)], factor: Factor::PreviousState }]
    } else {
        &[
            Part { gates: &[(0, 0), (1, 1)], factor: Factor::PreviousState },
            Part { gates: &[(2, 2)], factor: Factor::Slot(3) },
        ]
    };

    #[inline(always)]
    fn forward<S: Simd, P: Products<S>>(
        simd: S,
        net: &P,
        state: &mut [S::f32s],
        slots: &mut [S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let u = net.slot();
        let (squash, gate) = net.activations();
        net.recurrent(simd, 0, slots, state, scratch);
        gate.apply(simd, &mut slots[..2 * u]);
        let (gates, rest) = slots.split_at_mut(2 * u);
        let r = &gates[u..];
        if RESET_AFTER {
            let (candidate, q) = rest.split_at_mut(u);
            for k in 0..u {
                candidate[k] = simd.mul_add_e_f32s(r[k], q[k], candidate[k]);
            }
        } else {
            for k in 0..u {
                rest[u + k] = simd.mul_f32s(r[k], state[k]);
            }
            let (slots, q) = slots.split_at_mut(3 * u);
            net.recurrent(simd, 1, slots, q, scratch);
        }
        let (z, rest) = slots.split_at_mut(u);
        let candidate = &mut rest[u..2 * u];
        squash.apply(simd, candidate);
        for k in 0..u {
            let difference = simd.sub_f32s(state[k], candidate[k]);
            state[k] = simd.mul_add_e_f32s(z[k], difference, candidate[k]);
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
        if net.activations() == (Activation::Tanh, Activation::Sigmoid) {
            Self::gates_back::<S, P, true>(simd, net, previous, slots, gradient, scratch);
        } else {
            Self::gates_back::<S, P, false>(simd, net, previous, slots, gradient, scratch);
        }
        net.recurrent_back(simd, 0, gradient, slots, scratch);
    }
}

impl<const RESET_AFTER: bool> Gru<RESET_AFTER> {
    /// Turns the slots into the gradients of their pre-activations, and `gradient` into its direct part. The activations
    /// are tanh and sigmoid (`USUAL`), or any.
    #[inline(always)]
    fn gates_back<S: Simd, P: Products<S>, const USUAL: bool>(
        simd: S,
        net: &P,
        previous: &[S::f32s],
        slots: &mut [S::f32s],
        gradient: &mut [S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let u = net.slot();
        let one = simd.splat_f32s(1.0);
        let h = &previous[..u];
        let (slopes, scratch) = scratch.split_at_mut(if USUAL { 0 } else { 3 * u });
        if !USUAL {
            let (squash, gate) = net.activations();
            gate.derivatives(simd, &slots[..2 * u], &mut slopes[..2 * u]);
            squash.derivatives(simd, &slots[2 * u..3 * u], &mut slopes[2 * u..]);
        }
        macro_rules! slope_of {
            ($usual:ident, $y:expr, $slot:literal, $k:expr) => {
                if USUAL { Activation::$usual.derivative(simd, $y) } else { slopes[$slot * u + $k] }
            };
        }
        {
            let (z, rest) = slots.split_at_mut(u);
            let (r, rest) = rest.split_at_mut(u);
            let (candidate, q) = rest.split_at_mut(u);
            let (gradient, q) = (&mut gradient[..u], &mut q[..u]);
            for k in 0..u {
                let dh = gradient[k];
                let d_update = simd.mul_f32s(dh, simd.sub_f32s(h[k], candidate[k]));
                let d_candidate = simd.mul_f32s(
                    simd.mul_f32s(dh, simd.sub_f32s(one, z[k])),
                    slope_of!(Tanh, candidate[k], 2, k),
                );
                gradient[k] = simd.mul_f32s(dh, z[k]);
                z[k] = simd.mul_f32s(d_update, slope_of!(Sigmoid, z[k], 0, k));
                candidate[k] = d_candidate;
                if RESET_AFTER {
                    let d_reset = simd.mul_f32s(d_candidate, q[k]);
                    q[k] = simd.mul_f32s(d_candidate, r[k]);
                    r[k] = simd.mul_f32s(d_reset, slope_of!(Sigmoid, r[k], 1, k));
                }
            }
        }
        if !RESET_AFTER {
            // The gradient of q, which itself stays for the weight gradient.
            let (d_q, scratch) = scratch.split_at_mut(u);
            d_q.fill(simd.splat_f32s(0.0));
            net.recurrent_back(simd, 1, d_q, slots, scratch);
            let r = &mut slots[u..2 * u];
            for k in 0..u {
                gradient[k] = simd.mul_add_e_f32s(d_q[k], r[k], gradient[k]);
                let d_reset = simd.mul_f32s(d_q[k], h[k]);
                r[k] = simd.mul_f32s(d_reset, slope_of!(Sigmoid, r[k], 1, k));
            }
        }
    }
}

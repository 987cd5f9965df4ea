//! GRU (Cho et al. 2014; `keras/src/layers/rnn/gru.py`), s the recurrent activation, f the activation:
//!
//! ```text
//! z = s(x W_z + h U_z + b_z)    r = s(x W_r + h U_r + b_r)
//! reset after:   candidate = f(x W_h + b_h + r · q),  q = h U_h + b'_h
//! reset before:  candidate = f(x W_h + b_h + q U_h),  q = r · h
//! h' = z · h + (1 - z) · candidate
//! ```

use crate::activation::Functions;
use crate::cell::{Cell, Factor, Part};
use pulp::Simd;

/// Four slots: z, r, the candidate (then the gradients of their pre-activations) and q (reset after: then its
/// gradient).
pub(crate) struct Gru<const RESET_AFTER: bool>;

impl<const RESET_AFTER: bool> Cell for Gru<RESET_AFTER> {
    const STATES: usize = 1;
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
    fn forward<S: Simd, F: Functions, const M: usize>(
        simd: S,
        part: usize,
        functions: F,
        previous: &[[S::f32s; M]],
        next: &mut [[S::f32s; M]],
        slots: &mut [[S::f32s; M]],
    ) {
        if part == 0 {
            let z = functions.gate(simd, slots[0]);
            let r = functions.gate(simd, slots[1]);
            slots[0] = functions.keep(slots[0], z);
            slots[1] = functions.keep(slots[1], r);
            if !RESET_AFTER {
                // z waits where the next state will stand.
                next[0] = z;
                for m in 0..M {
                    slots[3][m] = simd.mul_f32s(r[m], previous[0][m]);
                }
                return;
            }
            for m in 0..M {
                slots[2][m] = simd.mul_add_f32s(r[m], slots[3][m], slots[2][m]);
            }
            return Self::blend(simd, functions, z, previous, next, slots);
        }
        Self::blend(simd, functions, next[0], previous, next, slots);
    }

    #[inline(always)]
    fn backward<S: Simd, F: Functions, const M: usize>(
        simd: S,
        part: usize,
        functions: F,
        previous: &[[S::f32s; M]],
        slots: &mut [[S::f32s; M]],
        gradient: &mut [[S::f32s; M]],
        d_factor: &[S::f32s; M],
    ) {
        let one = simd.splat_f32s(1.0);
        if part + 1 == Self::PARTS.len() {
            let of_z = functions.open_gate(simd, slots[0]);
            let of_candidate = functions.open_squash(simd, slots[2]);
            for m in 0..M {
                let (h, dh) = (previous[0][m], gradient[0][m]);
                let (z, z_slope) = functions.gate_at(simd, &of_z, m);
                let (candidate, slope) = functions.squash_at(simd, &of_candidate, m);
                let d_update = simd.mul_f32s(dh, simd.sub_f32s(h, candidate));
                let d_candidate = simd.mul_f32s(simd.mul_f32s(dh, simd.sub_f32s(one, z)), slope);
                gradient[0][m] = simd.mul_f32s(dh, z);
                slots[0][m] = simd.mul_f32s(d_update, z_slope);
                slots[2][m] = d_candidate;
            }
        }
        if part == 0 {
            let of_r = functions.open_gate(simd, slots[1]);
            for m in 0..M {
                let (r, r_slope) = functions.gate_at(simd, &of_r, m);
                let d_reset = if RESET_AFTER {
                    let (q, d_candidate) = (slots[3][m], slots[2][m]);
                    slots[3][m] = simd.mul_f32s(d_candidate, r);
                    simd.mul_f32s(d_candidate, q)
                } else {
                    gradient[0][m] = simd.mul_add_f32s(d_factor[m], r, gradient[0][m]);
                    simd.mul_f32s(d_factor[m], previous[0][m])
                };
                slots[1][m] = simd.mul_f32s(d_reset, r_slope);
            }
        }
    }
}

impl<const RESET_AFTER: bool> Gru<RESET_AFTER> {
    /// The candidate, and the next state between it and the previous one.
    #[inline(always)]
    fn blend<S: Simd, F: Functions, const M: usize>(
        simd: S,
        functions: F,
        z: [S::f32s; M],
        previous: &[[S::f32s; M]],
        next: &mut [[S::f32s; M]],
        slots: &mut [[S::f32s; M]],
    ) {
        let candidate = functions.squash(simd, slots[2]);
        slots[2] = functions.keep(slots[2], candidate);
        for m in 0..M {
            let difference = simd.sub_f32s(previous[0][m], candidate[m]);
            next[0][m] = simd.mul_add_f32s(z[m], difference, candidate[m]);
        }
    }
}

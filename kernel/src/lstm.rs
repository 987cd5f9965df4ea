//! LSTM (Hochreiter and Schmidhuber 1997; `keras/src/layers/rnn/lstm.py`), s the recurrent activation, f the activation:
//!
//! ```text
//! i = s(x W_i + h U_i + b_i)    forget = s(x W_f + h U_f + b_f)
//! g = f(x W_c + h U_c + b_c)    o      = s(x W_o + h U_o + b_o)
//! c' = forget · c + i · g       h'     = o · f(c')
//! ```

use crate::activation::Functions;
use crate::cell::{Cell, Factor, Part};
use pulp::Simd;

/// Five slots: i, forget, g, o (then their gradients) and f(c'). The state is h, c.
pub(crate) struct Lstm;

impl Cell for Lstm {
    const STATES: usize = 2;
    const SLOTS: usize = 5;
    const PARTS: &'static [Part] =
        &[Part { gates: &[(0, 0), (1, 1), (2, 2), (3, 3)], factor: Factor::PreviousState }];

    #[inline(always)]
    fn forward<S: Simd, F: Functions, const M: usize>(
        simd: S,
        _: usize,
        functions: F,
        previous: &[[S::f32s; M]],
        next: &mut [[S::f32s; M]],
        slots: &mut [[S::f32s; M]],
    ) {
        let i = functions.gate(simd, slots[0]);
        let g = functions.squash(simd, slots[2]);
        let forget = functions.gate(simd, slots[1]);
        let mut c = [simd.splat_f32s(0.0); M];
        for m in 0..M {
            c[m] = simd.mul_add_f32s(forget[m], previous[1][m], simd.mul_f32s(i[m], g[m]));
        }
        next[1] = c;
        slots[0] = functions.keep(slots[0], i);
        slots[1] = functions.keep(slots[1], forget);
        slots[2] = functions.keep(slots[2], g);
        let o = functions.gate(simd, slots[3]);
        let squashed = functions.squash(simd, c);
        slots[3] = functions.keep(slots[3], o);
        slots[4] = functions.keep(c, squashed);
        for m in 0..M {
            next[0][m] = simd.mul_f32s(o[m], squashed[m]);
        }
    }

    #[inline(always)]
    fn backward<S: Simd, F: Functions, const M: usize>(
        simd: S,
        _: usize,
        functions: F,
        previous: &[[S::f32s; M]],
        slots: &mut [[S::f32s; M]],
        gradient: &mut [[S::f32s; M]],
        _: &[S::f32s; M],
    ) {
        let of_i = functions.open_gate(simd, slots[0]);
        let of_forget = functions.open_gate(simd, slots[1]);
        let of_g = functions.open_squash(simd, slots[2]);
        let of_o = functions.open_gate(simd, slots[3]);
        let of_c = functions.open_squash(simd, slots[4]);
        for m in 0..M {
            let (dh, c) = (gradient[0][m], previous[1][m]);
            let (i, i_slope) = functions.gate_at(simd, &of_i, m);
            let (forget, forget_slope) = functions.gate_at(simd, &of_forget, m);
            let (g, g_slope) = functions.squash_at(simd, &of_g, m);
            let (o, o_slope) = functions.gate_at(simd, &of_o, m);
            let (squashed, squashed_slope) = functions.squash_at(simd, &of_c, m);
            let through = simd.mul_f32s(simd.mul_f32s(dh, o), squashed_slope);
            let dc = simd.add_f32s(gradient[1][m], through);
            slots[0][m] = simd.mul_f32s(simd.mul_f32s(dc, g), i_slope);
            slots[1][m] = simd.mul_f32s(simd.mul_f32s(dc, c), forget_slope);
            slots[2][m] = simd.mul_f32s(simd.mul_f32s(dc, i), g_slope);
            slots[3][m] = simd.mul_f32s(simd.mul_f32s(dh, squashed), o_slope);
            gradient[0][m] = simd.splat_f32s(0.0);
            gradient[1][m] = simd.mul_f32s(dc, forget);
        }
    }
}

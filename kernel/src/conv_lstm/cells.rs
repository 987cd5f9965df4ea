//! The cell of a ConvLSTM at some places.

use super::{ConvLstm, GATES};
use crate::activation::{Activation, Any, Functions, Usual};
use crate::cell::Cell;
use crate::isa::dispatch_for;
use crate::lstm::Lstm;
use crate::matmul::{some, write};
use pulp::{Simd, WithSimd};

/// Places that a cell takes side by side.
const ABREAST: usize = 4;

impl ConvLstm {
    /// A step of some places: the gates become what is kept of them.
    pub(super) fn cells(&self, gates: &mut [f32], previous: &[f32], c: &mut [f32], h: &mut [f32]) {
        let filters = self.units();
        assert!(previous.len() == h.len() && c.len() == h.len() && gates.len() == h.len() * GATES);
        assert!(h.len().is_multiple_of(filters));
        match (self.activation, self.recurrent_activation) {
            (Activation::Tanh, Activation::Sigmoid) => {
                dispatch_for(filters, Cells { functions: Usual, filters, gates, previous, c, h });
            }
            (f, s) => dispatch_for(filters, Cells { functions: Any(f, s), filters, gates, previous, c, h }),
        }
    }

    /// The way back of some places: what was kept of the gates becomes their gradients, `dc` that of the previous c.
    pub(super) fn cells_back(
        &self,
        gates: &mut [f32],
        previous: &[f32],
        c: &[f32],
        dh: &[f32],
        dc: &mut [f32],
    ) {
        let filters = self.units();
        assert!(previous.len() == dh.len() && c.len() == dh.len() && dc.len() == dh.len());
        assert!(gates.len() == dh.len() * GATES && dh.len().is_multiple_of(filters));
        match (self.activation, self.recurrent_activation) {
            (Activation::Tanh, Activation::Sigmoid) => {
                dispatch_for(filters, CellsBack { functions: Usual, filters, gates, previous, c, dh, dc });
            }
            (f, s) => {
                dispatch_for(
                    filters,
                    CellsBack { functions: Any(f, s), filters, gates, previous, c, dh, dc },
                );
            }
        }
    }
}

/// Some places' rows.
struct Cells<'a, F> {
    functions: F,
    filters: usize,
    gates: &'a mut [f32],
    previous: &'a [f32],
    c: &'a mut [f32],
    h: &'a mut [f32],
}

impl<F: Functions> WithSimd for Cells<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let rows = self.h.len() / self.filters;
        let mut row = 0;
        while row + ABREAST <= rows {
            self.rows::<S, ABREAST>(simd, row);
            row += ABREAST;
        }
        while row < rows {
            self.rows::<S, 1>(simd, row);
            row += 1;
        }
    }
}

impl<F: Functions> Cells<'_, F> {
    #[inline(always)]
    fn rows<S: Simd, const M: usize>(&mut self, simd: S, first: usize) {
        let filters = self.filters;
        let mut unit = 0;
        while unit < filters {
            let count = (filters - unit).min(S::F32_LANES);
            let mut slots = [[simd.splat_f32s(0.0); M]; 5];
            let mut states = [[simd.splat_f32s(0.0); M]; 2];
            // SAFETY: `ConvLstm::cells` has made sure that there are gates and states for each filter of each row.
            unsafe {
                for m in 0..M {
                    let row = self.gates.as_ptr().add((first + m) * GATES * filters + unit);
                    for slot in 0..GATES {
                        slots[slot][m] = some::<S, 1>(simd, row.add(slot * filters), count)[0];
                    }
                    let previous = self.previous.as_ptr().add((first + m) * filters + unit);
                    states[1][m] = some::<S, 1>(simd, previous, count)[0];
                }
                let mut next = states;
                Lstm::forward::<S, F, M>(simd, 0, self.functions, &states, &mut next, &mut slots);
                for m in 0..M {
                    let row = self.gates.as_mut_ptr().add((first + m) * GATES * filters + unit);
                    for slot in 0..GATES {
                        write::<S, 1>([slots[slot][m]], row.add(slot * filters), count);
                    }
                    let at = (first + m) * filters + unit;
                    write::<S, 1>([next[0][m]], self.h.as_mut_ptr().add(at), count);
                    write::<S, 1>([next[1][m]], self.c.as_mut_ptr().add(at), count);
                }
            }
            unit += S::F32_LANES;
        }
    }
}

/// Some places' rows on the way back.
struct CellsBack<'a, F> {
    functions: F,
    filters: usize,
    gates: &'a mut [f32],
    previous: &'a [f32],
    c: &'a [f32],
    dh: &'a [f32],
    dc: &'a mut [f32],
}

impl<F: Functions> WithSimd for CellsBack<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let rows = self.dh.len() / self.filters;
        let mut row = 0;
        while row + ABREAST <= rows {
            self.rows::<S, ABREAST>(simd, row);
            row += ABREAST;
        }
        while row < rows {
            self.rows::<S, 1>(simd, row);
            row += 1;
        }
    }
}

impl<F: Functions> CellsBack<'_, F> {
    #[inline(always)]
    fn rows<S: Simd, const M: usize>(&mut self, simd: S, first: usize) {
        let filters = self.filters;
        let mut unit = 0;
        while unit < filters {
            let count = (filters - unit).min(S::F32_LANES);
            let mut slots = [[simd.splat_f32s(0.0); M]; 5];
            let mut previous = [[simd.splat_f32s(0.0); M]; 2];
            let mut gradient = [[simd.splat_f32s(0.0); M]; 2];
            let mut c = [simd.splat_f32s(0.0); M];
            // SAFETY: `ConvLstm::cells_back` has made sure that there are numbers for each filter of each row.
            unsafe {
                for m in 0..M {
                    let row = self.gates.as_ptr().add((first + m) * GATES * filters + unit);
                    for slot in 0..GATES {
                        slots[slot][m] = some::<S, 1>(simd, row.add(slot * filters), count)[0];
                    }
                    let at = (first + m) * filters + unit;
                    previous[1][m] = some::<S, 1>(simd, self.previous.as_ptr().add(at), count)[0];
                    c[m] = some::<S, 1>(simd, self.c.as_ptr().add(at), count)[0];
                    gradient[0][m] = some::<S, 1>(simd, self.dh.as_ptr().add(at), count)[0];
                    gradient[1][m] = some::<S, 1>(simd, self.dc.as_ptr().add(at), count)[0];
                }
                slots[4] = self.functions.keep(c, self.functions.squash(simd, c));
                let (functions, none) = (self.functions, [simd.splat_f32s(0.0); M]);
                Lstm::backward::<S, F, M>(simd, 0, functions, &previous, &mut slots, &mut gradient, &none);
                for m in 0..M {
                    let row = self.gates.as_mut_ptr().add((first + m) * GATES * filters + unit);
                    for slot in 0..GATES {
                        write::<S, 1>([slots[slot][m]], row.add(slot * filters), count);
                    }
                    let at = (first + m) * filters + unit;
                    write::<S, 1>([gradient[1][m]], self.dc.as_mut_ptr().add(at), count);
                }
            }
            unit += S::F32_LANES;
        }
    }
}

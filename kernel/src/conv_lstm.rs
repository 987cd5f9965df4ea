//! The time loop of a ConvLSTM (Shi et al. 2015): an [`Lstm`] cell at each place of a picture, with a convolution of the
//! state for its product. The input's part of the gates comes ready.
//!
//! A few samples at a time go through all their steps, so that what belongs to them stays in the nearer caches. Samples do
//! not meet before the gradient of the kernel, which is that of all steps and samples at once: how they are cut shows in no
//! number.

use crate::activation::{Activation, Any, Functions, Usual};
use crate::buffer::Buffer;
use crate::cell::Cell;
use crate::convolution::Convolution;
use crate::isa::dispatch_for;
use crate::lstm::Lstm;
use crate::matmul::{Places, Start, some, write};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Gates, and what a row of slots holds of so many filters each: the gates, f(c') and the previous c.
const GATES: usize = 4;
const SLOTS: usize = 6;
/// Places that a thread works through at a time: a block has as many, or one sample. And those that a cell takes side by
/// side.
const ROWS: usize = 256;
const ABREAST: usize = 4;

/// A ConvLSTM's time loop.
#[derive(Clone, Debug)]
pub struct ConvLstm {
    /// Steps.
    pub time: usize,
    /// The convolution of the state of one step: from its filters to four times as many, in one group, with as many
    /// positions as steps along each axis.
    pub recurrent: Convolution,
    /// The activation of the candidate and of c.
    pub activation: Activation,
    /// The activation of the gates.
    pub recurrent_activation: Activation,
    /// Walk from the last step to the first.
    pub go_backwards: bool,
}

/// What the forward pass leaves for the backward pass.
pub struct ConvLstmSaved {
    /// Of each block of samples, and each step walked, the slots.
    slots: Vec<Vec<Buffer>>,
}

/// The gradients of what went in.
#[derive(Debug, Default)]
pub struct ConvLstmGradients {
    /// Of the input's part of the gates, (batch, time, lengths, 4 · filters).
    pub projected: Vec<f32>,
    /// Of the kernel, (sizes, filters, 4 · filters).
    pub kernel: Vec<f32>,
    /// Of the initial states, (2, batch, lengths, filters): h, then c.
    pub states: Vec<f32>,
}

impl ConvLstm {
    /// Numbers of a place of the state.
    fn width(&self) -> usize {
        self.recurrent.channels
    }

    /// Places of a picture.
    fn places(&self) -> usize {
        self.recurrent.axes.iter().map(|axis| axis.length).product()
    }

    /// Numbers of a state of the whole batch.
    fn numbers(&self) -> usize {
        self.recurrent.inputs()
    }

    /// The step of the input that is walked at `step`.
    fn at(&self, step: usize) -> usize {
        if self.go_backwards { self.time - 1 - step } else { step }
    }

    /// A sample's part of a step among all steps.
    fn of_step(&self, sample: usize, step: usize, steps: usize, width: usize) -> std::ops::Range<usize> {
        let picture = self.places() * width;
        let first = (sample * steps + step) * picture;
        first..first + picture
    }

    /// The blocks: those of so many samples, with a shorter one at the end.
    fn block(&self) -> usize {
        ROWS.div_ceil(self.places().max(1)).min(self.recurrent.batch).max(1)
    }

    /// The same loop for fewer samples, those that so many numbers of a state belong to.
    fn of_numbers(&self, numbers: usize) -> Self {
        let mut part = self.clone();
        part.recurrent.batch = numbers / (self.places() * self.width()).max(1);
        part
    }

    /// `projected` (batch, time, lengths, 4 · filters), `kernel` (sizes, filters, 4 · filters) and the initial states (2,
    /// batch, lengths, filters), h and c, to (batch, time + 1, lengths, filters): h after each step in the order walked,
    /// then the last c.
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn forward(
        &self,
        projected: &[f32],
        kernel: &[f32],
        states: &[f32],
        save: bool,
    ) -> (Vec<f32>, Option<ConvLstmSaved>) {
        let (numbers, time) = (self.numbers(), self.time);
        let mut out = vec![0.0; numbers * (time + 1)];
        let share = self.block() * self.places() * self.width();
        if share == 0 {
            return (out, save.then_some(ConvLstmSaved { slots: vec![] }));
        }
        let (h, c) = states[..2 * numbers].split_at(numbers);
        let parts = out.par_chunks_mut(share * (time + 1)).zip(projected.par_chunks(share * time * GATES));
        let states = h.par_chunks(share).zip(c.par_chunks(share));
        let slots = parts.zip(states).map(|((out, projected), (h, c))| {
            self.of_numbers(h.len()).forward_block(projected, kernel, (h, c), save, out)
        });
        let slots = slots.collect();
        (out, save.then_some(ConvLstmSaved { slots }))
    }

    fn forward_block(
        &self,
        projected: &[f32],
        kernel: &[f32],
        states: (&[f32], &[f32]),
        save: bool,
        out: &mut [f32],
    ) -> Vec<Buffer> {
        let (filters, places, numbers) = (self.width(), self.places(), self.numbers());
        let (batch, time) = (self.recurrent.batch, self.time);
        let (mut h, mut c) = (Buffer::new(numbers), Buffer::new(numbers));
        h.copy_from_slice(states.0);
        c.copy_from_slice(states.1);
        let mut saved = Vec::with_capacity(if save { time } else { 0 });
        let mut slots = Buffer::new(batch * places * SLOTS * filters);
        let table: Vec<usize> = (0..places).map(|place| place * GATES * filters).collect();
        for step in 0..time {
            let projected = &projected[self.at(step) * places * GATES * filters..];
            let rows = Places { of_sample: &table, stride: time * places * GATES * filters };
            let into = Places::every(SLOTS * filters);
            self.recurrent.add(&h, kernel, Start::Rows(projected, rows), into, &mut slots);
            let part = |(slots, (h, c)): (&mut [f32], (&mut [f32], &mut [f32]))| self.cells(slots, h, c);
            let states = h.par_chunks_mut(ROWS * filters).zip(c.par_chunks_mut(ROWS * filters));
            slots.par_chunks_mut(ROWS * SLOTS * filters).zip(states).for_each(part);
            for sample in 0..batch {
                out[self.of_step(sample, step, time + 1, filters)]
                    .copy_from_slice(&h[self.of_step(sample, 0, 1, filters)]);
            }
            if save {
                let next = Buffer::new(slots.len());
                saved.push(std::mem::replace(&mut slots, next));
            }
        }
        for sample in 0..batch {
            out[self.of_step(sample, time, time + 1, filters)]
                .copy_from_slice(&c[self.of_step(sample, 0, 1, filters)]);
        }
        saved
    }

    /// The gradients from that of the output; `out` is what the forward pass gave.
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn backward(
        &self,
        kernel: &[f32],
        states: &[f32],
        out: &[f32],
        saved: ConvLstmSaved,
        d_out: &[f32],
    ) -> ConvLstmGradients {
        let (numbers, time) = (self.numbers(), self.time);
        let mut projected = vec![0.0; numbers * time * GATES];
        let mut d_states = vec![0.0; 2 * numbers];
        // What each step began with.
        let mut before = Buffer::new(numbers * time);
        let share = self.block() * self.places() * self.width();
        if share > 0 {
            let (dh, dc) = d_states.split_at_mut(numbers);
            let d_states = dh.par_chunks_mut(share).zip(dc.par_chunks_mut(share));
            let given = states.par_chunks(share).zip(out.par_chunks(share * (time + 1)));
            let given = given.zip(d_out.par_chunks(share * (time + 1)));
            let sums =
                projected.par_chunks_mut(share * time * GATES).zip(before.par_chunks_mut(share * time));
            let parts = saved.slots.into_par_iter().zip(given).zip(sums).zip(d_states);
            parts.for_each(|(((slots, ((h, out), d_out)), sums), d_states)| {
                // The last block is shorter; the states are those of h, and then of c.
                let part = self.of_numbers(d_states.0.len());
                part.backward_block(kernel, (&h[..d_states.0.len()], out, d_out), slots, sums, d_states);
            });
        }
        let all = Convolution { batch: self.recurrent.batch * time, ..self.recurrent.clone() };
        let kernel = all.gradients(&before, &projected, false).kernel;
        ConvLstmGradients { projected, kernel, states: d_states }
    }

    fn backward_block(
        &self,
        kernel: &[f32],
        (h, out, d_out): (&[f32], &[f32], &[f32]),
        saved: Vec<Buffer>,
        (projected, before): (&mut [f32], &mut [f32]),
        (dh, dc): (&mut [f32], &mut [f32]),
    ) {
        let (filters, places) = (self.width(), self.places());
        let (batch, time) = (self.recurrent.batch, self.time);
        let width = GATES * filters;
        for sample in 0..batch {
            dc[self.of_step(sample, 0, 1, filters)]
                .copy_from_slice(&d_out[self.of_step(sample, time, time + 1, filters)]);
        }
        let mut d = Buffer::new(batch * places * width);
        for (step, mut slots) in saved.into_iter().enumerate().rev() {
            for sample in 0..batch {
                let d_out = &d_out[self.of_step(sample, step, time + 1, filters)];
                for (dh, d_out) in dh[self.of_step(sample, 0, 1, filters)].iter_mut().zip(d_out) {
                    *dh += d_out;
                }
                let previous = match step {
                    0 => &h[self.of_step(sample, 0, 1, filters)],
                    _ => &out[self.of_step(sample, step - 1, time + 1, filters)],
                };
                before[self.of_step(sample, self.at(step), time, filters)].copy_from_slice(previous);
            }
            let states = dh.par_chunks_mut(ROWS * filters).zip(dc.par_chunks_mut(ROWS * filters));
            let parts = slots.par_chunks_mut(ROWS * SLOTS * filters).zip(d.par_chunks_mut(ROWS * width));
            parts.zip(states).for_each(|((slots, d), (dh, dc))| self.cells_back(slots, d, dh, dc));
            for sample in 0..batch {
                projected[self.of_step(sample, self.at(step), time, width)]
                    .copy_from_slice(&d[self.of_step(sample, 0, 1, width)]);
            }
            dh.copy_from_slice(&self.recurrent.transposed(&d, kernel, None));
        }
    }

    /// A step of some places.
    fn cells(&self, slots: &mut [f32], h: &mut [f32], c: &mut [f32]) {
        let filters = self.width();
        assert!(h.len() == c.len() && slots.len() == h.len() * SLOTS && h.len().is_multiple_of(filters));
        match (self.activation, self.recurrent_activation) {
            (Activation::Tanh, Activation::Sigmoid) => {
                dispatch_for(filters, Cells { functions: Usual, filters, slots, h, c });
            }
            (f, s) => dispatch_for(filters, Cells { functions: Any(f, s), filters, slots, h, c }),
        }
    }

    /// The way back of some places.
    fn cells_back(&self, slots: &mut [f32], d: &mut [f32], dh: &mut [f32], dc: &mut [f32]) {
        let filters = self.width();
        assert!(dh.len() == dc.len() && slots.len() == dh.len() * SLOTS && d.len() == dh.len() * GATES);
        assert!(dh.len().is_multiple_of(filters));
        match (self.activation, self.recurrent_activation) {
            (Activation::Tanh, Activation::Sigmoid) => {
                dispatch_for(filters, CellsBack { functions: Usual, filters, slots, d, dh, dc });
            }
            (f, s) => dispatch_for(filters, CellsBack { functions: Any(f, s), filters, slots, d, dh, dc }),
        }
    }
}

/// Some places' rows: of the slots, and of the states, which are taken to the next step.
struct Cells<'a, F> {
    functions: F,
    filters: usize,
    slots: &'a mut [f32],
    h: &'a mut [f32],
    c: &'a mut [f32],
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
            // SAFETY: `ConvLstm::cells` has made sure that there are slots and states for each filter of each row.
            unsafe {
                for m in 0..M {
                    let row = self.slots.as_ptr().add((first + m) * SLOTS * filters + unit);
                    for slot in 0..GATES {
                        slots[slot][m] = some::<S, 1>(simd, row.add(slot * filters), count)[0];
                    }
                    states[1][m] =
                        some::<S, 1>(simd, self.c.as_ptr().add((first + m) * filters + unit), count)[0];
                }
                let mut next = states;
                Lstm::forward::<S, F, M>(simd, 0, self.functions, &states, &mut next, &mut slots);
                for m in 0..M {
                    let row = self.slots.as_mut_ptr().add((first + m) * SLOTS * filters + unit);
                    for slot in 0..5 {
                        write::<S, 1>([slots[slot][m]], row.add(slot * filters), count);
                    }
                    write::<S, 1>([states[1][m]], row.add(5 * filters), count);
                    let at = (first + m) * filters + unit;
                    write::<S, 1>([next[0][m]], self.h.as_mut_ptr().add(at), count);
                    write::<S, 1>([next[1][m]], self.c.as_mut_ptr().add(at), count);
                }
            }
            unit += S::F32_LANES;
        }
    }
}

/// Some places' rows on the way back: `d` takes the gradients of the gates, `dc` becomes that of the previous c.
struct CellsBack<'a, F> {
    functions: F,
    filters: usize,
    slots: &'a mut [f32],
    d: &'a mut [f32],
    dh: &'a mut [f32],
    dc: &'a mut [f32],
}

impl<F: Functions> WithSimd for CellsBack<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let filters = self.filters;
        for row in 0..self.dh.len() / filters {
            let mut unit = 0;
            while unit < filters {
                let count = (filters - unit).min(S::F32_LANES);
                let mut slots = [[simd.splat_f32s(0.0); 1]; 5];
                let mut previous = [[simd.splat_f32s(0.0); 1]; 2];
                // SAFETY: `ConvLstm::cells_back` has made sure that there are numbers for each filter of each row.
                unsafe {
                    let from = self.slots.as_ptr().add(row * SLOTS * filters + unit);
                    for slot in 0..5 {
                        slots[slot] = some::<S, 1>(simd, from.add(slot * filters), count);
                    }
                    previous[1] = some::<S, 1>(simd, from.add(5 * filters), count);
                    let at = row * filters + unit;
                    let mut gradient = [
                        some::<S, 1>(simd, self.dh.as_ptr().add(at), count),
                        some::<S, 1>(simd, self.dc.as_ptr().add(at), count),
                    ];
                    let none = [simd.splat_f32s(0.0)];
                    Lstm::backward::<S, F, 1>(
                        simd,
                        0,
                        self.functions,
                        &previous,
                        &mut slots,
                        &mut gradient,
                        &none,
                    );
                    let into = self.d.as_mut_ptr().add(row * GATES * filters + unit);
                    for gate in 0..GATES {
                        write::<S, 1>(slots[gate], into.add(gate * filters), count);
                    }
                    write::<S, 1>(gradient[1], self.dc.as_mut_ptr().add(at), count);
                }
                unit += S::F32_LANES;
            }
        }
    }
}

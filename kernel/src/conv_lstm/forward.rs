//! The time loop forwards.

use super::{ConvLstm, ConvLstmInput, ConvLstmSaved, GATES, ROWS, Side, States};
use crate::buffer::Buffer;
use crate::matmul::{Places, Start};
use rayon::prelude::*;

impl ConvLstm {
    /// (batch, time, lengths, filters), h after each step in the order walked; or without `return_sequences` (batch, lengths,
    /// filters). With `return_state` each sample's last c follows its h.
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn forward(&self, input: &ConvLstmInput<'_>, save: bool) -> (Vec<f32>, Option<ConvLstmSaved>) {
        let of_sample = self.pictures_out() * self.picture();
        let mut out = vec![0.0; self.batch * of_sample];
        if out.is_empty() || self.time == 0 {
            return (out, save.then(|| ConvLstmSaved { blocks: vec![] }));
        }
        let pass = Pass::new(self, *input, save);
        let blocks = out.chunks_mut(self.block() * of_sample).enumerate().collect();
        let run = |(index, out): (usize, &mut [f32]), threads: usize| pass.block(index, out, threads);
        let blocks = Self::in_turn(self.work(self.block()), blocks, run);
        (out, save.then_some(ConvLstmSaved { blocks }))
    }
}

/// A forward pass.
struct Pass<'a> {
    of: &'a ConvLstm,
    given: ConvLstmInput<'a>,
    save: bool,
    input: Option<Side>,
    recurrent: Side,
    bias: &'a [f32],
    /// Where the places of a block read their input, and the state.
    x_rows: Vec<usize>,
    h_rows: Vec<usize>,
}

impl<'a> Pass<'a> {
    fn new(of: &'a ConvLstm, given: ConvLstmInput<'a>, save: bool) -> Self {
        let [kernel, recurrent, bias] = of.cut(given.weights);
        let input = of.input.as_ref().map(|input| Side::new(input, kernel));
        let recurrent = Side::new(&of.recurrent, recurrent);
        let (samples, places, width) = (of.block(), of.places(), of.width());
        let x_rows = match &input {
            Some(input) => input.rows(samples),
            None => (0..samples * places)
                .map(|row| row / places * of.time * of.frame() + row % places * width)
                .collect(),
        };
        let h_rows = recurrent.rows(samples);
        Self { of, given, save, input, recurrent, bias, x_rows, h_rows }
    }

    /// A block through all steps; what is saved of it.
    fn block(&self, index: usize, out: &mut [f32], threads: usize) -> Buffer {
        let of = self.of;
        let (picture, of_sample) = (of.picture(), of.pictures_out() * of.picture());
        let (first, samples) = (index * of.block(), out.len() / of_sample);
        let numbers = samples * picture;
        let states = States::of(of, &self.given, first, samples);
        let share = match threads {
            1 => ROWS,
            _ => (samples * of.places()).div_ceil(2 * threads).next_multiple_of(8).clamp(8, ROWS),
        };
        let mut saved = Buffer::new(if self.save { of.saved(numbers) } else { 0 });
        let (mut all_gates, mut all_c, mut all_h) = (&mut [][..], &mut [][..], &mut [][..]);
        if self.save {
            [all_gates, all_c, all_h] = of.cut_saved(&mut saved, numbers);
        }
        let gates = match (self.save, threads) {
            (true, _) => 0,
            (false, 1) => share * of.width(),
            (false, _) => numbers * GATES,
        };
        let (mut gates, mut h) = (Buffer::new(gates), Buffer::new(numbers));
        let (mut c, mut next_c) = (Buffer::zeros(numbers), Buffer::new(numbers));
        let margins = &self.recurrent.windows.margins;
        let mut h_around = Buffer::zeros(samples * margins.stride);
        let mut x_around =
            Buffer::zeros(self.input.as_ref().map_or(0, |x| samples * x.windows.margins.stride));
        if let Some(states) = states {
            c.copy_from_slice(states.c);
            margins.fill_all(states.h, (0, picture), &mut h_around);
        }
        for step in 0..of.time {
            let (x, x_stride) = (of.at(step) * of.frame(), of.time * of.frame());
            let x = &self.given.x[first * x_stride + x..];
            let x = match &self.input {
                Some(input) => {
                    input.windows.margins.fill_all(x, (0, x_stride), &mut x_around);
                    &x_around[..]
                }
                None => x,
            };
            let step_gates = match self.save {
                true => &mut all_gates[step * GATES * numbers..][..GATES * numbers],
                false => &mut gates[..],
            };
            let (earlier, later) = all_c.split_at_mut(if self.save { step * numbers } else { 0 });
            let previous = if step == 0 || !self.save { &c[..] } else { &earlier[(step - 1) * numbers..] };
            let next = if self.save { &mut later[..numbers] } else { &mut next_c[..] };
            let h_around_now = (step > 0 || states.is_some()).then_some(&h_around[..]);
            let run = |index: usize, gates: &mut [f32], next: &mut [f32], h: &mut [f32]| {
                let first = index * share;
                let previous = &previous[first * of.units()..][..h.len()];
                self.places(first, (x, h_around_now), gates, previous, next, h);
            };
            let width = share * of.units();
            if threads == 1 {
                let mut at = 0;
                for (index, (next, h)) in next.chunks_mut(width).zip(h.chunks_mut(width)).enumerate() {
                    run(index, &mut step_gates[at..][..GATES * h.len()], next, h);
                    at += if self.save { GATES * h.len() } else { 0 };
                }
            } else {
                let parts = step_gates.par_chunks_mut(GATES * width).zip(next.par_chunks_mut(width));
                let parts = parts.zip(h.par_chunks_mut(width)).enumerate();
                parts.for_each(|(index, ((gates, next), h))| run(index, gates, next, h));
            }
            if !self.save {
                std::mem::swap(&mut c, &mut next_c);
            }
            if step + 1 < of.time {
                margins.fill_all(&h, (0, picture), &mut h_around);
            }
            if let Some(at) = of.picture_of(step) {
                for (out, h) in out.chunks_exact_mut(of_sample).zip(h.chunks_exact(picture)) {
                    out[at * picture..][..picture].copy_from_slice(h);
                }
            }
            if self.save && !of.return_sequences {
                all_h[step * numbers..][..numbers].copy_from_slice(&h);
            }
        }
        if of.return_state {
            let c = if self.save { &all_c[(of.time - 1) * numbers..] } else { &c[..] };
            for (out, c) in out.chunks_exact_mut(of_sample).zip(c.chunks_exact(picture)) {
                out[of_sample - picture..].copy_from_slice(c);
            }
        }
        saved
    }

    /// Some places of a step: the gates, c and h.
    fn places(
        &self,
        first: usize,
        (x, h_around): (&[f32], Option<&[f32]>),
        gates: &mut [f32],
        previous: &[f32],
        c: &mut [f32],
        h: &mut [f32],
    ) {
        let rows = h.len() / self.of.units();
        let every = Places::every(self.of.width());
        let x_rows = Places { of_sample: &self.x_rows[first..first + rows], stride: 0 };
        let h_rows = Places { of_sample: &self.h_rows[first..first + rows], stride: 0 };
        let bias = if self.bias.is_empty() { Start::Zeros } else { Start::Row(self.bias) };
        let mut start = match &self.input {
            Some(input) => {
                input.prepared.run((x, x_rows, rows), bias, every, 1, gates);
                Start::Output
            }
            None => Start::Rows(x, x_rows),
        };
        if let Some(h_around) = h_around {
            self.recurrent.prepared.run((h_around, h_rows, rows), start, every, 1, gates);
            start = Start::Output;
        }
        if let Start::Rows(x, rows) = start {
            let width = self.of.width();
            for (gates, &row) in gates.chunks_exact_mut(width).zip(rows.of_sample) {
                gates.copy_from_slice(&x[row..row + width]);
            }
        }
        self.of.cells(gates, previous, c, h);
    }
}

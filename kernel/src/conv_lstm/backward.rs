//! The time loop backwards.

use super::{ConvLstm, ConvLstmGradients, ConvLstmInput, ConvLstmSaved, GATES, ROWS, Side, States};
use crate::buffer::Buffer;
use crate::matmul::{Gradient, Places, Prepared, Start};
use crate::windows::StepPlaces;
use rayon::prelude::*;

/// Parts of the batch at most, and their numbers together: each has sums of its own for the weights.
const PARTS: usize = 16;
const MOST: usize = 1 << 20;

impl ConvLstm {
    /// Blocks of a part.
    fn part(&self, weights: usize) -> usize {
        let blocks = self.batch.div_ceil(self.block());
        blocks.div_ceil((MOST / weights.max(1)).clamp(1, PARTS)).max(1)
    }

    /// The gradients from that of the output; `out` is what the forward pass gave.
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn backward(
        &self,
        input: &ConvLstmInput<'_>,
        out: &[f32],
        saved: ConvLstmSaved,
        d_out: &[f32],
        (want_x, want_states): (bool, bool),
    ) -> ConvLstmGradients {
        let (picture, frame) = (self.picture(), self.frame());
        let numbers = self.batch * picture;
        let mut x = vec![0.0; if want_x { self.batch * self.time * frame } else { 0 }];
        let mut weights = vec![0.0; input.weights.len()];
        let mut states = vec![0.0; if want_states { 2 * numbers } else { 0 }];
        if numbers == 0 || self.time == 0 {
            return ConvLstmGradients { x, weights, states };
        }
        let pass = Pass::new(self, *input, out, d_out, want_x, want_states);
        let blocks = self.part(weights.len());
        let samples = blocks * self.block();
        let (dh, dc) = states.split_at_mut(if want_states { numbers } else { 0 });
        let mut d_states = dh.chunks_mut(samples * picture).zip(dc.chunks_mut(samples * picture));
        let mut xs = x.chunks_mut((samples * self.time * frame).max(1));
        let mut saved = saved.blocks.into_iter();
        let parts = (0..self.batch).step_by(samples).map(|first| {
            let saved: Vec<Buffer> = saved.by_ref().take(blocks).collect();
            Part { first, saved, d_x: xs.next().unwrap_or_default(), d_states: d_states.next() }
        });
        let run = |part, threads| pass.part(part, threads);
        let sums = Self::in_turn(self.work(self.block()), parts.collect(), run);
        for sums in sums {
            for (weight, sum) in weights.iter_mut().zip(&sums[..]) {
                *weight += sum;
            }
        }
        ConvLstmGradients { x, weights, states }
    }
}

/// Some blocks, whose sums go together.
struct Part<'a> {
    first: usize,
    saved: Vec<Buffer>,
    d_x: &'a mut [f32],
    d_states: Option<(&'a mut [f32], &'a mut [f32])>,
}

/// A backward pass.
struct Pass<'a> {
    of: &'a ConvLstm,
    given: ConvLstmInput<'a>,
    out: &'a [f32],
    d_out: &'a [f32],
    input: Option<Side>,
    recurrent: Side,
    /// To the input, where its gradient is wanted, and to the state.
    to_x: Option<(StepPlaces, Vec<Prepared>)>,
    to_h: (StepPlaces, Vec<Prepared>),
    want_x: bool,
    want_states: bool,
}

impl<'a> Pass<'a> {
    fn new(
        of: &'a ConvLstm,
        given: ConvLstmInput<'a>,
        out: &'a [f32],
        d_out: &'a [f32],
        want_x: bool,
        want_states: bool,
    ) -> Self {
        let [kernel, recurrent, _] = of.cut(given.weights);
        let input = of.input.as_ref();
        Self {
            input: input.map(|input| Side::new(input, kernel)),
            to_x: input.filter(|_| want_x).map(|input| input.prepare_transposed(kernel)),
            to_h: of.recurrent.prepare_transposed(recurrent),
            recurrent: Side::new(&of.recurrent, recurrent),
            of,
            given,
            out,
            d_out,
            want_x,
            want_states,
        }
    }

    /// The sums of the weights' gradients over a part.
    fn part(&self, part: Part<'_>, threads: usize) -> Buffer {
        let of = self.of;
        let mut sums = Buffer::zeros(self.given.weights.len());
        let Part { mut first, saved, mut d_x, mut d_states } = part;
        for saved in saved {
            let samples = of.block().min(of.batch - first);
            let (x, states) = (samples * of.time * of.frame(), samples * of.picture());
            let (block_x, rest) = d_x.split_at_mut(if self.want_x { x } else { 0 });
            d_x = rest;
            let mut block_states = None;
            d_states = d_states.map(|(h, c)| {
                let ((h, h_rest), (c, c_rest)) = (h.split_at_mut(states), c.split_at_mut(states));
                block_states = Some((h, c));
                (h_rest, c_rest)
            });
            self.block(saved, (first, samples), &mut sums, block_x, block_states, threads);
            first += samples;
        }
        sums
    }

    fn block(
        &self,
        mut saved: Buffer,
        (first, samples): (usize, usize),
        sums: &mut [f32],
        d_x: &mut [f32],
        d_states: Option<(&mut [f32], &mut [f32])>,
        threads: usize,
    ) {
        let of = self.of;
        let (picture, filters, width) = (of.picture(), of.units(), of.width());
        let (numbers, rows) = (samples * picture, samples * of.places());
        let of_sample = of.pictures_out() * picture;
        let (x_stride, frame) = (of.time * of.frame(), of.frame());
        let states = States::of(of, &self.given, first, samples);
        let [out, d_out] = [self.out, self.d_out].map(|all| &all[first * of_sample..][..samples * of_sample]);
        let [gates, all_c, all_h] = of.cut_saved(&mut saved, numbers);
        let [kernel, recurrent] = of.kernels();
        let (d_kernel, rest) = sums.split_at_mut(kernel);
        let (d_recurrent, d_bias) = rest.split_at_mut(recurrent);
        let around = |stride: usize| Buffer::zeros(samples * stride);
        let margins = &self.recurrent.windows.margins;
        let mut h_around = around(margins.stride);
        let mut x_around = around(self.input.as_ref().map_or(0, |input| input.windows.margins.stride));
        let mut d_around = around(self.to_h.0.margins.stride);
        let mut d_around_x = around(self.to_x.as_ref().map_or(0, |(steps, _)| steps.margins.stride));
        let (mut dh, mut dc) = (Buffer::zeros(numbers), Buffer::zeros(numbers));
        let zeros = Buffer::zeros(if states.is_none() { numbers } else { 0 });
        if of.return_state {
            for (dc, d_out) in dc.chunks_exact_mut(picture).zip(d_out.chunks_exact(of_sample)) {
                dc.copy_from_slice(&d_out[of_sample - picture..]);
            }
        }
        for step in (0..of.time).rev() {
            if let Some(at) = of.picture_of(step) {
                for (dh, d_out) in dh.chunks_exact_mut(picture).zip(d_out.chunks_exact(of_sample)) {
                    for (dh, d_out) in dh.iter_mut().zip(&d_out[at * picture..][..picture]) {
                        *dh += d_out;
                    }
                }
            }
            let d = &mut gates[step * GATES * numbers..][..GATES * numbers];
            let c = &all_c[step * numbers..][..numbers];
            let previous = match (step, states) {
                (0, Some(states)) => states.c,
                (0, None) => &zeros[..],
                _ => &all_c[(step - 1) * numbers..][..numbers],
            };
            if threads == 1 {
                of.cells_back(d, previous, c, &dh, &mut dc);
            } else {
                let share = ROWS * filters;
                let given = previous.par_chunks(share).zip(c.par_chunks(share)).zip(dh.par_chunks(share));
                let parts = d.par_chunks_mut(ROWS * width).zip(dc.par_chunks_mut(share)).zip(given);
                parts.for_each(|((d, dc), ((previous, c), dh))| of.cells_back(d, previous, c, dh, dc));
            }
            let d = &*d;
            // What the step began with, unless that was zeros.
            let began = match (step, states) {
                (0, Some(states)) => Some((states.h, (0, picture))),
                (0, None) => None,
                _ if of.return_sequences => Some((out, ((step - 1) * picture, of_sample))),
                _ => Some((&all_h[(step - 1) * numbers..][..numbers], (0, picture))),
            };
            if let Some((h, places)) = began {
                margins.fill_all(h, places, &mut h_around);
                self.recurrent.add(&h_around, (d, width, rows), threads, d_recurrent, &mut []);
            }
            let x_at = of.at(step) * frame;
            match &self.input {
                Some(input) => {
                    let x = &self.given.x[first * x_stride..];
                    input.windows.margins.fill_all(x, (x_at, x_stride), &mut x_around);
                    input.add(&x_around, (d, width, rows), threads, d_kernel, d_bias);
                }
                None if self.want_x => {
                    for (d_x, d) in d_x.chunks_exact_mut(x_stride).zip(d.chunks_exact(frame)) {
                        d_x[x_at..][..frame].copy_from_slice(d);
                    }
                }
                None => {}
            }
            let frame_of_d = of.places() * width;
            if let Some((steps, prepared)) = &self.to_x {
                steps.margins.fill_all(d, (0, frame_of_d), &mut d_around_x);
                let places = |phase| Places { of_sample: phase, stride: x_stride };
                for (phase, prepared) in steps.phases.iter().zip(prepared) {
                    let from = Places { of_sample: &phase.rows, stride: steps.margins.stride };
                    let rows = (&d_around_x[..], from, samples * phase.rows.len());
                    prepared.run(rows, Start::Zeros, places(&phase.of_sample), threads, &mut d_x[x_at..]);
                }
            }
            if step > 0 || self.want_states {
                let (steps, prepared) = &self.to_h;
                steps.margins.fill_all(d, (0, frame_of_d), &mut d_around);
                for (phase, prepared) in steps.phases.iter().zip(prepared) {
                    let from = Places { of_sample: &phase.rows, stride: steps.margins.stride };
                    let into = Places { of_sample: &phase.of_sample, stride: picture };
                    let rows = (&d_around[..], from, samples * phase.rows.len());
                    prepared.run(rows, Start::Zeros, into, threads, &mut dh);
                }
            }
        }
        if let Some((h, c)) = d_states {
            h.copy_from_slice(&dh);
            c.copy_from_slice(&dc);
        }
    }
}

impl Side {
    /// Adds the gradients of a step: of the kernel, and of the bias if there is room for it.
    fn add(
        &self,
        x: &[f32],
        (d, width, rows): (&[f32], usize, usize),
        threads: usize,
        kernel: &mut [f32],
        bias: &mut [f32],
    ) {
        let from = Places { of_sample: &self.windows.of_sample, stride: self.windows.margins.stride };
        let a = self.prepared.rows(x, from, rows);
        let gradient = Gradient { a, d, places: Places::every(width), columns: width };
        gradient.add(threads, kernel, bias);
    }
}

//! The gradient of a matrix: for each feature and column, the sum over the rows.

use super::operand::{Operand, Places};
use super::panels::{Panels, WIDTH, sums};
use super::tile::{Sums, add_row, some, vectors, write, zeros};
use crate::buffer::Buffer;
use crate::isa::{dispatch_for, lanes_for};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Multiplications from which several threads share the work.
const PARALLEL: usize = 1 << 19;
/// Rows that are worked through for all features before the next.
const ROWS: usize = 256;
/// Parts at most, and their numbers together: each has sums of its own.
const PARTS: usize = 16;
const MOST: usize = 1 << 20;

/// `Σ_rows a[k] · d[c]`, and `Σ_rows d[c]`.
pub(crate) struct Gradient<'a> {
    pub a: Operand<'a>,
    pub d: &'a [f32],
    /// Where the rows of `d` begin.
    pub places: Places<'a>,
    pub columns: usize,
}

impl Gradient<'_> {
    /// Writes feature k, column c to `out[k · step + c]`, and the sums of `d` to `bias` if that has room for them.
    pub(crate) fn run(&self, out: &mut [f32], step: usize, bias: &mut [f32]) {
        let (rows, columns, features) = (self.a.rows, self.columns, self.a.features());
        if columns == 0 {
            return;
        }
        self.a.check();
        assert!(rows == 0 || self.places.last(rows) + columns <= self.d.len());
        assert!(features == 0 || (features - 1) * step + columns <= out.len());
        assert!(bias.is_empty() || bias.len() >= columns);
        let lanes = lanes_for(columns);
        let panels = Panels::of(columns, lanes, WIDTH);
        let width = panels.vectors * lanes;
        let with_bias = usize::from(!bias.is_empty());
        let lines = features + with_bias;
        let parts = rows.div_ceil(ROWS).min(MOST / (lines * columns).max(1)).clamp(1, PARTS);
        let share = rows.div_ceil(parts).next_multiple_of(ROWS / 8).max(1);
        let parts = rows.div_ceil(share).max(1);
        let strips = self.strips();
        let work = rows.saturating_mul(columns).saturating_mul(lines);
        let threads = if work < PARALLEL { 1 } else { rayon::current_num_threads() };
        let sets = if threads == 1 { 1 } else { (4 * threads).div_ceil(parts).clamp(1, strips.len().max(1)) };
        // Several parts have sums of their own: a line of whole vectors for each feature, and one for `d` itself.
        let mut sums = Buffer::new(if parts == 1 { 0 } else { parts * lines * width });
        let (first, out_lines, out_bias) = (sums.as_mut_ptr(), out.as_mut_ptr(), bias.as_mut_ptr());
        let sink = |part: usize| match parts {
            1 => Sink { lines: out_lines, step, columns, bias: out_bias },
            _ => {
                let lines = first.wrapping_add(part * lines * width);
                Sink { lines, step: width, columns: width, bias: lines.wrapping_add(features * width) }
            }
        };
        let mut tasks = Vec::with_capacity(parts * sets);
        for part in 0..parts {
            let sink = sink(part);
            let rows = ((part * share).min(rows), ((part + 1) * share).min(rows));
            for set in 0..sets {
                let strips = &strips[set * strips.len() / sets..(set + 1) * strips.len() / sets];
                let with_bias = with_bias == 1 && set + 1 == sets;
                tasks.push(Part { gradient: self, rows, strips, with_bias, begins: true, panels, sink });
            }
        }
        if threads == 1 {
            tasks.into_iter().for_each(|task| dispatch_for(columns, task));
        } else {
            tasks.into_par_iter().for_each(|task| dispatch_for(columns, task));
        }
        if parts == 1 {
            return;
        }
        let sums = &sums[..];
        let add = |line: usize, out: &mut [f32]| {
            out.copy_from_slice(&sums[line * width..][..columns]);
            for part in 1..parts {
                for (out, sum) in out.iter_mut().zip(&sums[(part * lines + line) * width..][..columns]) {
                    *out += sum;
                }
            }
        };
        for feature in 0..features {
            add(feature, &mut out[feature * step..][..columns]);
        }
        if with_bias == 1 {
            add(features, &mut bias[..columns]);
        }
    }

    /// Adds to what stands in `out`, a line of `columns` floats for each feature, and in `bias` if that has room for it, row
    /// after row; several threads have some features each.
    pub(crate) fn add(&self, threads: usize, out: &mut [f32], bias: &mut [f32]) {
        let (rows, columns, features) = (self.a.rows, self.columns, self.a.features());
        if columns == 0 || rows == 0 {
            return;
        }
        self.a.check();
        assert!(self.places.last(rows) + columns <= self.d.len());
        assert!(features * columns <= out.len() && (bias.is_empty() || bias.len() >= columns));
        let panels = Panels::of(columns, lanes_for(columns), WIDTH);
        let strips = self.strips();
        let sink = Sink { lines: out.as_mut_ptr(), step: columns, columns, bias: bias.as_mut_ptr() };
        let sets = if threads == 1 { 1 } else { (4 * threads).clamp(1, strips.len().max(1)) };
        let part = |set: usize| {
            let strips = &strips[set * strips.len() / sets..(set + 1) * strips.len() / sets];
            let with_bias = !bias.is_empty() && set + 1 == sets;
            let rows = (0, rows);
            let part = Part { gradient: self, rows, strips, with_bias, begins: false, panels, sink };
            dispatch_for(columns, part);
        };
        match sets {
            1 => part(0),
            _ => (0..sets).into_par_iter().for_each(part),
        }
    }

    /// The features, a few side by side at a time.
    fn strips(&self) -> Vec<Strip> {
        let mut strips = Vec::new();
        let mut line = 0;
        for run in self.a.runs {
            let mut done = 0;
            while done < run.len {
                let left = run.len - done;
                let len = [8, 4, 2].into_iter().find(|&len| len <= left).unwrap_or(1);
                strips.push(Strip { offset: run.offset + done, line, len });
                done += len;
                line += len;
            }
        }
        strips
    }
}

/// One, two, four or eight features side by side: where they are in a row, and the number of the first.
#[derive(Clone, Copy)]
struct Strip {
    offset: usize,
    line: usize,
    len: usize,
}

/// Where sums go: a line of `columns` for each feature, `step` floats from one to the next, and those of `d` itself.
#[derive(Clone, Copy)]
struct Sink {
    lines: *mut f32,
    step: usize,
    columns: usize,
    bias: *mut f32,
}

// SAFETY: no two parts have rows and features in common, and each set of rows has a sink of its own.
unsafe impl Send for Sink {}
// SAFETY: as above.
unsafe impl Sync for Sink {}

/// Some rows, some features, all columns.
struct Part<'a> {
    gradient: &'a Gradient<'a>,
    rows: (usize, usize),
    strips: &'a [Strip],
    /// Whether the sums of `d` follow.
    with_bias: bool,
    /// Whether the sums begin with these rows, rather than with what stands in the sink.
    begins: bool,
    panels: Panels,
    sink: Sink,
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.panels.vectors * S::F32_LANES;
        let columns = self.gradient.columns;
        let mut spare = Buffer::new(if columns == width { 0 } else { ROWS * WIDTH * S::F32_LANES });
        let (mut a, mut d, mut copied) = ([0; ROWS], [0; ROWS], [0; ROWS]);
        let mut first = self.rows.0;
        let mut begins = self.begins;
        while begins || first < self.rows.1 {
            let count = (self.rows.1 - first).min(ROWS);
            self.gradient.a.places.fill(first, &mut a[..count]);
            self.gradient.places.fill(first, &mut d[..count]);
            for panel in 0..self.panels.count {
                let (vector, vectors) = self.panels.at(panel);
                let (column, step) = (vector * S::F32_LANES, vectors * S::F32_LANES);
                let rows = if column + step <= columns {
                    Rows {
                        a: &a[..count],
                        floats: &self.gradient.d[column..],
                        d: &d[..count],
                        column,
                        begins,
                    }
                } else {
                    // A copy, with zeros after the last column.
                    for row in 0..count {
                        let into = &mut spare[row * step..][..step];
                        let from = &self.gradient.d[d[row] + column..][..columns - column];
                        for i in 0..from.len() {
                            into[i] = from[i];
                        }
                        for i in from.len()..step {
                            into[i] = 0.0;
                        }
                        copied[row] = row * step;
                    }
                    Rows { a: &a[..count], floats: &spare, d: &copied[..count], column, begins }
                };
                match vectors {
                    1 => self.panel::<S, 1>(simd, rows),
                    2 => self.panel::<S, 2>(simd, rows),
                    _ => self.panel::<S, 3>(simd, rows),
                }
            }
            first += count;
            begins = false;
        }
    }
}

/// Some rows, and a panel of columns.
#[derive(Clone, Copy)]
struct Rows<'a> {
    a: &'a [usize],
    floats: &'a [f32],
    /// Where the panel's part of each row begins in `floats`.
    d: &'a [usize],
    column: usize,
    /// Whether the sums begin here.
    begins: bool,
}

impl Part<'_> {
    #[inline(always)]
    fn panel<S: Simd, const V: usize>(&self, simd: S, rows: Rows<'_>) {
        for s in 0..self.strips.len() {
            let Strip { offset, line, len } = self.strips[s];
            match len {
                8 if const { 8 * V <= sums(S::F32_LANES) } => self.tile::<S, 8, V>(simd, rows, offset, line),
                8 => {
                    self.tile::<S, 4, V>(simd, rows, offset, line);
                    self.tile::<S, 4, V>(simd, rows, offset + 4, line + 4);
                }
                4 => self.tile::<S, 4, V>(simd, rows, offset, line),
                2 => self.tile::<S, 2, V>(simd, rows, offset, line),
                _ => self.tile::<S, 1, V>(simd, rows, offset, line),
            }
        }
        if self.with_bias {
            self.sum::<S, V>(simd, rows);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        rows: Rows<'_>,
        offset: usize,
        line: usize,
    ) {
        let Sink { lines, step, columns, .. } = self.sink;
        let count = (columns - rows.column).min(V * S::F32_LANES);
        let a = self.gradient.a.floats.as_ptr().wrapping_add(offset);
        let d = rows.floats.as_ptr();
        // SAFETY: `Operand::check` has made sure that the features of each row lie within `a`. The panel's part of a row
        // of `d` is whole vectors, within `d` as `run` has made sure, or in the copy. The sink has a line for each
        // feature.
        unsafe {
            let mut sums: Sums<S, M, V> = zeros::<S, M, V>(simd);
            let into = lines.add(line * step + rows.column);
            if !rows.begins {
                for m in 0..M {
                    sums[m] = some::<S, V>(simd, into.add(m * step), count);
                }
            }
            for row in 0..rows.a.len() {
                let a = a.add(*rows.a.get_unchecked(row));
                let d = vectors::<S, V>(simd, d.add(*rows.d.get_unchecked(row)));
                for m in 0..M {
                    add_row::<S, V>(simd, a.add(m).read(), d, &mut sums[m]);
                }
            }
            for m in 0..M {
                write::<S, V>(sums[m], into.add(m * step), count);
            }
        }
    }

    /// The sums of `d` itself.
    #[inline(always)]
    fn sum<S: Simd, const V: usize>(&self, simd: S, rows: Rows<'_>) {
        let count = (self.sink.columns - rows.column).min(V * S::F32_LANES);
        // SAFETY: as for a tile.
        unsafe {
            let into = self.sink.bias.add(rows.column);
            let mut sums = [simd.splat_f32s(0.0); V];
            if !rows.begins {
                sums = some::<S, V>(simd, into, count);
            }
            for row in 0..rows.d.len() {
                let d = vectors::<S, V>(simd, rows.floats.as_ptr().add(*rows.d.get_unchecked(row)));
                for v in 0..V {
                    sums[v] = simd.add_f32s(sums[v], d[v]);
                }
            }
            write::<S, V>(sums, into, count);
        }
    }
}

//! Where the windows of a convolution lie in its input, and which of its output's numbers a step of the input meets.

use crate::buffer::Buffer;
use rayon::prelude::*;

/// Floats from which several threads pad.
const PARALLEL: usize = 1 << 16;

/// How a window moves along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Steps of the input.
    pub length: usize,
    /// Places of the window.
    pub size: usize,
    /// How far the window moves at a time.
    pub stride: usize,
    /// How far apart its places are.
    pub dilation: usize,
    /// Steps of zeros before the input; after it are as many as the last window needs.
    pub before: usize,
    /// Positions of the window: steps of the output.
    pub count: usize,
}

impl Axis {
    /// Steps from the first place of the first window to the last place of the last one, or to the end of the input.
    fn padded(&self) -> usize {
        let reach = (self.count.max(1) - 1) * self.stride + (self.size - 1) * self.dilation + 1;
        reach.max(self.before + self.length)
    }
}

/// The windows of an input, which is padded where they reach beyond it.
pub(crate) struct Windows<'a> {
    x: &'a [f32],
    copy: Option<Buffer>,
    /// Windows of all samples.
    pub rows: usize,
    /// Where those of a sample begin; and from a sample to the next.
    pub of_sample: Vec<usize>,
    pub stride: usize,
    /// Where the channels of each place begin, from the beginning of the window.
    pub offsets: Vec<usize>,
}

impl<'a> Windows<'a> {
    pub(crate) fn new(batch: usize, axes: &[Axis], channels: usize, x: &'a [f32]) -> Self {
        let WindowPlaces { margins, of_sample, offsets } = WindowPlaces::new(axes, channels);
        let copy = margins.pad(x, batch);
        Self { x, copy, rows: batch * of_sample.len(), of_sample, stride: margins.stride, offsets }
    }

    /// What the places are counted in.
    pub(crate) fn floats(&self) -> &[f32] {
        self.copy.as_deref().unwrap_or(self.x)
    }
}

/// Where the windows of a sample lie, amid its margins.
pub(crate) struct WindowPlaces {
    pub margins: Margins,
    pub of_sample: Vec<usize>,
    pub offsets: Vec<usize>,
}

impl WindowPlaces {
    pub(crate) fn new(axes: &[Axis], channels: usize) -> Self {
        let each = |of: fn(&Axis) -> usize| axes.iter().map(of).collect::<Vec<usize>>();
        let padded = each(Axis::padded);
        let margins = Margins::new(&each(|axis| axis.length), channels, &each(|axis| axis.before), &padded);
        let pitches = pitches(&padded, channels).0;
        let scaled =
            |by: Vec<usize>| by.iter().zip(&pitches).map(|(by, pitch)| by * pitch).collect::<Vec<_>>();
        let of_sample = places(0, &each(|axis| axis.count), &scaled(each(|axis| axis.stride)));
        let offsets = places(0, &each(|axis| axis.size), &scaled(each(|axis| axis.dilation)));
        Self { margins, of_sample, offsets }
    }
}

/// What each step of an input meets of the output, whose gradient `d` is.
///
/// Steps that are as far from a multiple of the stride meet the same places of the window: each such phase is a
/// convolution of `d` by itself.
pub(crate) struct Transposed<'a> {
    d: &'a [f32],
    copy: Option<Buffer>,
    /// From a sample of `d` to the next, and of the input.
    pub d_stride: usize,
    pub x_stride: usize,
    pub phases: Vec<Steps>,
}

/// The steps of a phase.
pub(crate) struct Steps {
    /// Where a sample's rows of `d` begin, one for each step.
    pub rows: Vec<usize>,
    /// Where the steps begin in a sample of the input.
    pub of_sample: Vec<usize>,
    /// The places of the window, and where what each meets begins, from the step's row.
    pub taps: Vec<(usize, usize)>,
}

impl<'a> Transposed<'a> {
    pub(crate) fn new(batch: usize, axes: &[Axis], channels: usize, filters: usize, d: &'a [f32]) -> Self {
        let StepPlaces { margins, x_stride, phases } = StepPlaces::new(axes, channels, filters);
        let copy = margins.pad(d, batch);
        Self { d, copy, d_stride: margins.stride, x_stride, phases }
    }

    /// What the rows are counted in.
    pub(crate) fn floats(&self) -> &[f32] {
        self.copy.as_deref().unwrap_or(self.d)
    }
}

/// What each step of a sample meets, amid the margins of the output.
pub(crate) struct StepPlaces {
    pub margins: Margins,
    /// From a sample of the input to the next.
    pub x_stride: usize,
    pub phases: Vec<Steps>,
}

impl StepPlaces {
    pub(crate) fn new(axes: &[Axis], channels: usize, filters: usize) -> Self {
        let each = |of: fn(&Axis) -> usize| axes.iter().map(of).collect::<Vec<usize>>();
        let of_axes: Vec<Vec<Phase>> = axes.iter().map(Phase::all).collect();
        let margins: Vec<(usize, usize)> =
            of_axes.iter().zip(axes).map(|(p, axis)| margins(p, axis)).collect();
        let counts = each(|axis| axis.count);
        let padded: Vec<usize> = counts.iter().zip(&margins).map(|(n, (b, a))| n + b + a).collect();
        let befores: Vec<usize> = margins.iter().map(|margin| margin.0).collect();
        let d_pitches = pitches(&padded, filters).0;
        let (x_pitches, x_stride) = pitches(&each(|axis| axis.length), channels);
        let steps: Vec<usize> =
            axes.iter().zip(&x_pitches).map(|(axis, pitch)| axis.stride * pitch).collect();
        let numbers: Vec<usize> = of_axes.iter().map(Vec::len).collect();
        let phases = combinations(&numbers).map(|at| {
            let phases: Vec<&Phase> = at.iter().zip(&of_axes).map(|(&at, all)| &all[at]).collect();
            let counts: Vec<usize> = phases.iter().map(|phase| phase.count).collect();
            let first = phases.iter().zip(&x_pitches).map(|(phase, pitch)| phase.first * pitch).sum();
            let met: Vec<usize> = phases.iter().map(|phase| phase.taps.len()).collect();
            let taps = combinations(&met).map(|at| {
                let (mut tap, mut place) = (0, 0);
                for (i, &at) in at.iter().enumerate() {
                    let (number, offset) = phases[i].taps[at];
                    tap = tap * axes[i].size + number;
                    place += (offset + befores[i] as isize) as usize * d_pitches[i];
                }
                (tap, place)
            });
            Steps {
                rows: places(0, &counts, &d_pitches),
                of_sample: places(first, &counts, &steps),
                taps: taps.collect(),
            }
        });
        let phases = phases.collect();
        Self { margins: Margins::new(&counts, filters, &befores, &padded), x_stride, phases }
    }
}

/// The steps of an input's axis that are as far from a multiple of the stride.
struct Phase {
    first: usize,
    count: usize,
    /// The places of the window that meet them, the last one first: their number, and how much the number of the position
    /// is above that of the step within the phase.
    taps: Vec<(usize, isize)>,
}

impl Phase {
    /// Those that any place of the window meets.
    fn all(axis: &Axis) -> Vec<Self> {
        let of = |first: usize| {
            let taps = (0..axis.size).rev().filter_map(|tap| {
                let apart = (first + axis.before) as isize - (tap * axis.dilation) as isize;
                let stride = axis.stride as isize;
                (apart.rem_euclid(stride) == 0).then(|| (tap, apart.div_euclid(stride)))
            });
            Self { first, count: (axis.length - first).div_ceil(axis.stride), taps: taps.collect() }
        };
        (0..axis.stride.min(axis.length)).map(of).filter(|phase| !phase.taps.is_empty()).collect()
    }
}

/// Positions that the phases of an axis reach before the first and after the last.
fn margins(phases: &[Phase], axis: &Axis) -> (usize, usize) {
    let (mut before, mut after) = (0, 0);
    for phase in phases {
        for (_, offset) in &phase.taps {
            let last = offset + phase.count as isize - axis.count as isize;
            before = before.max((-offset).max(0) as usize);
            after = after.max(last.max(0) as usize);
        }
    }
    (before, after)
}

/// How far it is from a step to the next along each axis, and from a sample to the next.
fn pitches(lengths: &[usize], channels: usize) -> (Vec<usize>, usize) {
    let mut pitches = vec![channels; lengths.len()];
    let mut sample = channels;
    for (pitch, length) in pitches.iter_mut().zip(lengths).rev() {
        *pitch = sample;
        sample *= length;
    }
    (pitches, sample)
}

/// The places of a grid, the last axis fastest: so many steps of these sizes along each axis.
fn places(first: usize, counts: &[usize], steps: &[usize]) -> Vec<usize> {
    let mut places = vec![first];
    for (&count, &step) in counts.iter().zip(steps) {
        let mut next = Vec::with_capacity(places.len() * count);
        for place in places {
            next.extend((0..count).map(|at| place + at * step));
        }
        places = next;
    }
    places
}

/// Every combination of numbers below `counts`, the last one fastest.
fn combinations(counts: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let total = counts.iter().product();
    let mut at = vec![0; counts.len()];
    (0..total).map(move |_| {
        let now = at.clone();
        for (at, &count) in at.iter_mut().zip(counts).rev() {
            *at += 1;
            if *at < count {
                break;
            }
            *at = 0;
        }
        now
    })
}

/// A sample (lengths, channels) amid zeros, (padded, channels).
pub(crate) struct Margins {
    /// Where each line of the sample begins, and where it does amid the zeros.
    lines: Vec<(usize, usize)>,
    /// Floats of a line.
    line: usize,
    /// Floats of a sample, and with its margins.
    pub sample: usize,
    pub stride: usize,
    /// Whether the sample is as long already.
    none: bool,
}

impl Margins {
    /// So many steps of zeros before the first along each axis.
    fn new(lengths: &[usize], channels: usize, before: &[usize], padded: &[usize]) -> Self {
        let ((from, sample), (into, stride)) = (pitches(lengths, channels), pitches(padded, channels));
        let outer = &lengths[..lengths.len().saturating_sub(1)];
        let first = before.iter().zip(&into).map(|(before, pitch)| before * pitch).sum();
        let lines = places(0, outer, &from).into_iter().zip(places(first, outer, &into)).collect();
        let line = lengths.last().copied().unwrap_or(1) * channels;
        Self { lines, line, sample, stride, none: lengths == padded }
    }

    /// Writes samples amid the zeros that are there; the first one begins at `first`, and it is `step` floats to the next.
    pub(crate) fn fill_all(&self, x: &[f32], (first, step): (usize, usize), into: &mut [f32]) {
        for (sample, into) in into.chunks_exact_mut(self.stride.max(1)).enumerate() {
            let x = &x[first + sample * step..];
            for &(from, to) in &self.lines {
                into[to..to + self.line].copy_from_slice(&x[from..from + self.line]);
            }
        }
    }

    /// Samples amid zeros; none if there are no margins.
    fn pad(&self, x: &[f32], batch: usize) -> Option<Buffer> {
        if self.none {
            return None;
        }
        let mut copy = Buffer::new(batch * self.stride);
        let fill = |(copy, x): (&mut [f32], &[f32])| {
            let mut end = 0;
            for &(from, into) in &self.lines {
                copy[end..into].fill(0.0);
                copy[into..into + self.line].copy_from_slice(&x[from..from + self.line]);
                end = into + self.line;
            }
            copy[end..].fill(0.0);
        };
        if self.stride == 0 || self.sample == 0 {
            copy.fill(0.0);
        } else if batch * self.stride > PARALLEL {
            copy.par_chunks_exact_mut(self.stride).zip(x.par_chunks_exact(self.sample)).for_each(fill);
        } else {
            copy.chunks_exact_mut(self.stride).zip(x.chunks_exact(self.sample)).for_each(fill);
        }
        Some(copy)
    }
}

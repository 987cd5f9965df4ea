//! Rows times a matrix.

use super::dots::Dots;
use super::operand::{Operand, Places, Run};
use super::pack::Matrix;
use super::panels::{Panels, WIDE, WIDTH, sums};
use super::tile::{Sums, add_products, some, write, zeros};
use crate::buffer::Buffer;
use crate::isa::{dispatch_for, lanes_for};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Multiplications from which several threads share the work.
const PARALLEL: usize = 1 << 19;
/// Rows that are worked through for all columns before the next, at most.
const ROWS: usize = 128;
/// Features that are worked through for all of these rows before the next: a panel of them stays in the second cache.
const DEPTH: usize = 512;
/// Rows up to which the matrix is read where it is: packing would take longer than it saves.
const FEW: usize = 48;
/// Rows up to which columns that lie one after another are not packed either.
const FEW_DOTS: usize = 4;
/// Rows that have wide panels.
const FEWEST: usize = 2;

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    Zeros,
    /// The same for all rows: the bias.
    Row(&'a [f32]),
    /// A row for each row.
    Rows(&'a [f32], Places<'a>),
    /// What stands in the output.
    Output,
}

impl<'a> Start<'a> {
    /// What begins with a later column.
    pub(crate) fn from(self, column: usize) -> Self {
        match self {
            Self::Zeros => Self::Zeros,
            Self::Row(row) => Self::Row(&row[column..]),
            Self::Rows(floats, places) => Self::Rows(&floats[column..], places),
            Self::Output => Self::Output,
        }
    }
}

/// `out = start + a · b`.
pub(crate) struct Product<'a> {
    pub a: Operand<'a>,
    pub b: Matrix<'a>,
    pub start: Start<'a>,
    /// Where the rows of the output begin.
    pub places: Places<'a>,
    /// Whether a few rows may be added up another way than many.
    pub few: bool,
}

/// Columns side by side, and where their rows stand.
#[derive(Clone, Copy)]
struct Panel<'a> {
    column: usize,
    vectors: usize,
    floats: &'a [f32],
    /// Floats from a row to the next.
    step: usize,
}

impl Product<'_> {
    /// Writes the rows into `out`; what lies between them is left as it is.
    pub(crate) fn run(&self, out: &mut [f32]) {
        let (rows, columns, features) = (self.a.rows, self.b.columns, self.a.features());
        if rows == 0 || columns == 0 {
            return;
        }
        self.check(features, out.len());
        if let Some(dots) = self.as_dots() {
            for row in 0..rows {
                let (mut from, mut into) = ([0], [0]);
                self.a.places.fill(row, &mut from);
                self.places.fill(row, &mut into);
                let from = from[0] + self.a.runs[0].offset;
                Dots { a: &self.a.floats[from..from + features], ..dots }
                    .run(&mut out[into[0]..into[0] + columns]);
            }
            return;
        }
        let lanes = lanes_for(columns);
        let in_place = rows <= FEW && self.b.in_place();
        let whole = if in_place { columns / lanes * lanes } else { columns };
        let width = if in_place && rows <= FEWEST { WIDE } else { WIDTH };
        let panels = Panels::of(whole, lanes, width);
        let packed = if in_place { self.tail(lanes, whole) } else { self.b.pack(&panels) };
        let mut list = Vec::with_capacity(panels.count + 1);
        for panel in 0..panels.count {
            let (first, vectors) = panels.at(panel);
            let column = first * lanes;
            let (floats, step) = match in_place {
                true => (&self.b.floats[self.b.bases[0] + column..], self.b.feature_step),
                false => (&packed[column * features..], vectors * lanes),
            };
            list.push(Panel { column, vectors, floats, step });
        }
        if whole < columns {
            list.push(Panel { column: whole, vectors: 1, floats: &packed, step: lanes });
        }
        let Self { a, start, places, .. } = *self;
        let work = rows.saturating_mul(columns).saturating_mul(features);
        let threads = if work < PARALLEL { 1 } else { rayon::current_num_threads() };
        let blocks = blocks(self.a.runs);
        // SAFETY: `check` has made sure of the rows, and each panel is one of the matrix in place, or was packed with a row
        // of vectors for each feature.
        unsafe { Sum { a, start, places, columns, panels: &list, blocks: &blocks }.run(threads, out) }
    }

    /// A few rows times columns that lie one after another.
    fn as_dots(&self) -> Option<Dots<'_>> {
        let b = &self.b;
        let columns = b.feature_step == 1 && b.column_step >= b.len && b.bases.len() == 1;
        let start = match self.start {
            Start::Zeros => None,
            Start::Row(row) => Some(row),
            Start::Rows(..) | Start::Output => return None,
        };
        (self.few && self.a.rows <= FEW_DOTS && self.a.runs.len() == 1 && columns && b.len > 1)
            .then(|| Dots { a: &[], columns: &b.floats[b.bases[0]..], step: b.column_step, start })
    }

    /// Makes sure that all that a tile reads and writes is there: it does not look.
    fn check(&self, features: usize, out: usize) {
        let b = &self.b;
        assert_eq!(features, b.features());
        check_rows(self.a, self.start, self.places, b.columns, out);
        if b.in_place() && features > 0 {
            assert!(b.bases[0] + (features - 1) * b.feature_step + b.columns <= b.floats.len());
        }
    }

    /// The columns that fill no vector, packed.
    fn tail(&self, lanes: usize, whole: usize) -> Buffer {
        if whole == self.b.columns {
            return Buffer::new(0);
        }
        let mut packed = Buffer::new(lanes * self.b.features());
        self.b.pack_panel(whole, lanes, &mut packed);
        packed
    }
}

/// Makes sure that the rows of a product lie within the operand, the output, and what they start from.
fn check_rows(a: Operand<'_>, start: Start<'_>, places: Places<'_>, columns: usize, out: usize) {
    a.check();
    assert!(places.are_apart(columns));
    assert!(places.last(a.rows) + columns <= out);
    match start {
        Start::Zeros | Start::Output => {}
        Start::Row(row) => assert!(row.len() >= columns),
        Start::Rows(floats, places) => assert!(places.last(a.rows) + columns <= floats.len()),
    }
}

/// A matrix that was packed once for many products with rows of the same runs.
pub(crate) struct Prepared {
    runs: Vec<Run>,
    blocks: Vec<Block>,
    panels: Panels,
    packed: Buffer,
    features: usize,
    columns: usize,
}

impl Prepared {
    pub(crate) fn new(b: &Matrix<'_>, runs: Vec<Run>) -> Self {
        let features = b.features();
        assert_eq!(features, runs.iter().map(|run| run.len).sum::<usize>());
        let panels = Panels::of(b.columns, lanes_for(b.columns), WIDTH);
        let packed = b.pack(&panels);
        Self { blocks: blocks(&runs), runs, panels, packed, features, columns: b.columns }
    }

    /// The rows of `floats` at `from`.
    pub(crate) fn rows<'a>(&'a self, floats: &'a [f32], from: Places<'a>, rows: usize) -> Operand<'a> {
        Operand { floats, rows, places: from, runs: &self.runs }
    }

    /// Writes so many rows of `floats` times the matrix into `out`, on this thread or several.
    pub(crate) fn run(
        &self,
        (floats, from, rows): (&[f32], Places<'_>, usize),
        start: Start<'_>,
        places: Places<'_>,
        threads: usize,
        out: &mut [f32],
    ) {
        if rows == 0 || self.columns == 0 {
            return;
        }
        let a = self.rows(floats, from, rows);
        check_rows(a, start, places, self.columns, out.len());
        let mut list = Vec::with_capacity(self.panels.count);
        for panel in 0..self.panels.count {
            let (first, vectors) = self.panels.at(panel);
            let column = first * self.panels.lanes;
            let floats = &self.packed[column * self.features..];
            list.push(Panel { column, vectors, floats, step: vectors * self.panels.lanes });
        }
        // SAFETY: the rows have been looked at, and each panel was packed with a row of vectors for each feature.
        unsafe {
            Sum { a, start, places, columns: self.columns, panels: &list, blocks: &self.blocks }
                .run(threads, out);
        }
    }
}

/// A product whose matrix is in panels, and of which all has been checked.
#[derive(Clone, Copy)]
struct Sum<'a> {
    a: Operand<'a>,
    start: Start<'a>,
    places: Places<'a>,
    columns: usize,
    panels: &'a [Panel<'a>],
    blocks: &'a [Block],
}

impl Sum<'_> {
    /// # Safety
    /// [`check_rows`] has passed, and each panel has a row of vectors for each feature.
    unsafe fn run(self, threads: usize, out: &mut [f32]) {
        let (rows, panels) = (self.a.rows, self.panels);
        let out = Out(out.as_mut_ptr());
        let part = |first: usize, share: usize, panels: &[Panel<'_>]| {
            let rows = (first, (first + share).min(rows));
            dispatch_for(self.columns, Part { sum: Sum { panels, ..self }, rows, out });
        };
        if threads == 1 {
            (0..rows).step_by(ROWS).for_each(|first| part(first, ROWS, panels));
            return;
        }
        // A few parts a thread, of whole tiles. How they are cut shows in no number.
        let share = (rows.div_ceil(4 * threads)).next_multiple_of(8).clamp(8, ROWS);
        let strips = rows.div_ceil(share);
        let sets = (4 * threads).div_ceil(strips).clamp(1, panels.len());
        (0..strips * sets).into_par_iter().for_each(|index| {
            let (strip, set) = (index / sets, index % sets);
            let panels = &panels[set * panels.len() / sets..(set + 1) * panels.len() / sets];
            part(strip * share, share, panels);
        });
    }
}

/// The runs of some features, cut so that no block has more than [`DEPTH`].
fn blocks(runs: &[Run]) -> Vec<Block> {
    let mut blocks = vec![Block { first: 0, len: 0, runs: vec![] }];
    for run in runs {
        let mut done = 0;
        while done < run.len {
            let first = blocks.last().map_or(0, |block| block.first + block.len);
            match blocks.last_mut() {
                Some(block) if block.len < DEPTH => {
                    let len = (run.len - done).min(DEPTH - block.len);
                    block.runs.push(Run { offset: run.offset + done, len });
                    block.len += len;
                    done += len;
                }
                _ => blocks.push(Block { first, len: 0, runs: vec![] }),
            }
        }
    }
    blocks
}

struct Block {
    first: usize,
    len: usize,
    runs: Vec<Run>,
}

/// The output, of which every part writes rows and columns of its own.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: the rows of a product are apart (`check_rows`), and no two parts of it have rows and columns in common.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

/// Some rows and some panels.
struct Part<'a> {
    sum: Sum<'a>,
    rows: (usize, usize),
    out: Out,
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let count = self.rows.1 - self.rows.0;
        let (mut a, mut out) = ([0; ROWS], [0; ROWS]);
        self.sum.a.places.fill(self.rows.0, &mut a[..count]);
        self.sum.places.fill(self.rows.0, &mut out[..count]);
        let mut start = [0; ROWS];
        if let Start::Rows(_, places) = self.sum.start {
            places.fill(self.rows.0, &mut start[..count]);
        }
        let rows = Rows { a: &a[..count], out: &out[..count], start: &start[..count] };
        for block in self.sum.blocks {
            for panel in self.sum.panels {
                match panel.vectors {
                    1 => self.panel::<S, 1>(simd, rows, block, panel),
                    2 => self.panel::<S, 2>(simd, rows, block, panel),
                    3 => self.panel::<S, 3>(simd, rows, block, panel),
                    4 => self.panel::<S, 4>(simd, rows, block, panel),
                    5 => self.panel::<S, 5>(simd, rows, block, panel),
                    6 => self.panel::<S, 6>(simd, rows, block, panel),
                    7 => self.panel::<S, 7>(simd, rows, block, panel),
                    _ => self.panel::<S, 8>(simd, rows, block, panel),
                }
            }
        }
    }
}

/// Where rows begin, in the left operand and in the output.
#[derive(Clone, Copy)]
struct Rows<'a> {
    a: &'a [usize],
    out: &'a [usize],
    /// In what the product is added to, where that has rows.
    start: &'a [usize],
}

impl Part<'_> {
    /// All rows, eight at a time where there are registers for so many.
    #[inline(always)]
    fn panel<S: Simd, const V: usize>(&self, simd: S, rows: Rows<'_>, block: &Block, panel: &Panel<'_>) {
        let count = rows.a.len();
        let mut row = 0;
        if const { 8 * V <= sums(S::F32_LANES) } {
            while row + 8 <= count {
                self.tile::<S, 8, V>(simd, rows, row, block, panel);
                row += 8;
            }
        }
        if const { 4 * V <= sums(S::F32_LANES) } {
            while row + 4 <= count {
                self.tile::<S, 4, V>(simd, rows, row, block, panel);
                row += 4;
            }
        }
        if const { 2 * V <= sums(S::F32_LANES) } {
            while row + 2 <= count {
                self.tile::<S, 2, V>(simd, rows, row, block, panel);
                row += 2;
            }
        }
        while row < count {
            self.tile::<S, 1, V>(simd, rows, row, block, panel);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        rows: Rows<'_>,
        first: usize,
        block: &Block,
        panel: &Panel<'_>,
    ) {
        let columns = (self.sum.columns - panel.column).min(V * S::F32_LANES);
        let a = self.sum.a.floats.as_ptr();
        // SAFETY: `check_rows` has made sure that the runs of each row lie within `a`, the rows of the output and of what the
        // product is added to within theirs; each panel has a row of vectors for each feature, as `Sum::run` was promised.
        unsafe {
            let mut sums: Sums<S, M, V> = zeros::<S, M, V>(simd);
            if block.first > 0 || matches!(self.sum.start, Start::Output) {
                for m in 0..M {
                    sums[m] = some::<S, V>(simd, self.out.0.add(rows.out[first + m] + panel.column), columns);
                }
            } else {
                match self.sum.start {
                    Start::Zeros | Start::Output => {}
                    Start::Row(row) => {
                        sums = [some::<S, V>(simd, row.as_ptr().add(panel.column), columns); M];
                    }
                    Start::Rows(floats, _) => {
                        for m in 0..M {
                            let start = floats.as_ptr().add(rows.start[first + m] + panel.column);
                            sums[m] = some::<S, V>(simd, start, columns);
                        }
                    }
                }
            }
            let mut b = panel.floats.as_ptr().add(block.first * panel.step);
            for run in &block.runs {
                let mut from = [a; M];
                for m in 0..M {
                    from[m] = a.add(rows.a[first + m] + run.offset);
                }
                add_products::<S, M, V>(simd, from, b, panel.step, run.len, &mut sums);
                b = b.wrapping_add(run.len * panel.step);
            }
            for m in 0..M {
                write::<S, V>(sums[m], self.out.0.add(rows.out[first + m] + panel.column), columns);
            }
        }
    }
}

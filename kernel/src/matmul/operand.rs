//! Where the rows of an operand lie.

/// Where rows begin: each sample has the same places, `stride` after those of the sample before.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a> {
    pub of_sample: &'a [usize],
    pub stride: usize,
}

impl Places<'static> {
    /// Rows one after another.
    pub(crate) fn every(stride: usize) -> Self {
        Self { of_sample: &[0], stride }
    }
}

impl Places<'_> {
    /// The places of the rows from `first` on.
    #[inline(always)]
    pub(super) fn fill(&self, first: usize, into: &mut [usize]) {
        let places = self.of_sample.len();
        let (mut sample, mut place) = if places == 1 { (first, 0) } else { (first / places, first % places) };
        for i in 0..into.len() {
            into[i] = sample * self.stride + self.of_sample[place];
            place += 1;
            if place == places {
                (sample, place) = (sample + 1, 0);
            }
        }
    }

    /// The last place of so many rows.
    pub(super) fn last(&self, rows: usize) -> usize {
        let samples = rows.div_ceil(self.of_sample.len());
        samples.saturating_sub(1) * self.stride + self.of_sample.iter().max().copied().unwrap_or(0)
    }

    /// Whether the rows come one after another, each `width` floats long, without touching the next.
    pub(super) fn are_apart(&self, width: usize) -> bool {
        let table = self.of_sample;
        let within = table.windows(2).all(|pair| pair[0] + width <= pair[1]);
        within && table.last().is_some_and(|last| last - table[0] + width <= self.stride)
    }
}

/// Floats of a row side by side, so far from the place of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub offset: usize,
    pub len: usize,
}

impl Run {
    /// Adds a run, to the last one if it goes on where that one ends.
    pub(crate) fn push(runs: &mut Vec<Self>, run: Self) {
        match runs.last_mut() {
            Some(last) if last.offset + last.len == run.offset => last.len += run.len,
            _ if run.len > 0 => runs.push(run),
            _ => {}
        }
    }
}

/// Rows of features.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub floats: &'a [f32],
    pub rows: usize,
    pub places: Places<'a>,
    pub runs: &'a [Run],
}

impl Operand<'_> {
    /// Features of a row.
    pub(crate) fn features(&self) -> usize {
        self.runs.iter().map(|run| run.len).sum()
    }

    /// Makes sure that all rows lie within the floats: products read without looking.
    pub(super) fn check(&self) {
        let end = self.runs.iter().map(|run| run.offset + run.len).max().unwrap_or(0);
        assert!(self.rows == 0 || end == 0 || self.places.last(self.rows) + end <= self.floats.len());
    }
}

//! Rows that cannot be used, of which there may be millions.

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// `line 7`.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

/// Rows that cannot be used: all of them are counted, and the first are kept.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    first: Vec<Skipped>,
    count: usize,
}

/// So many are kept, more than anybody is told of.
const KEPT: usize = 200;

impl LeftOut {
    /// Counts one more, which `row` says where it is to be kept.
    pub(super) fn push(&mut self, row: impl FnOnce() -> Skipped) {
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push(row());
        }
    }

    /// Puts those of another file behind these.
    pub(super) fn append(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(KEPT);
    }

    /// Puts the name of their file before the places.
    pub(super) fn name(&mut self, file: &str) {
        for row in &mut self.first {
            row.place = format!("{file}, {}", row.place);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The first of them.
    pub fn first(&self) -> &[Skipped] {
        &self.first
    }
}

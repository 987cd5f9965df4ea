//! Weights in the order in which a product reads them.

use crate::buffer::Buffer;

/// Columns that are summed at a time. With four rows two make eight sums, as many as multiplications are in flight; for
/// twelve there would be too few registers. The widest vectors come with twice as many registers: there four columns make
/// more of each float that is read.
pub(crate) const fn abreast(lanes: usize) -> usize {
    if lanes < 16 { 2 } else { 4 }
}

/// Features whose rows stand together before the next segment's: as many as the widest vector has lanes, on every machine,
/// since it is the order in which a product adds up.
pub(crate) const BLOCK: usize = 16;

/// A matrix in panels: for each few column vectors its rows one after another. A row belongs to a feature (or unit)
/// and a *segment*: of each [`BLOCK`] of features come first those of segment 0, then those of segment 1.
pub(crate) struct Packed {
    pub floats: Buffer,
    /// Features of each segment, and of a vector of them.
    pub len: usize,
    pub width: usize,
    pub segments: usize,
    pub columns: usize,
}

impl Packed {
    /// `fill` writes a column vector of a row, given the row's segment and feature and the column. What it does not
    /// write is 0. A vector of `lanes` holds `width` features of each sequence.
    pub fn new(
        (lanes, width): (usize, usize),
        segments: usize,
        len: usize,
        columns: usize,
        mut fill: impl FnMut(usize, usize, usize, &mut [f32]),
    ) -> Self {
        let padded = len.next_multiple_of(width);
        let rows = padded * segments;
        let mut floats = Buffer::zeros(rows * columns * lanes);
        for column in 0..columns {
            let panel = column / abreast(lanes) * abreast(lanes);
            let abreast = abreast(lanes).min(columns - panel);
            for segment in 0..segments {
                for feature in 0..len {
                    let block = feature / BLOCK * BLOCK;
                    let row = block * segments + segment * BLOCK.min(padded - block) + feature % BLOCK;
                    let at = panel * rows + row * abreast + column - panel;
                    fill(segment, feature, column, &mut floats[at * lanes..][..lanes]);
                }
            }
        }
        Self { floats, len, width, segments, columns }
    }
}

/// Gives what `floats` hold, laid out as [`Packed`] with one segment: each row of each column vector.
pub(crate) fn unpack(
    floats: &[f32],
    (lanes, width): (usize, usize),
    len: usize,
    columns: usize,
    mut give: impl FnMut(usize, usize, &[f32]),
) {
    let rows = len.next_multiple_of(width);
    for column in 0..columns {
        let panel = column / abreast(lanes) * abreast(lanes);
        let abreast = abreast(lanes).min(columns - panel);
        for row in 0..len {
            let at = panel * rows + row * abreast + column - panel;
            give(row, column, &floats[at * lanes..][..lanes]);
        }
    }
}

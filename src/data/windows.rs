//! Rows that are stretches of one table of numbers: windows over a series overlap, and take no memory of their own.

use crate::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// Rows of equal width, each a stretch of the same numbers. A clone shares them.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    values: Arc<[f32]>,
    /// Where each row stands among the values.
    stretches: Arc<[Range<usize>]>,
    /// Numbers a row.
    width: usize,
    /// What stands before a stretch that is shorter than a row.
    fill: f32,
    level: Option<Level>,
}

/// A number that is taken from numbers of its row, so that they tell how far they are from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// Where it stands, seen from the row's first number.
    pub(super) place: isize,
    /// It is taken from the row's first number, and from each so many numbers on.
    pub(super) every: usize,
}

impl Windows {
    /// These stretches of `values`, each as one row of `width` numbers; shorter ones have `fill` before them.
    ///
    /// # Errors
    /// [`Error::Data`] for a stretch that is not there, or longer than a row, and for a level that is not there.
    pub(super) fn new(
        values: Arc<[f32]>,
        stretches: Vec<Range<usize>>,
        width: usize,
        fill: f32,
        level: Option<Level>,
    ) -> Result<Self> {
        let fits = |stretch: &Range<usize>| {
            let is_there = stretch.start <= stretch.end && stretch.end <= values.len();
            let has_level = level.is_none_or(|level| {
                let place = stretch.start.checked_add_signed(level.place);
                level.every > 0 && place.is_some_and(|place| place < values.len())
            });
            is_there && stretch.len() <= width && has_level
        };
        match stretches.iter().find(|stretch| !fits(stretch)) {
            Some(stretch) => {
                Err(Error::Data(format!("{stretch:?} is no stretch of {width} of {} numbers", values.len())))
            }
            None => Ok(Self { values, stretches: stretches.into(), width, fill, level }),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.stretches.len()
    }

    /// How many numbers the rows have.
    pub(super) fn count(&self) -> usize {
        self.rows().saturating_mul(self.width)
    }

    /// Whether every number of the table is finite; rows then are, too.
    pub(super) fn is_finite(&self) -> bool {
        self.fill.is_finite() && self.values.iter().all(|value| value.is_finite())
    }

    /// Adds the numbers of this range, counted through all rows.
    pub(super) fn extend(&self, range: Range<usize>, into: &mut Vec<f32>) {
        let mut at = range.start;
        while at < range.end && self.width > 0 {
            let (row, from) = (at / self.width, at % self.width);
            let to = self.width.min(from + range.end - at);
            self.extend_row(row, from..to, into);
            at += to - from;
        }
    }

    /// Adds a part of a row.
    fn extend_row(&self, row: usize, part: Range<usize>, into: &mut Vec<f32>) {
        let Some(stretch) = self.stretches.get(row) else { return };
        let missing = self.width - stretch.len();
        into.extend((part.start..part.end.min(missing)).map(|_| self.fill));
        let own = part.start.max(missing) - missing..part.end.max(missing) - missing;
        let begin = into.len();
        into.extend_from_slice(&self.values[stretch.start + own.start..stretch.start + own.end]);
        if let Some(Level { place, every }) = self.level {
            let level = self.values[stretch.start.wrapping_add_signed(place)];
            let first = own.start.next_multiple_of(every) - own.start;
            into[begin..].iter_mut().skip(first).step_by(every).for_each(|value| *value -= level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Array;
    use super::*;
    use candle_core::Device;

    /// A table of 6 rows of 2 columns in windows of 3 rows, the first column seen from its last value.
    #[test]
    fn windows_are_what_a_copy_would_be() -> Result<()> {
        let values: Arc<[f32]> = (0..12).map(|at| at as f32).collect();
        let stretches = vec![0..6, 2..8, 6..12];
        let level = Level { place: 4, every: 2 };
        let windows = Windows::new(values.clone(), stretches.clone(), 6, 0.0, Some(level))?;
        let array = Array::windows(windows, &[3, 2])?;
        let row = |from: f32| [-4.0, from + 1.0, -2.0, from + 3.0, 0.0, from + 5.0];
        let expected: Vec<f32> = [0.0, 2.0, 6.0].into_iter().flat_map(row).collect();
        assert_eq!(array, Array::floats(expected.clone(), &[3, 3, 2])?);
        let gathered = array.gather(&[2, 0], &Device::Cpu)?;
        assert_eq!(gathered.dims(), [2, 3, 2]);
        let gathered = gathered.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(gathered, [&expected[12..], &expected[..6]].concat());
        assert_eq!(array.part(1, 2)?, Array::floats(expected[6..].to_vec(), &[2, 3, 2])?);
        assert_eq!(array.not_finite(), None);
        assert!(Windows::new(values.clone(), std::iter::once(8..14).collect(), 6, 0.0, None).is_err());
        assert!(Windows::new(values, std::iter::once(0..7).collect(), 6, 0.0, None).is_err());
        Ok(())
    }

    /// These rows would take 30 GB.
    #[test]
    fn long_windows_take_no_memory() -> Result<()> {
        let values: Arc<[f32]> = (0..200_000).map(|at| at as f32).collect();
        let stretches = (0..150_000).map(|at| at..at + 50_000).collect();
        let array = Array::windows(Windows::new(values, stretches, 50_000, 0.0, None)?, &[50_000, 1])?;
        assert_eq!(array.not_finite(), None);
        let rows = array.gather(&[149_999, 7], &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!((rows[0], rows[49_999], rows[50_000]), (149_999.0, 199_998.0, 7.0));
        Ok(())
    }

    #[test]
    fn short_stretches_are_padded_in_front() -> Result<()> {
        let values: Arc<[f32]> = (1..5).map(|at| at as f32).collect();
        let windows = Windows::new(values, vec![0..2, 1..4, 2..2], 3, -9.0, None)?;
        let array = Array::windows(windows, &[3])?;
        let rows = vec![-9.0, 1.0, 2.0, 2.0, 3.0, 4.0, -9.0, -9.0, -9.0];
        assert_eq!(array, Array::floats(rows, &[3, 3])?);
        Ok(())
    }
}

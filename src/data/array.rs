//! An array of rows, as training data: numbers or ids, in memory or in a mapped file.

use super::windows::Windows;
use crate::formats::{Number, StoredArray};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor, WithDType};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// The numbers of an [`Array`], row-major.
#[derive(Clone, Debug)]
enum Values {
    Floats(Arc<[f32]>),
    Ids(Arc<[u32]>),
    /// Numbers that are made floats, or ids, as they are read.
    StoredFloats(StoredArray),
    StoredIds(StoredArray),
    /// Rows that are stretches of one table, floats.
    Windows(Windows),
}

impl Values {
    fn is_ids(&self) -> bool {
        matches!(self, Self::Ids(_) | Self::StoredIds(_))
    }

    /// Numbers as floats.
    fn floats(&self, range: Range<usize>) -> Cow<'_, [f32]> {
        match self {
            Self::Floats(values) => Cow::Borrowed(values.get(range).unwrap_or_default()),
            Self::Ids(ids) => ids.get(range).unwrap_or_default().iter().map(|&id| id as f32).collect(),
            Self::StoredFloats(array) | Self::StoredIds(array) => {
                let mut values = Vec::with_capacity(range.len());
                array.extend(range, &mut values);
                Cow::Owned(values)
            }
            Self::Windows(windows) => {
                let mut values = Vec::with_capacity(range.len());
                windows.extend(range, &mut values);
                Cow::Owned(values)
            }
        }
    }
}

/// An array of rows on the host, (rows, …): floats or ids. A clone shares the numbers, and so does a part.
///
/// One that was read from a file that can be mapped stays there: its rows are read as they are asked for.
#[derive(Clone, Debug)]
pub struct Array {
    values: Values,
    rows: usize,
    /// The shape of a row, and how many numbers that is.
    row: Vec<usize>,
    width: usize,
    /// The rows of `values` before the first.
    skipped: usize,
}

/// Arrays are equal that have the same rows of the same numbers, wherever those stand.
impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        let same = |range: Range<usize>| {
            let ranges = [self, other].map(|array| {
                let from = array.skipped * array.width;
                from + range.start..from + range.end
            });
            let [own, others] = ranges;
            self.values.floats(own) == other.values.floats(others)
        };
        (self.rows, &self.row, self.values.is_ids()) == (other.rows, &other.row, other.values.is_ids())
            && self.parts().all(|rows| same(rows.start * self.width..rows.end * self.width))
    }
}

impl Array {
    /// An array of floats of this shape, the rows first.
    ///
    /// # Errors
    /// [`Error::Data`] where the shape has no axis, or does not fit the number of values.
    pub fn floats(values: impl Into<Arc<[f32]>>, shape: &[usize]) -> Result<Self> {
        let values = values.into();
        Self::new(values.len(), shape, Values::Floats(values))
    }

    /// An array of ids of this shape, the rows first.
    ///
    /// # Errors
    /// As [`floats`](Self::floats).
    pub fn ids(values: impl Into<Arc<[u32]>>, shape: &[usize]) -> Result<Self> {
        let values = values.into();
        Self::new(values.len(), shape, Values::Ids(values))
    }

    fn new(count: usize, shape: &[usize], values: Values) -> Result<Self> {
        let [rows, row @ ..] = shape else {
            return Err(Error::Data("an array without axes has no rows".into()));
        };
        let width = row.iter().try_fold(1_usize, |width, &axis| width.checked_mul(axis));
        match width {
            Some(width) if width.checked_mul(*rows) == Some(count) => {
                Ok(Self { values, rows: *rows, row: row.to_vec(), width, skipped: 0 })
            }
            _ => Err(Error::Data(format!("{count} numbers do not make an array of shape {shape:?}"))),
        }
    }

    /// An array that stays where it is, as floats; nothing is checked.
    pub(super) fn stored_floats(array: StoredArray) -> Result<Self> {
        let shape = array.shape().to_vec();
        Self::new(array.count(), &shape, Values::StoredFloats(array))
    }

    /// An array that stays where it is, as ids; that they are such is the caller's to know.
    pub(super) fn stored_ids(array: StoredArray) -> Result<Self> {
        let shape = array.shape().to_vec();
        Self::new(array.count(), &shape, Values::StoredIds(array))
    }

    /// Rows that are stretches of one table of numbers, each of this shape; they take no memory of their own.
    ///
    /// # Errors
    /// [`Error::Data`] where the shape is not that of the windows.
    pub(super) fn windows(windows: Windows, row: &[usize]) -> Result<Self> {
        let (count, shape) = (windows.count(), [&[windows.rows()], row].concat());
        Self::new(count, &shape, Values::Windows(windows))
    }

    /// The numbers of a tensor: ids where it is of u32 or u8, else floats.
    ///
    /// # Errors
    /// As [`floats`](Self::floats); whole numbers that floats cannot tell apart, beyond 2²⁴; Candle's own.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let flat = tensor.flatten_all()?;
        match tensor.dtype() {
            DType::U32 => Self::ids(flat.to_vec1::<u32>()?, tensor.dims()),
            DType::U8 => Self::ids(flat.to_dtype(DType::U32)?.to_vec1::<u32>()?, tensor.dims()),
            DType::I64 => {
                let values = flat.to_vec1::<i64>()?;
                check_whole(&values)?;
                Self::floats(values.into_iter().map(|value| value as f32).collect::<Vec<_>>(), tensor.dims())
            }
            _ => Self::floats(flat.to_dtype(DType::F32)?.to_vec1::<f32>()?, tensor.dims()),
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The shape of a row; nothing where a row is one number.
    pub fn row_shape(&self) -> &[usize] {
        &self.row
    }

    /// The rows in stretches, each some thousands of numbers long, or one row.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        const PART: usize = 1 << 14;
        let (rows, step) = (self.rows, (PART / self.width.max(1)).max(1));
        (0..rows).step_by(step).map(move |from| from..rows.min(from + step))
    }

    /// Goes over the numbers as floats, some whole rows at a time; `visit` is given the place of the first number, counted
    /// from the array's first.
    ///
    /// # Errors
    /// That of `visit`.
    pub fn try_for_each_part<E>(
        &self,
        mut visit: impl FnMut(usize, &[f32]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let first = self.skipped * self.width;
        for rows in self.parts() {
            let part = first + rows.start * self.width..first + rows.end * self.width;
            visit(rows.start * self.width, &self.values.floats(part.clone()))?;
            self.pass(part);
        }
        Ok(())
    }

    /// Says that one who reads the numbers in order is done with these.
    fn pass(&self, range: Range<usize>) {
        if let Values::StoredFloats(array) | Values::StoredIds(array) = &self.values {
            array.pass(range);
        }
    }

    /// The same numbers as floats: of ids, those below 2²⁴ keep their value.
    pub fn to_floats(&self) -> Self {
        let values = match &self.values {
            Values::Floats(_) | Values::StoredFloats(_) | Values::Windows(_) => return self.clone(),
            Values::Ids(ids) => Values::Floats(ids.iter().map(|&id| id as f32).collect()),
            Values::StoredIds(array) => Values::StoredFloats(array.clone()),
        };
        Self { values, ..self.clone() }
    }

    /// The rows of these numbers as a tensor (rows, …) on `device`, in their order.
    ///
    /// # Errors
    /// [`Error::Data`] for a row that is not there, and Candle's own.
    pub fn gather(&self, rows: &[u32], device: &Device) -> Result<Tensor> {
        if let Some(row) = rows.iter().find(|&&row| row as usize >= self.rows) {
            return Err(Error::Data(format!("row {row} of {}", self.rows)));
        }
        let ranges = rows.iter().map(|&row| {
            let from = (self.skipped + row as usize) * self.width;
            from..from + self.width
        });
        self.tensor(ranges, rows.len(), device)
    }

    /// `count` rows from `from` on as a tensor (count, …) on `device`.
    ///
    /// # Errors
    /// [`Error::Data`] for rows that are not there, and Candle's own.
    pub fn slice(&self, from: usize, count: usize, device: &Device) -> Result<Tensor> {
        let part = self.range(from, count)?;
        let tensor = self.tensor(std::iter::once(part.clone()), count, device)?;
        self.pass(part);
        Ok(tensor)
    }

    /// The numbers of these ranges, which are `rows` rows.
    fn tensor(
        &self,
        ranges: impl Iterator<Item = Range<usize>>,
        rows: usize,
        device: &Device,
    ) -> Result<Tensor> {
        let (count, shape) = (rows * self.width, [&[rows], self.row.as_slice()].concat());
        let tensor = match &self.values {
            Values::Floats(values) => Tensor::from_vec(pick(values, ranges, count), shape, device),
            Values::Ids(values) => Tensor::from_vec(pick(values, ranges, count), shape, device),
            Values::StoredFloats(array) => {
                Tensor::from_vec(pick_stored::<f32>(array, ranges, count), shape, device)
            }
            Values::StoredIds(array) => {
                Tensor::from_vec(pick_stored::<u32>(array, ranges, count), shape, device)
            }
            Values::Windows(windows) => {
                let mut picked = Vec::with_capacity(count);
                ranges.for_each(|range| windows.extend(range, &mut picked));
                Tensor::from_vec(picked, shape, device)
            }
        };
        Ok(tensor?)
    }

    /// `count` rows from `from` on, as an array of its own.
    ///
    /// # Errors
    /// As [`slice`](Self::slice).
    pub fn part(&self, from: usize, count: usize) -> Result<Self> {
        self.range(from, count)?;
        Ok(Self { rows: count, skipped: self.skipped + from, ..self.clone() })
    }

    /// Where the numbers of `count` rows from `from` on stand.
    fn range(&self, from: usize, count: usize) -> Result<Range<usize>> {
        match from.checked_add(count).filter(|&end| end <= self.rows) {
            Some(end) => Ok((self.skipped + from) * self.width..(self.skipped + end) * self.width),
            None => {
                let end = from.saturating_add(count);
                Err(Error::Data(format!("rows {from} to {end} of {}", self.rows)))
            }
        }
    }

    /// The first number that is NaN or infinite: its row, its place within the row, and itself.
    pub fn not_finite(&self) -> Option<(usize, usize, f32)> {
        let is_checked = match &self.values {
            Values::Windows(windows) => windows.is_finite(),
            values => values.is_ids(),
        };
        if is_checked {
            return None;
        }
        let width = self.width.max(1);
        let found = self.try_for_each_part(|first, values| {
            // Whole parts at once, which the compiler makes vectors of; as a rule there is nothing to be found.
            match values.iter().fold(false, |found, value| found | !value.is_finite()) {
                false => Ok(()),
                true => {
                    let at = values.iter().position(|value| !value.is_finite()).unwrap_or(0);
                    Err(((first + at) / width, (first + at) % width, values[at]))
                }
            }
        });
        found.err()
    }
}

/// The numbers of these ranges, `count` in all.
fn pick<T: Copy>(values: &[T], ranges: impl Iterator<Item = Range<usize>>, count: usize) -> Vec<T> {
    let mut picked = Vec::with_capacity(count);
    for range in ranges {
        picked.extend_from_slice(&values[range]);
    }
    picked
}

fn pick_stored<T: Number + WithDType>(
    array: &StoredArray,
    ranges: impl Iterator<Item = Range<usize>>,
    count: usize,
) -> Vec<T> {
    let mut picked = Vec::with_capacity(count);
    for range in ranges {
        array.extend(range, &mut picked);
    }
    picked
}

/// Refuses whole numbers that floats cannot tell apart.
pub(super) fn check_whole(values: &[i64]) -> Result<()> {
    match values.iter().find(|value| value.unsigned_abs() > 1 << 24) {
        None => Ok(()),
        Some(beyond) => {
            let what = format!("holds {beyond}, and whole numbers beyond 2^24 are not trained on");
            Err(Error::Data(what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats;

    /// An array in a file and the same in memory give the same batches, in whatever order the rows are asked for.
    #[test]
    fn a_mapped_array_gives_the_batches_of_one_in_memory() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let device = &Device::Cpu;
        // More numbers than are looked at at a time.
        let tensor = Tensor::rand(-1f32, 1.0, (3000, 2, 7), device)?;
        for suffix in ["npy", "npz", "safetensors"] {
            let path = folder.path().join(format!("x.{suffix}"));
            formats::write(&path, &[("x", &tensor)])?;
            let stored = Array::stored_floats(formats::open(&path)?.stored("x")?)?;
            let own = Array::from_tensor(&tensor)?;
            assert_eq!(stored, own);
            assert_ne!(stored.part(0, 2999)?, own.part(1, 2999)?);
            let (stored, own) = (stored.part(7, 2900)?, own.part(7, 2900)?);
            assert_eq!(stored, own);
            let values = |tensor: Tensor| tensor.flatten_all()?.to_vec1::<f32>();
            let rows = [2899, 0, 5, 5, 1234];
            assert_eq!(values(stored.gather(&rows, device)?)?, values(own.gather(&rows, device)?)?);
            assert_eq!(stored.slice(3, 2000, device)?.dims(), [2000, 2, 7]);
            assert_eq!(values(stored.slice(3, 2000, device)?)?, values(own.slice(3, 2000, device)?)?);
            assert!(stored.slice(1, 2900, device).is_err() && stored.gather(&[2900], device).is_err());
            assert_eq!(stored.not_finite(), None);
            assert_eq!(own.part(1, 3)?.part(1, 1)?, stored.part(2, 1)?);
        }
        Ok(())
    }

    #[test]
    fn a_number_that_is_not_finite_is_found_behind_the_first_part() -> Result<()> {
        let mut values = vec![0.0_f32; 100_000];
        values[70_003] = f32::NEG_INFINITY;
        let array = Array::floats(values, &[10_000, 10])?;
        assert_eq!(array.not_finite(), Some((7000, 3, f32::NEG_INFINITY)));
        assert_eq!(array.part(7000, 9)?.not_finite(), Some((0, 3, f32::NEG_INFINITY)));
        assert_eq!(array.part(7001, 9)?.not_finite(), None);
        Ok(())
    }
}

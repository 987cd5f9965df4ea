//! An array of rows, as training data: numbers or ids.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::sync::Arc;

/// The numbers of an [`Array`], row-major.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    Floats(Arc<[f32]>),
    Ids(Arc<[u32]>),
}

/// An array of rows on the host, (rows, …): floats or ids. A clone shares the numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    values: Values,
    rows: usize,
    /// The shape of a row, and how many numbers that is.
    row: Vec<usize>,
    width: usize,
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
                Ok(Self { values, rows: *rows, row: row.to_vec(), width })
            }
            _ => Err(Error::Data(format!("{count} numbers do not make an array of shape {shape:?}"))),
        }
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
                if let Some(beyond) = values.iter().find(|value| value.unsigned_abs() > 1 << 24) {
                    let what = format!("holds {beyond}, and whole numbers beyond 2^24 are not trained on");
                    return Err(Error::Data(what));
                }
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

    /// The numbers, where they are floats.
    pub fn as_floats(&self) -> Option<&[f32]> {
        match &self.values {
            Values::Floats(values) => Some(values),
            Values::Ids(_) => None,
        }
    }

    /// The same numbers as floats: of ids, those below 2²⁴ keep their value.
    pub fn to_floats(&self) -> Self {
        match &self.values {
            Values::Floats(_) => self.clone(),
            Values::Ids(ids) => {
                let values = Values::Floats(ids.iter().map(|&id| id as f32).collect());
                Self { values, ..self.clone() }
            }
        }
    }

    /// The rows of these numbers as a tensor (rows, …) on `device`, in their order.
    ///
    /// # Errors
    /// [`Error::Data`] for a row that is not there, and Candle's own.
    pub fn gather(&self, rows: &[u32], device: &Device) -> Result<Tensor> {
        if let Some(row) = rows.iter().find(|&&row| row as usize >= self.rows) {
            return Err(Error::Data(format!("row {row} of {}", self.rows)));
        }
        let tensor = match &self.values {
            Values::Floats(values) => {
                Tensor::from_vec(self.pick(values, rows), self.shape(rows.len()), device)
            }
            Values::Ids(values) => Tensor::from_vec(self.pick(values, rows), self.shape(rows.len()), device),
        };
        Ok(tensor?)
    }

    fn pick<T: Copy>(&self, values: &[T], rows: &[u32]) -> Vec<T> {
        let mut picked = Vec::with_capacity(rows.len() * self.width);
        for &row in rows {
            let from = row as usize * self.width;
            picked.extend_from_slice(&values[from..from + self.width]);
        }
        picked
    }

    /// `count` rows from `from` on as a tensor (count, …) on `device`.
    ///
    /// # Errors
    /// [`Error::Data`] for rows that are not there, and Candle's own.
    pub fn slice(&self, from: usize, count: usize, device: &Device) -> Result<Tensor> {
        let part = self.range(from, count)?;
        let tensor = match &self.values {
            Values::Floats(values) => Tensor::from_slice(&values[part], self.shape(count), device),
            Values::Ids(values) => Tensor::from_slice(&values[part], self.shape(count), device),
        };
        Ok(tensor?)
    }

    /// `count` rows from `from` on, as an array of its own.
    ///
    /// # Errors
    /// As [`slice`](Self::slice).
    pub fn part(&self, from: usize, count: usize) -> Result<Self> {
        let part = self.range(from, count)?;
        let values = match &self.values {
            Values::Floats(values) => Values::Floats(values[part].into()),
            Values::Ids(values) => Values::Ids(values[part].into()),
        };
        Ok(Self { values, rows: count, ..self.clone() })
    }

    /// Where the numbers of `count` rows from `from` on stand.
    fn range(&self, from: usize, count: usize) -> Result<std::ops::Range<usize>> {
        match from.checked_add(count).filter(|&end| end <= self.rows) {
            Some(end) => Ok(from * self.width..end * self.width),
            None => {
                let end = from.saturating_add(count);
                Err(Error::Data(format!("rows {from} to {end} of {}", self.rows)))
            }
        }
    }

    fn shape(&self, rows: usize) -> Vec<usize> {
        [&[rows], self.row.as_slice()].concat()
    }

    /// The first number that is NaN or infinite: its row, its place within the row, and itself.
    pub fn not_finite(&self) -> Option<(usize, usize, f32)> {
        let values = self.as_floats()?;
        let at = values.iter().position(|value| !value.is_finite())?;
        let width = self.width.max(1);
        Some((at / width, at % width, values[at]))
    }
}

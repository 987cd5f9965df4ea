//! What a model's answers stand for, found out from its output and the targets.

use crate::Result;
use crate::data::{Array, Examples};
use crate::layers::Activation;
use crate::train::Head;
use candle_core::{DType, Device};

/// More classes than this have no report: their confusion matrix alone would fill the memory.
pub const MOST_CLASSES: usize = 1000;

/// What answers and targets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One sigmoid: the probability of the second of two classes; targets are 0 or 1.
    Binary,
    /// A softmax; targets are class numbers, or one-hot.
    Classes,
    /// A sigmoid a class; targets are 0 or 1 for each.
    Sets,
    /// One number a row.
    Numbers,
}

impl Kind {
    /// What the only output of a model gives of `examples`; none where it is something else, such as an answer a step.
    ///
    /// # Errors
    /// Where the targets cannot be read.
    pub fn of(head: &Head, examples: &Examples) -> Result<Option<Self>> {
        let ([_, _], [targets]) = (head.shape.as_slice(), examples.targets()) else { return Ok(None) };
        let (width, wide) = (head.width(), targets.row_shape().iter().product::<usize>());
        if !examples.weights().is_empty() || targets.row_shape().len() > 1 || width > MOST_CLASSES {
            return Ok(None);
        }
        let kind = match (head.activation, width) {
            (Some(Activation::Sigmoid), 1) if wide == 1 => Self::Binary,
            (Some(Activation::Sigmoid), 2..) if wide == width => Self::Sets,
            (Some(Activation::Softmax), 2..) if wide == 1 || wide == width => Self::Classes,
            (Some(Activation::Sigmoid | Activation::Softmax), _) => return Ok(None),
            (_, 1) if wide == 1 => return Ok(Some(Self::Numbers)),
            _ => return Ok(None),
        };
        let fits = match kind {
            Self::Classes if wide == 1 => {
                all(targets, |row| row[0].fract() == 0.0 && row[0] >= 0.0 && row[0] < width as f32)?
            }
            Self::Classes => {
                all(targets, |row| is_zero_or_one(row) && row.iter().filter(|&&it| it == 1.0).count() == 1)?
            }
            _ => all(targets, is_zero_or_one)?,
        };
        Ok(fits.then_some(kind))
    }
}

fn is_zero_or_one(row: &[f32]) -> bool {
    row.iter().all(|&it| it == 0.0 || it == 1.0)
}

/// Whether all rows of targets are so.
fn all(targets: &Array, is: impl Fn(&[f32]) -> bool) -> Result<bool> {
    let width = targets.row_shape().iter().product::<usize>().max(1);
    const AT_A_TIME: usize = 1 << 14;
    for from in (0..targets.rows()).step_by(AT_A_TIME) {
        let part = host(targets, from, AT_A_TIME.min(targets.rows() - from))?;
        if !part.chunks_exact(width).all(&is) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The numbers of some rows.
pub(super) fn host(array: &Array, from: usize, count: usize) -> Result<Vec<f32>> {
    Ok(array.slice(from, count, &Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

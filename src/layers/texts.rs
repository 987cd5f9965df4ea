//! Texts as they come to a model: in a shape, as numbers stand in a tensor.

use candle_core::{Result, bail};
use std::sync::Arc;

/// Texts in a shape, row-major: what a model takes that begins with a `TextVectorization` or a `StringLookup`. Clones
/// share the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    shape: Vec<usize>,
    values: Arc<Vec<String>>,
}

impl Texts {
    /// Texts in this shape, the batch first.
    ///
    /// # Errors
    /// If there are more or fewer than the shape holds.
    pub fn new(values: Vec<String>, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        let count = shape.iter().try_fold(1_usize, |count, &axis| count.checked_mul(axis));
        if shape.is_empty() || count != Some(values.len()) {
            bail!("{} texts do not fill the shape {shape:?}", values.len())
        }
        Ok(Self { shape, values: Arc::new(values) })
    }

    /// One text a sample: (batch, 1).
    pub fn column<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        Self { shape: vec![values.len(), 1], values: Arc::new(values) }
    }

    /// The length of each axis.
    pub fn dims(&self) -> &[usize] {
        &self.shape
    }

    /// The texts one after the other.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// The same texts in another shape.
    ///
    /// # Errors
    /// If it holds another number of them.
    pub fn reshape(&self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        match shape.iter().product::<usize>() == self.values.len() && !shape.is_empty() {
            true => Ok(Self { shape, values: self.values.clone() }),
            false => bail!("{} texts do not fill the shape {shape:?}", self.values.len()),
        }
    }

    /// `count` samples from `from` on.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn narrow(&self, from: usize, count: usize) -> Result<Self> {
        let size: usize = self.shape.iter().skip(1).product();
        let end = from.saturating_add(count).saturating_mul(size);
        match self.values.get(from.saturating_mul(size)..end) {
            Some(values) => {
                let shape = std::iter::once(count).chain(self.shape.iter().skip(1).copied()).collect();
                Ok(Self { shape, values: Arc::new(values.to_vec()) })
            }
            None => bail!("there are fewer than {} texts", from.saturating_add(count)),
        }
    }
}

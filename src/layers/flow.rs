//! What flows from one layer to the next: values with their mask.

use super::strand::Strand;
use super::table::Rows;
use super::texts::Texts;
use candle_core::{DType, Result, Tensor, bail};

/// What flows from one layer to the next: values and their mask.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The numbers.
    pub values: Values,
    /// (batch, time), u8: 0 where a step is to be skipped.
    pub mask: Option<Tensor>,
}

/// A tensor, or rows of an embedding table that a recurrent layer reads itself, or texts.
#[derive(Clone, Debug)]
pub enum Values {
    /// Numbers or ids.
    Tensor(Tensor),
    /// Numbers that an op of this crate gave.
    Strand(Strand),
    /// Rows of a table.
    Rows(Rows),
    /// Texts, for the layers that turn them into numbers.
    Texts(Texts),
}

impl Values {
    /// The numbers themselves.
    pub fn tensor(&self) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor.clone()),
            Self::Strand(strand) => Ok(strand.tensor().clone()),
            Self::Rows(rows) => rows.look_up(),
            Self::Texts(_) => {
                bail!(
                    "is given text where it needs numbers; a TextVectorization or a StringLookup must come before it"
                )
            }
        }
    }

    /// The texts, where they are texts.
    pub fn texts(&self) -> Result<&Texts> {
        match self {
            Self::Texts(texts) => Ok(texts),
            Self::Tensor(_) | Self::Strand(_) | Self::Rows(_) => bail!("needs text, and is given numbers"),
        }
    }

    /// The numbers as floats, for an op of this crate.
    pub(crate) fn strand(&self) -> Result<Strand> {
        match self {
            Self::Strand(strand) => Ok(strand.clone()),
            Self::Rows(rows) => rows.strand(),
            other => other.floats().map(Strand::from),
        }
    }

    /// The numbers of whatever type, for an op of this crate.
    pub(crate) fn any(&self) -> Result<Strand> {
        match self {
            Self::Strand(strand) => Ok(strand.clone()),
            Self::Rows(rows) => rows.strand(),
            other => other.tensor().map(Strand::from),
        }
    }

    /// The numbers as floats.
    pub fn floats(&self) -> Result<Tensor> {
        let xs = self.tensor()?;
        if xs.dtype().is_int() { xs.to_dtype(DType::F32) } else { Ok(xs) }
    }
}

impl Flow {
    /// Values with their mask.
    pub fn new(values: Tensor, mask: Option<Tensor>) -> Self {
        Self { values: Values::Tensor(values), mask }
    }

    /// The numbers as floats.
    pub fn floats(&self) -> Result<Tensor> {
        self.values.floats()
    }

    /// The numbers as floats, for an op of this crate.
    pub(crate) fn strand(&self) -> Result<Strand> {
        self.values.strand()
    }
}

impl From<Strand> for Flow {
    fn from(values: Strand) -> Self {
        Self { values: Values::Strand(values), mask: None }
    }
}

impl From<Texts> for Flow {
    fn from(texts: Texts) -> Self {
        Self { values: Values::Texts(texts), mask: None }
    }
}

impl From<Tensor> for Flow {
    fn from(values: Tensor) -> Self {
        Self::new(values, None)
    }
}

/// The first input.
pub fn first(inputs: &[Flow]) -> Result<&Flow> {
    match inputs.first() {
        Some(input) => Ok(input),
        None => bail!("a layer was called on nothing"),
    }
}

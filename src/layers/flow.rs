//! What flows from one layer to the next: values with their mask.

use super::table::Rows;
use candle_core::{DType, Result, Tensor, bail};

/// What flows from one layer to the next: values and their mask.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The numbers.
    pub values: Values,
    /// (batch, time), u8: 0 where a step is to be skipped.
    pub mask: Option<Tensor>,
}

/// A tensor, or rows of an embedding table that a recurrent layer reads itself.
#[derive(Clone, Debug)]
pub enum Values {
    /// Numbers or ids.
    Tensor(Tensor),
    /// Rows of a table.
    Rows(Rows),
}

impl Values {
    /// The numbers themselves.
    pub fn tensor(&self) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor.clone()),
            Self::Rows(rows) => rows.look_up(),
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

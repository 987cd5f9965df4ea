//! A table of vectors that is read by ids, with the gradients of its rows.

use super::cpu::{suits_kernels, with_floats};
use super::strand::{Back, Strand, op};
use super::token_squares::TokenSquares;
use candle_core::{DType, Device, Result, Tensor, bail};
use candle_recurrent_kernel as kernel;

/// The table of an embedding: (vocabulary, features).
#[derive(Clone, Debug)]
pub struct Table {
    name: String,
    vectors: Tensor,
    squares: Option<TokenSquares>,
}

/// Rows of a table, not yet read.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The table.
    pub(crate) table: Table,
    /// Which rows, u32, each below the vocabulary.
    pub(crate) ids: Tensor,
}

impl Table {
    /// The table of the layer `name`, (vocabulary, features).
    pub(crate) fn new(name: String, vectors: Tensor) -> Result<Self> {
        let squares = TokenSquares::of(&vectors)?;
        Ok(Self { name, vectors, squares })
    }

    /// The vectors, (vocabulary, features).
    pub fn vectors(&self) -> &Tensor {
        &self.vectors
    }

    /// What gathers the squares of the gradients, where the table is being trained.
    pub(crate) fn squares(&self) -> Option<&TokenSquares> {
        self.squares.as_ref()
    }

    fn vocabulary(&self) -> usize {
        self.vectors.dims().first().copied().unwrap_or(0)
    }

    fn features(&self) -> usize {
        self.vectors.dims().last().copied().unwrap_or(0)
    }

    /// How the kernels look `ids` up in the table.
    pub(crate) fn rows<'a>(&self, ids: &'a [u32]) -> kernel::Rows<'a> {
        let sizes = self.squares.as_ref().is_some_and(TokenSquares::gathers_sizes);
        kernel::Rows { ids, vocabulary: self.vocabulary(), squares: self.squares.is_some(), sizes }
    }

    /// `ids` as contiguous u32, each checked to be in the table.
    ///
    /// # Errors
    /// If an id is beyond the table, or the ids are no integers.
    pub fn check_ids(&self, ids: &Tensor) -> Result<Tensor> {
        let (name, vocabulary) = (&self.name, self.vocabulary());
        let beyond = |id: i64| {
            format!(
                "layer {name}: token id {id} is beyond the embedding's vocabulary of {vocabulary} (ids run from 0)"
            )
        };
        if !ids.dtype().is_int() {
            bail!("layer {name}: token ids must be integers (u32, i32 or i64), given {:?}", ids.dtype())
        }
        if ids.elem_count() == 0 {
            return ids.to_dtype(DType::U32);
        }
        let flat = ids.flatten_all()?;
        if matches!(ids.dtype(), DType::U8 | DType::U32) {
            let ids = ids.to_dtype(DType::U32)?.contiguous()?;
            let largest = ids.flatten_all()?.max(0)?.to_scalar::<u32>()?;
            if largest as usize >= vocabulary {
                bail!("{}", beyond(largest.into()))
            }
            return Ok(ids);
        }
        // In i64, since the cast would wrap.
        let wide = flat.to_dtype(DType::I64)?;
        for id in [wide.min(0)?.to_scalar::<i64>()?, wide.max(0)?.to_scalar::<i64>()?] {
            if usize::try_from(id).map_or(true, |id| id >= vocabulary) {
                bail!("{}", beyond(id))
            }
        }
        ids.to_dtype(DType::U32)?.contiguous()
    }
}

impl Rows {
    /// The rows themselves: one more axis than the ids, as long as a vector.
    pub fn look_up(&self) -> Result<Tensor> {
        Ok(self.strand()?.tensor().clone())
    }

    /// The same, for ops of this crate.
    pub(crate) fn strand(&self) -> Result<Strand> {
        let features = self.table.features();
        let mut shape = self.ids.dims().to_vec();
        shape.push(features);
        let flat = self.ids.flatten_all()?;
        let Some(squares) = &self.table.squares else {
            if self.table.vectors.track_op() || !suits_kernels(&self.table.vectors) {
                return self.table.vectors.index_select(&flat, 0)?.reshape(shape).map(Strand::from);
            }
            let ids = flat.to_vec1::<u32>()?;
            let rows =
                with_floats([&self.table.vectors], |[vectors]| kernel::gather(vectors, features, &ids))?;
            return Tensor::from_vec(rows, shape, &Device::Cpu).map(Strand::from);
        };
        let ids = flat.to_vec1::<u32>()?;
        let rows = with_floats([&self.table.vectors], |[vectors]| kernel::gather(vectors, features, &ids))?;
        // The second tensor is the companion, whose gradient is that of the squares.
        let inputs = [&self.table.vectors.clone().into(), &squares.companion().clone().into()];
        let table = self.table.clone();
        op("embedding", inputs, rows, shape, move |back: Back<'_, 2>| {
            kernel::scatter(&table.rows(&ids), table.features(), &back.d)
        })
    }
}

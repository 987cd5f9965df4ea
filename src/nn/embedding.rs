//! Keras's `Embedding` (`keras/src/layers/core/embedding.py`).

use super::{Initializer, Variable};
use candle_core::{DType, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// Keras's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingConfig {
    /// The number of ids, 0 included.
    pub input_dim: usize,
    /// Features of each id.
    pub output_dim: usize,
    /// Treat id 0 as padding: the layers after this one skip it.
    #[serde(default)]
    pub mask_zero: bool,
}

impl EmbeddingConfig {
    /// embeddings (`input_dim`, `output_dim`), U(±0.05).
    pub fn variables(&self) -> Vec<Variable> {
        let shape = [self.input_dim, self.output_dim];
        vec![Variable::new("embeddings", shape, Initializer::Uniform(0.05))]
    }

    /// Says what is wrong with the configuration, if anything is.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        if self.input_dim == 0 || self.output_dim == 0 {
            return Err("input_dim and output_dim must be at least 1".into());
        }
        Ok(())
    }
}

/// A table of vectors, looked up by id.
#[derive(Clone, Debug)]
pub struct Embedding {
    config: EmbeddingConfig,
    embeddings: Tensor,
}

impl Embedding {
    /// A table taken from `vb` under `embeddings`.
    ///
    /// # Errors
    /// If `vb` lacks it or has it in another shape.
    pub fn new(config: EmbeddingConfig, vb: VarBuilder) -> Result<Self> {
        if let Err(what) = config.check() {
            bail!("layer {}: {what}", vb.prefix())
        }
        let variables = config.variables();
        Ok(Self { config, embeddings: variables[0].get(&vb)? })
    }

    /// The table, (`input_dim`, `output_dim`).
    pub fn embeddings(&self) -> &Tensor {
        &self.embeddings
    }

    /// With `mask_zero`, 1 where an id is not 0, in the shape of `ids`, u8.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn compute_mask(&self, ids: &Tensor) -> Result<Option<Tensor>> {
        if self.config.mask_zero { Ok(Some(ids.ne(0u32)?)) } else { Ok(None) }
    }

    /// `ids` as u32, each checked to be in the table.
    ///
    /// # Errors
    /// If an id is beyond the table or the ids are no integers.
    pub fn check_ids(&self, ids: &Tensor) -> Result<Tensor> {
        let ids = match ids.dtype() {
            DType::U32 => ids.contiguous()?,
            DType::U8 | DType::I64 => {
                if ids.dtype() == DType::I64 && ids.elem_count() > 0 {
                    let smallest = ids.flatten_all()?.min(0)?.to_scalar::<i64>()?;
                    if smallest < 0 {
                        bail!("token id {smallest}: ids run from 0 to {}", self.config.input_dim - 1)
                    }
                }
                ids.to_dtype(DType::U32)?.contiguous()?
            }
            other => bail!("token ids must be integers (u32 or i64), given {other:?}"),
        };
        if ids.elem_count() > 0 {
            let largest = ids.flatten_all()?.max(0)?.to_scalar::<u32>()?;
            if largest as usize >= self.config.input_dim {
                bail!(
                    "token id {largest} is beyond the embedding's vocabulary of {} (ids run from 0)",
                    self.config.input_dim
                )
            }
        }
        Ok(ids)
    }
}

impl Module for Embedding {
    /// Ids of any shape to vectors: one more axis, `output_dim` long.
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        look_up(&self.embeddings, &self.check_ids(ids)?)
    }
}

/// The rows of `table` that `ids`, of any shape, name.
pub(crate) fn look_up(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let mut shape = ids.dims().to_vec();
    shape.push(table.dim(1)?);
    table.index_select(&ids.flatten_all()?, 0)?.reshape(shape)
}

//! Keras's `Embedding` (`keras/src/layers/core/embedding.py`).

use super::{Initializer, Variable};
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Module, Result, Shape, Tensor, Var, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::{Rows, scatter};
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
///
/// Keras on TensorFlow keeps the gradient of this table as one slice a token, and its optimisers square it slice by
/// slice: RMSprop's mean square of a word gathers `Σ g_t²` over the word's places in the batch, not `(Σ g_t)²`. So a
/// table that is being trained has a companion, [`squares`](Self::squares), whose gradient is `Σ g_t²`.
#[derive(Clone, Debug)]
pub struct Embedding {
    config: EmbeddingConfig,
    name: String,
    embeddings: Tensor,
    squares: Option<Var>,
}

impl Embedding {
    /// A table taken from `vb` under `embeddings`.
    ///
    /// # Errors
    /// If `vb` lacks it or has it in another shape.
    pub fn new(config: EmbeddingConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = config.check() {
            bail!("layer {name}: {what}")
        }
        let embeddings = config.variables()[0].get(&vb)?;
        let on_host = matches!(embeddings.device(), Device::Cpu) && embeddings.dtype() == DType::F32;
        let squares = if embeddings.track_op() && on_host {
            Some(Var::zeros(embeddings.shape(), DType::F32, &Device::Cpu)?)
        } else {
            None
        };
        Ok(Self { config, name, embeddings, squares })
    }

    /// The name of the table's variable and its companion, of the same shape: what
    /// [`RmsProp::set_squares`](crate::train::RmsProp::set_squares) wants. Only tables in f32 on the CPU that are being
    /// trained have one; others train by `(Σ g_t)²`, as in Keras on PyTorch and JAX.
    pub fn squares(&self) -> Option<(String, Var)> {
        self.squares.clone().map(|squares| (format!("{}.embeddings", self.name), squares))
    }

    /// The companion, if there is one.
    pub(super) fn companion(&self) -> Option<&Tensor> {
        self.squares.as_ref().map(Var::as_tensor)
    }

    /// The table, and below it the companion if there is one: the gradient of the whole is `Σ g_t`, then `Σ g_t²`.
    pub(super) fn stacked(&self) -> Result<Tensor> {
        match &self.squares {
            Some(squares) => Tensor::cat(&[&self.embeddings, squares.as_tensor()], 0),
            None => Ok(self.embeddings.clone()),
        }
    }

    /// How the kernels look `ids` up in the table, whether [`stacked`](Self::stacked) or not.
    pub(super) fn rows<'a>(&self, ids: &'a [u32]) -> Rows<'a> {
        Rows { ids, vocabulary: self.config.input_dim, squares: self.squares.is_some() }
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
                    // In i64, since the cast would wrap.
                    let flat = ids.flatten_all()?;
                    for id in [flat.min(0)?.to_scalar::<i64>()?, flat.max(0)?.to_scalar::<i64>()?] {
                        if id < 0 || id >= i64::from(u32::MAX) {
                            bail!("token id {id}: ids run from 0 to {}", self.config.input_dim - 1)
                        }
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
        let ids = self.check_ids(ids)?;
        let mut shape = ids.dims().to_vec();
        shape.push(self.config.output_dim);
        let flat = ids.flatten_all()?;
        let rows = if self.squares.is_some() {
            let op = LookUp { embedding: self.clone(), ids: flat.to_vec1()? };
            self.stacked()?.apply_op1(op)?
        } else {
            self.embeddings.index_select(&flat, 0)?
        };
        rows.reshape(shape)
    }
}

/// Rows of a table with a companion.
struct LookUp {
    embedding: Embedding,
    ids: Vec<u32>,
}

impl CustomOp1 for LookUp {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let table = super::op::floats(table, layout)?;
        let features = self.embedding.config.output_dim;
        let mut rows = Vec::with_capacity(self.ids.len() * features);
        for &id in &self.ids {
            rows.extend_from_slice(&table[id as usize * features..][..features]);
        }
        Ok((CpuStorage::F32(rows), (self.ids.len(), features).into()))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, d_rows: &Tensor) -> Result<Option<Tensor>> {
        let d_rows = d_rows.flatten_all()?.to_vec1::<f32>()?;
        let rows = self.embedding.rows(&self.ids);
        let sums = scatter(&rows, self.embedding.config.output_dim, &d_rows);
        Tensor::from_vec(sums, table.shape(), table.device()).map(Some)
    }
}

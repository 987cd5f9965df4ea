//! Keras's `Embedding` (`keras/src/layers/core/embedding.py`).

use crate::layers::flow::{Flow, Values, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::{MaskRule, not_equal};
use crate::layers::shape::{Checked, Shape, single};
use crate::layers::table::{Rows, Table};
use candle_core::{DType, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`Embedding`].
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
}

impl Config for EmbeddingConfig {
    fn check(&self) -> Checked<()> {
        match self.input_dim == 0 || self.output_dim == 0 {
            true => Err("input_dim and output_dim must be at least 1".into()),
            false => Ok(()),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let mut shape = single(inputs)?.clone();
        shape.push(Some(self.output_dim));
        Ok(Placed::one(shape).with(self.variables()))
    }

    fn mask_rule(&self) -> MaskRule {
        match self.mask_zero {
            true => MaskRule::Begins { value: 0.0, features: false },
            false => MaskRule::Drops,
        }
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Embedding::new(*self, vb)?))
    }

    fn first_input(&self) -> Option<Shape> {
        Some(vec![None, None])
    }

    fn vocabulary(&self) -> Option<usize> {
        Some(self.input_dim)
    }

    fn set_text_shape(&mut self, vocabulary: usize, _: usize) {
        self.input_dim = vocabulary;
    }
}

/// A table of vectors, looked up by id.
///
/// While it is trained in f32 on the CPU, optimisers find the squares of its gradients token by token, as in Keras on
/// TensorFlow.
#[derive(Clone, Debug)]
pub struct Embedding {
    config: EmbeddingConfig,
    table: Table,
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
        let vectors = config.variables()[0].get(&vb)?;
        Ok(Self { config, table: Table::new(name, vectors)? })
    }

    /// The configuration.
    pub fn config(&self) -> &EmbeddingConfig {
        &self.config
    }

    /// The table, (`input_dim`, `output_dim`).
    pub fn embeddings(&self) -> &Tensor {
        self.table.vectors()
    }

    /// The mask with `mask_zero`: 1 where an id is not 0, u8, in the shape of `ids`.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn compute_mask(&self, ids: &Tensor) -> Result<Option<Tensor>> {
        if self.config.mask_zero { not_equal(ids, 0.0, false).map(Some) } else { Ok(None) }
    }

    /// The rows of `ids`, not read until they are used: see [`Lstm::call_rows`](crate::layers::Lstm::call_rows). Rows of a
    /// table in training are for one layer: give several layers what `forward` gives, for the squares of the gradients are
    /// those of what all layers give together.
    ///
    /// # Errors
    /// If an id is beyond the table, or the ids are no integers.
    pub fn rows(&self, ids: &Tensor) -> Result<Rows> {
        Ok(Rows { table: self.table.clone(), ids: self.table.check_ids(ids)? })
    }
}

impl Module for Embedding {
    /// Ids of any shape to vectors: one more axis, `output_dim` long.
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.rows(ids)?.look_up()
    }
}

impl Layer for Embedding {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        let mut ids = first(inputs)?.values.tensor()?;
        if ids.dtype().is_float() {
            ids = ids.to_dtype(DType::I64)?;
        }
        let rows = self.rows(&ids)?;
        let values = match rows.ids.rank() {
            2 => Values::Rows(rows),
            _ => Values::Strand(rows.strand()?),
        };
        Ok(vec![Flow { values, mask: None }])
    }
}

//! Keras's `StringLookup` (`keras/src/layers/preprocessing/string_lookup.py`).

use super::encode::{OutputMode, whole};
use super::hash::Salt;
use super::index_lookup::{Arguments, Buckets, Table};
use crate::layers::flow::{Flow, Values, first};
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, single};
use crate::layers::texts::Texts;
use candle_core::{Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`StringLookup`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StringLookupConfig {
    /// The tokens in the order of their indices, with or without the special ones before them. A layer without them can be
    /// looked at, not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vec<String>>,
    /// The most tokens, the special ones counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// How many indices there are for unknown tokens.
    #[serde(default = "one")]
    pub num_oov_indices: usize,
    /// The token that has index 0, or counts nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_token: Option<String>,
    /// What stands for unknown tokens in the vocabulary.
    #[serde(default = "unknown")]
    pub oov_token: Option<String>,
    /// From indices to tokens.
    #[serde(default)]
    pub invert: bool,
    /// How the indices leave the layer.
    #[serde(default)]
    pub output_mode: OutputMode,
    /// Weights of the tokens for `tf_idf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idf_weights: Option<Vec<f32>>,
    /// Vectors as long as `max_tokens`.
    #[serde(default)]
    pub pad_to_max_tokens: bool,
    /// A key for the hash that chooses among several indices for unknown tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
}

fn one() -> usize {
    1
}

fn unknown() -> Option<String> {
    Some("[UNK]".into())
}

impl StringLookupConfig {
    /// The `tf_idf` weight of each place of what it gives; none in other modes.
    ///
    /// # Errors
    /// If the weights do not fit the vocabulary.
    pub(crate) fn place_weights(&self) -> Checked<Option<Vec<f32>>> {
        self.arguments().place_weights()
    }

    fn arguments(&self) -> Arguments<'_, String> {
        Arguments {
            vocabulary: self.vocabulary.as_deref(),
            idf_weights: self.idf_weights.as_deref(),
            max_tokens: self.max_tokens,
            num_oov_indices: self.num_oov_indices,
            mask_token: self.mask_token.as_ref(),
            oov_token: self.oov_token.as_ref(),
            output_mode: self.output_mode,
            pad_to_max_tokens: self.pad_to_max_tokens,
            invert: self.invert,
            buckets: Buckets::Hash(self.salt),
        }
    }
}

impl Config for StringLookupConfig {
    fn check(&self) -> Checked<()> {
        self.arguments().check()
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(self.output_mode.place(single(inputs)?, self.arguments().depth())?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(StringLookup::new(self.clone(), vb)?))
    }

    fn first_input(&self) -> Option<Shape> {
        Some(vec![None, Some(1)])
    }
}

/// Tokens to indices, or with `invert` indices to tokens.
#[derive(Clone, Debug)]
pub struct StringLookup {
    config: StringLookupConfig,
    table: Table<String>,
    device: Device,
}

impl StringLookup {
    /// The layer. It has no variables; messages name it by the prefix of `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or there is no vocabulary.
    pub fn new(config: StringLookupConfig, vb: VarBuilder) -> Result<Self> {
        match config.arguments().table() {
            Ok(table) => Ok(Self { config, table, device: vb.device().clone() }),
            Err(what) => bail!("layer {}: {what}", vb.prefix()),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &StringLookupConfig {
        &self.config
    }

    /// Tokens to indices, i64, or to vectors.
    ///
    /// # Errors
    /// If the shape does not fit, or a token is unknown where there is no index for it.
    pub fn call(&self, texts: &Texts) -> Result<Tensor> {
        let indices = texts.values().iter().map(|token| self.table.index(token)).collect::<Result<_>>()?;
        let Table { mode, depth, idf, .. } = &self.table;
        mode.encode(indices, texts.dims(), *depth, None, idf.as_deref(), &self.device)
    }

    /// Indices to tokens, with `invert`.
    ///
    /// # Errors
    /// If an index has no token.
    pub fn tokens(&self, indices: &Tensor) -> Result<Texts> {
        let tokens = whole(indices)?.into_iter().map(|index| self.table.token(index));
        Texts::new(tokens.collect::<Result<_>>()?, indices.dims())
    }
}

impl Layer for StringLookup {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        let input = &first(inputs)?.values;
        Ok(vec![match self.config.invert {
            true => Flow { values: Values::Texts(self.tokens(&input.tensor()?)?), mask: None },
            false => self.call(input.texts()?)?.into(),
        }])
    }
}

//! Keras's `IntegerLookup` (`keras/src/layers/preprocessing/integer_lookup.py`).

use super::encode::{OutputMode, whole};
use super::hash::Salt;
use super::index_lookup::{Arguments, Buckets, Table};
use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, single};
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`IntegerLookup`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntegerLookupConfig {
    /// The numbers in the order of their indices, with or without the special ones before them. A layer without them can be
    /// looked at, not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vec<i64>>,
    /// The most numbers, the special ones counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// How many indices there are for unknown numbers.
    #[serde(default = "one")]
    pub num_oov_indices: usize,
    /// The number that has index 0, or counts nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_token: Option<i64>,
    /// What stands for unknown numbers in the vocabulary.
    #[serde(default = "unknown")]
    pub oov_token: Option<i64>,
    /// From indices to numbers.
    #[serde(default)]
    pub invert: bool,
    /// How the indices leave the layer.
    #[serde(default)]
    pub output_mode: OutputMode,
    /// Weights of the numbers for `tf_idf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idf_weights: Option<Vec<f32>>,
    /// Vectors as long as `max_tokens`.
    #[serde(default)]
    pub pad_to_max_tokens: bool,
    /// How unknown numbers find their index among several.
    #[serde(default)]
    pub oov_method: OovMethod,
    /// A key for the hash of `farmhash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
}

/// How unknown numbers find their index among several, by Keras's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OovMethod {
    /// The number's remainder.
    #[default]
    FloorMod,
    /// A hash of the number as text.
    FarmHash,
}

fn one() -> usize {
    1
}

fn unknown() -> Option<i64> {
    Some(-1)
}

impl IntegerLookupConfig {
    /// The `tf_idf` weight of each place of what it gives; none in other modes.
    ///
    /// # Errors
    /// If the weights do not fit the vocabulary.
    pub(crate) fn place_weights(&self) -> Checked<Option<Vec<f32>>> {
        self.arguments().place_weights()
    }

    fn arguments(&self) -> Arguments<'_, i64> {
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
            buckets: match self.oov_method {
                OovMethod::FloorMod => Buckets::Remainder,
                OovMethod::FarmHash => Buckets::Hash(self.salt),
            },
        }
    }
}

impl Config for IntegerLookupConfig {
    fn check(&self) -> Checked<()> {
        if self.salt.is_some() && self.oov_method != OovMethod::FarmHash {
            return Err("salt goes with oov_method `farmhash` only".into());
        }
        self.arguments().check()
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(self.output_mode.place(single(inputs)?, self.arguments().depth())?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(IntegerLookup::new(self.clone(), vb)?))
    }
}

/// Whole numbers to indices, or with `invert` indices to numbers.
#[derive(Clone, Debug)]
pub struct IntegerLookup {
    config: IntegerLookupConfig,
    table: Table<i64>,
}

impl IntegerLookup {
    /// The layer. It has no variables; messages name it by the prefix of `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or there is no vocabulary.
    pub fn new(config: IntegerLookupConfig, vb: VarBuilder) -> Result<Self> {
        match config.arguments().table() {
            Ok(table) => Ok(Self { config, table }),
            Err(what) => bail!("layer {}: {what}", vb.prefix()),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &IntegerLookupConfig {
        &self.config
    }
}

impl Module for IntegerLookup {
    /// Numbers to indices, i64, or to vectors.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let Table { mode, depth, idf, .. } = &self.table;
        let numbers = whole(xs)?.into_iter();
        let found = match self.config.invert {
            true => numbers.map(|index| self.table.token(index)).collect::<Result<_>>()?,
            false => numbers.map(|number| self.table.index(&number)).collect::<Result<_>>()?,
        };
        mode.encode(found, xs.dims(), *depth, None, idf.as_deref(), xs.device())
    }
}

impl Layer for IntegerLookup {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.forward(&first(inputs)?.values.tensor()?)?.into()])
    }
}

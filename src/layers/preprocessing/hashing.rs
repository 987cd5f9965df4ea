//! Keras's `Hashing` (`keras/src/layers/preprocessing/hashing.py`).

use super::encode::{OutputMode, whole};
use super::hash::{Salt, bucket};
use crate::layers::flow::{Flow, Values, first};
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_units, single};
use candle_core::{Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`Hashing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashingConfig {
    /// How many bins there are, that of the mask counted.
    pub num_bins: usize,
    /// What goes to bin 0, which nothing else goes to then: a text or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_value: Option<MaskValue>,
    /// A key for the hash, which is SipHash-2-4 then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
    /// How the bins leave the layer.
    #[serde(default)]
    pub output_mode: OutputMode,
}

/// A text or a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text or a number")]
pub enum MaskValue {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
}

impl Config for HashingConfig {
    fn check(&self) -> Checked<()> {
        check_units("num_bins", self.num_bins)?;
        match self.output_mode {
            OutputMode::TfIdf => Err("output_mode must be int, one_hot, multi_hot or count".into()),
            _ => Ok(()),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        Ok(Placed::one(self.output_mode.place(single(inputs)?, Some(self.num_bins))?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Hashing::new(self.clone(), vb)?))
    }
}

/// Texts or whole numbers to bins, by their hash.
#[derive(Clone, Debug)]
pub struct Hashing {
    config: HashingConfig,
    device: Device,
}

impl Hashing {
    /// The layer. It has no variables; messages name it by the prefix of `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense.
    pub fn new(config: HashingConfig, vb: VarBuilder) -> Result<Self> {
        match config.check() {
            Ok(()) => Ok(Self { config, device: vb.device().clone() }),
            Err(what) => bail!("layer {}: {what}", vb.prefix()),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &HashingConfig {
        &self.config
    }

    /// Texts, or whole numbers, to bins, i64, or to vectors.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn call(&self, values: &Values) -> Result<Tensor> {
        let bin = |text: &str, is_masked: &dyn Fn(&MaskValue) -> bool| match &self.config.mask_value {
            Some(mask) if self.config.num_bins > 1 => match is_masked(mask) {
                true => 0,
                false => 1 + bucket(text, self.config.salt, self.config.num_bins - 1),
            },
            _ => bucket(text, self.config.salt, self.config.num_bins),
        };
        let (bins, dims) = match values {
            Values::Texts(texts) => {
                if let Some(MaskValue::Int(_)) = self.config.mask_value {
                    bail!("its mask_value is a number, and it is given text")
                }
                let bins = texts
                    .values()
                    .iter()
                    .map(|text| bin(text, &|mask| matches!(mask, MaskValue::Text(mask) if mask == text)));
                (bins.collect::<Vec<i64>>(), texts.dims().to_vec())
            }
            values => {
                if let Some(MaskValue::Text(_)) = self.config.mask_value {
                    bail!("its mask_value is a text, and it is given numbers")
                }
                let xs = values.tensor()?;
                let bins = whole(&xs)?
                    .into_iter()
                    .map(|number| bin(&number.to_string(), &|mask| *mask == MaskValue::Int(number)));
                (bins.collect(), xs.dims().to_vec())
            }
        };
        self.config.output_mode.encode(bins, &dims, self.config.num_bins, None, None, &self.device)
    }
}

impl Layer for Hashing {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        Ok(vec![self.call(&first(inputs)?.values)?.into()])
    }
}

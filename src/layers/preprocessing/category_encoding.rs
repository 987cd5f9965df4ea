//! Keras's `CategoryEncoding` (`keras/src/layers/preprocessing/category_encoding.py`).

use super::encode::{OutputMode, whole};
use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_units, show};
use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`CategoryEncoding`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryEncodingConfig {
    /// How many categories there are; ids from there on count nowhere.
    pub num_tokens: usize,
    /// `multi_hot`, `one_hot` or `count`.
    #[serde(default = "multi_hot")]
    pub output_mode: OutputMode,
}

fn multi_hot() -> OutputMode {
    OutputMode::MultiHot
}

impl Config for CategoryEncodingConfig {
    fn check(&self) -> Checked<()> {
        check_units("num_tokens", self.num_tokens)?;
        match self.output_mode {
            OutputMode::MultiHot | OutputMode::OneHot | OutputMode::Count => Ok(()),
            OutputMode::Int | OutputMode::TfIdf => {
                Err("output_mode must be multi_hot, one_hot or count".into())
            }
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = match inputs {
            [input] => input,
            [input, weights] if self.output_mode == OutputMode::Count => {
                let fits = |(a, b): (&Option<usize>, &Option<usize>)| a.is_none() || b.is_none() || a == b;
                if input.len() != weights.len() || !input.iter().zip(weights).all(fits) {
                    return Err(format!(
                        "its count_weights {} are not of its input's shape {}",
                        show(weights),
                        show(input)
                    ));
                }
                input
            }
            [_, _] => return Err("count_weights go with output_mode `count` only".into()),
            _ => {
                return Err(format!(
                    "takes ids and, if there are some, count_weights; given {} inputs",
                    inputs.len()
                ));
            }
        };
        Ok(Placed::one(self.output_mode.place(input, Some(self.num_tokens))?))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Drops
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(CategoryEncoding::new(*self, vb)?))
    }
}

/// Ids of categories to vectors.
#[derive(Clone, Debug)]
pub struct CategoryEncoding {
    config: CategoryEncodingConfig,
}

impl CategoryEncoding {
    /// The layer. It has no variables; messages name it by the prefix of `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense.
    pub fn new(config: CategoryEncodingConfig, vb: VarBuilder) -> Result<Self> {
        if let Err(what) = config.check() {
            bail!("layer {}: {what}", vb.prefix())
        }
        Ok(Self { config })
    }

    /// The configuration.
    pub fn config(&self) -> &CategoryEncodingConfig {
        &self.config
    }

    /// Encodes ids, (batch, ids) or, one by one, of any shape. In the mode `count` each id counts as much as its
    /// `count_weights` say, which have the shape of the ids.
    ///
    /// # Errors
    /// If an id is below 0, or the shapes do not fit.
    pub fn call(&self, ids: &Tensor, count_weights: Option<&Tensor>) -> Result<Tensor> {
        let weights = match count_weights {
            Some(weights) if weights.dims() != ids.dims() => {
                bail!("count_weights of shape {:?} for ids of {:?}", weights.dims(), ids.dims())
            }
            Some(weights) => Some(weights.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?),
            None => None,
        };
        let (mode, depth) = (self.config.output_mode, self.config.num_tokens);
        mode.encode(whole(ids)?, ids.dims(), depth, weights.as_deref(), None, ids.device())
    }
}

impl Layer for CategoryEncoding {
    fn run(&self, inputs: &[Flow], _: Pass) -> Result<Vec<Flow>> {
        let weights = inputs.get(1).map(|weights| weights.values.tensor()).transpose()?;
        Ok(vec![self.call(&first(inputs)?.values.tensor()?, weights.as_ref())?.into()])
    }
}

//! Keras's `AdditiveAttention` (`keras/src/layers/attention/additive_attention.py`).

use super::fused::attend_additively;
use super::weigh::{self, AttentionMasks, Weigh};
use crate::layers::flow::Flow;
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Mode, Pass, Placed, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_numbers, check_rate, features};
use candle_core::{D, DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`AdditiveAttention`] and of its call, with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdditiveAttentionConfig {
    /// Whether each feature has a learned weight in the scores.
    pub use_scale: bool,
    /// Fraction of the attention weights to drop in training.
    pub dropout: f64,
    /// Let no step of the query see later steps of the value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub use_causal_mask: bool,
    /// Give the attention weights as well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub return_attention_scores: bool,
    /// As in [`AttentionConfig`](super::AttentionConfig).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmasked: Vec<usize>,
}

impl Default for AdditiveAttentionConfig {
    fn default() -> Self {
        Self {
            use_scale: true,
            dropout: 0.0,
            use_causal_mask: false,
            return_attention_scores: false,
            unmasked: vec![],
        }
    }
}

impl AdditiveAttentionConfig {
    /// The variable that the arguments ask for, for a query of `dim` features: scale (dim).
    pub fn variables(&self, dim: usize) -> Vec<Variable> {
        let scale = self.use_scale.then(|| Variable::new("scale", [dim], Initializer::GlorotUniform));
        scale.into_iter().collect()
    }
}

impl Config for AdditiveAttentionConfig {
    fn check(&self) -> Checked<()> {
        weigh::check_unmasked(&self.unmasked)?;
        check_rate("dropout", self.dropout)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let outputs = weigh::outputs(inputs, self.return_attention_scores)?;
        let dim = if self.use_scale { features(first_shape(inputs))? } else { 0 };
        Ok(Placed::new(outputs).with(self.variables(dim)))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::PassesTo(1)
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let dim = first_shape(inputs).last().copied().flatten().unwrap_or(0);
        Ok(Arc::new(AdditiveAttention::new(dim, self.clone(), vb)?))
    }
}

/// Bahdanau's attention (Bahdanau et al. 2015) without its matrices: the score of a query and a key is the sum of
/// scale · tanh(query + key) over the features.
#[derive(Clone, Debug)]
pub struct AdditiveAttention {
    config: AdditiveAttentionConfig,
    weigh: Weigh,
    scale: Option<Tensor>,
}

impl AdditiveAttention {
    /// A layer for a query of `dim` features with the variables that `vb` holds.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(dim: usize, config: AdditiveAttentionConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = config.check() {
            bail!("layer {name}: {what}")
        }
        let scale = config.variables(dim).first().map(|scale| scale.get(&vb)).transpose()?;
        let weigh = Weigh {
            name,
            dropout: config.dropout,
            use_causal_mask: config.use_causal_mask,
            return_attention_scores: config.return_attention_scores,
            unmasked: config.unmasked.clone(),
        };
        Ok(Self { config, weigh, scale })
    }

    /// The configuration.
    pub fn config(&self) -> &AdditiveAttentionConfig {
        &self.config
    }

    /// Takes `query` (batch, steps, dim), `value` (batch, places, features) and `key` (batch, places, dim). Gives the
    /// means (batch, steps, features) and the attention weights (batch, steps, places).
    ///
    /// # Errors
    /// If a shape does not fit.
    pub fn call(
        &self,
        query: &Tensor,
        value: &Tensor,
        key: &Tensor,
        masks: AttentionMasks<'_>,
        mode: Mode,
    ) -> Result<(Tensor, Tensor)> {
        self.weigh.call(self.scores(query, key)?, value, masks, mode)
    }

    /// (batch, steps, places)
    fn scores(&self, query: &Tensor, key: &Tensor) -> Result<Tensor> {
        let (batch, steps, dim) = query.dims3()?;
        check_numbers(&[batch, steps, key.dim(1)?, dim])?;
        let sums = query.unsqueeze(2)?.broadcast_add(&key.unsqueeze(1)?)?.tanh()?;
        match &self.scale {
            Some(scale) => sums.broadcast_mul(scale)?.sum(D::Minus1),
            None => sums.sum(D::Minus1),
        }
    }
}

impl Layer for AdditiveAttention {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        self.weigh.run(
            inputs,
            pass,
            |query, key| self.scores(query, key),
            |of, given| {
                let scale = match &self.scale {
                    Some(scale) => scale.clone(),
                    None => Tensor::ones(of.dim, DType::F32, &Device::Cpu)?,
                };
                attend_additively(of, given, &scale).map(Some)
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scale of zeros scores everything alike: the mean of what may be seen.
    #[test]
    fn without_a_score_it_is_the_mean() {
        let config = AdditiveAttentionConfig { use_causal_mask: true, ..Default::default() };
        let layer = AdditiveAttention::new(2, config, VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap();
        let xs = Tensor::new(&[[[1f32, 2.0], [3.0, 4.0]]], &Device::Cpu).unwrap();
        let (ys, weights) = layer.call(&xs, &xs, &xs, AttentionMasks::default(), Mode::Inference).unwrap();
        assert_eq!(ys.to_vec3::<f32>().unwrap(), [[[1.0, 2.0], [2.0, 3.0]]]);
        assert_eq!(weights.to_vec3::<f32>().unwrap(), [[[1.0, 0.0], [0.5, 0.5]]]);
    }

    #[test]
    fn an_open_query_is_said() {
        let config = AdditiveAttentionConfig::default();
        let error = config.place(&[vec![None, None, None], vec![None, None, None]]).unwrap_err();
        assert!(error.contains("must be known"), "{error}");
        assert!(AdditiveAttentionConfig { unmasked: vec![3], ..config }.check().is_err());
    }
}

//! Keras's `Attention` (`keras/src/layers/attention/attention.py`).

use super::fused::attend;
use super::weigh::{self, AttentionMasks, Weigh};
use crate::layers::flow::Flow;
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Mode, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_numbers, check_rate};
use candle_core::{D, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the score of a query and a key is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreMode {
    /// query · key (Luong et al. 2015)
    #[default]
    Dot,
    /// The sum of tanh(query + key) over the features (Bahdanau et al. 2015, without their matrices).
    Concat,
}

/// The arguments of [`Attention`] and of its call, with Keras's defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionConfig {
    /// Whether a learned scalar scales the scores.
    pub use_scale: bool,
    /// How scores are computed.
    pub score_mode: ScoreMode,
    /// Fraction of the attention weights to drop in training.
    pub dropout: f64,
    /// Let no step of the query see later steps of the value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub use_causal_mask: bool,
    /// Give the attention weights as well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub return_attention_scores: bool,
    /// Inputs (the query is 0, the value 1) whose masks the layer does not see: a MultiHeadAttention of Keras 3 that runs
    /// before it takes them away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmasked: Vec<usize>,
}

impl AttentionConfig {
    /// The variables that the arguments ask for: the scalars scale and concat_score_weight.
    pub fn variables(&self) -> Vec<Variable> {
        let wanted =
            [("scale", self.use_scale), ("concat_score_weight", self.score_mode == ScoreMode::Concat)];
        let wanted = wanted.into_iter().filter(|&(_, wanted)| wanted);
        wanted.map(|(name, _)| Variable::new(name, [], Initializer::Ones)).collect()
    }
}

impl Config for AttentionConfig {
    fn check(&self) -> Checked<()> {
        weigh::check_unmasked(&self.unmasked)?;
        check_rate("dropout", self.dropout)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let outputs = weigh::outputs(inputs, self.return_attention_scores)?;
        Ok(Placed::new(outputs).with(self.variables()))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::PassesTo(1)
    }

    fn build(&self, _: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Attention::new(self.clone(), vb)?))
    }
}

/// Attention: for each step of a query, the mean of a value's steps, weighted by how well their keys fit the query.
#[derive(Clone, Debug)]
pub struct Attention {
    config: AttentionConfig,
    weigh: Weigh,
    scale: Option<Tensor>,
    concat_score_weight: Option<Tensor>,
}

impl Attention {
    /// A layer with the variables that `vb` holds.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(config: AttentionConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = config.check() {
            bail!("layer {name}: {what}")
        }
        let variables = config.variables();
        let get = |name: &str| variables.iter().find(|v| v.name == name).map(|v| v.get(&vb)).transpose();
        let (scale, concat_score_weight) = (get("scale")?, get("concat_score_weight")?);
        let weigh = Weigh {
            name,
            dropout: config.dropout,
            use_causal_mask: config.use_causal_mask,
            return_attention_scores: config.return_attention_scores,
            unmasked: config.unmasked.clone(),
        };
        Ok(Self { config, weigh, scale, concat_score_weight })
    }

    /// The configuration.
    pub fn config(&self) -> &AttentionConfig {
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
        let scaled = |xs: Tensor| match &self.scale {
            Some(scale) => xs.broadcast_mul(scale),
            None => Ok(xs),
        };
        let (batch, steps, dim) = query.dims3()?;
        check_numbers(&[
            batch,
            steps,
            key.dim(1)?,
            if self.concat_score_weight.is_some() { dim } else { 1 },
        ])?;
        match &self.concat_score_weight {
            None => scaled(query.contiguous()?.matmul(&key.transpose(1, 2)?.contiguous()?)?),
            Some(weight) => {
                let sums = query.unsqueeze(2)?.broadcast_add(&key.unsqueeze(1)?)?;
                scaled(sums)?.tanh()?.sum(D::Minus1)?.broadcast_mul(weight)
            }
        }
    }
}

impl Layer for Attention {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        self.weigh.run(
            inputs,
            pass,
            |query, key| self.scores(query, key),
            |of, [query, key, value]| {
                if self.concat_score_weight.is_some() {
                    return Ok(None);
                }
                let shape = vec![of.batch, of.steps, of.features];
                let scaled = match &self.scale {
                    Some(scale) => query.tensor().broadcast_mul(scale)?.into(),
                    None => query.clone(),
                };
                attend(of, [&scaled, key, value], shape).map(Some)
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, IndexOp};

    fn attention(config: AttentionConfig) -> Attention {
        Attention::new(config, VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap()
    }

    fn ramp(shape: (usize, usize, usize)) -> Tensor {
        let count = (shape.0 * shape.1 * shape.2) as f32;
        (Tensor::arange(0f32, count, &Device::Cpu).unwrap() / 7.0).unwrap().reshape(shape).unwrap()
    }

    /// The first step sees the first place alone, and each step's weights add up to 1.
    #[test]
    fn the_future_is_not_seen() {
        let layer = attention(AttentionConfig { use_causal_mask: true, ..AttentionConfig::default() });
        let xs = ramp((2, 3, 4));
        let (ys, weights) = layer.call(&xs, &xs, &xs, AttentionMasks::default(), Mode::Inference).unwrap();
        let row = |ys: &Tensor| ys.i((0, 0)).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(row(&ys), row(&xs));
        assert_eq!(row(&weights), [1.0, 0.0, 0.0]);
        for sum in weights.sum(2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap() {
            assert!((sum - 1.0).abs() < 1e-6);
        }
    }

    /// Dropped weights are 0, the others scaled; a seed draws the same ones again.
    #[test]
    fn dropout_is_of_the_weights_in_training() {
        let layer = attention(AttentionConfig { dropout: 0.5, ..AttentionConfig::default() });
        let xs = ramp((2, 8, 4));
        let weights = |mode| {
            let (_, weights) = layer.call(&xs, &xs, &xs, AttentionMasks::default(), mode).unwrap();
            weights.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let (all, some) = (weights(Mode::Inference), weights(Mode::Training { seed: 3 }));
        assert!(all.iter().zip(&some).all(|(all, some)| *some == 0.0 || *some == 2.0 * all));
        assert!(
            some.iter().filter(|weight| **weight == 0.0).count() > all.iter().filter(|w| **w == 0.0).count()
        );
        assert_eq!(some, weights(Mode::Training { seed: 3 }));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let config = AttentionConfig::default();
        let shape = |steps, dim| vec![None, Some(steps), Some(dim)];
        let error = config.place(&[shape(3, 4), shape(5, 6)]).unwrap_err();
        assert!(error.contains("(None, 3, 4), (None, 5, 6)"), "{error}");
        assert!(config.place(&[shape(3, 4)]).unwrap_err().contains("given 1 inputs"));
        assert_eq!(config.place(&[shape(3, 4), shape(5, 6), shape(5, 4)]).unwrap().outputs, [shape(3, 6)]);
        assert!(AttentionConfig { dropout: 2.0, ..config }.check().is_err());
    }
}

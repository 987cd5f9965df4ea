//! Keras's `GroupedQueryAttention` (`keras/src/layers/attention/grouped_query_attention.py`), which Keras exports as
//! `GroupQueryAttention`.

use super::heads::{HeadMasks, Heads, MaskedSoftmax, features_of, roles};
use super::multi_head::yes;
use super::projection::{Projections, Sizes, check_biases};
use super::weigh::{check_unmasked, fits};
use crate::layers::flow::Flow;
use crate::layers::initializer::Variable;
use crate::layers::layer::{Config, Layer, Mode, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, check_rate, check_units, show};
use crate::layers::strand::Strand;
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`GroupedQueryAttention`] and of its call, with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupedQueryAttentionConfig {
    /// The features of a head.
    pub head_dim: usize,
    /// How many heads the query has.
    pub num_query_heads: usize,
    /// How many heads key and value have, each for as many heads of the query as another.
    pub num_key_value_heads: usize,
    /// Fraction of the attention weights to drop in training.
    #[serde(default)]
    pub dropout: f64,
    /// Whether projections have a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// So many places less one does a step see on either side; none: all.
    #[serde(default)]
    pub sliding_window: Option<usize>,
    /// Whether what the heads give is multiplied with a sigmoid of a projection of the query.
    #[serde(default)]
    pub use_gate: bool,
    /// Let no step of the query see later steps of the value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_causal_mask: bool,
    /// Give the attention weights as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub return_attention_scores: bool,
    /// Whether the last input is a mask of the scores.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attention_mask: bool,
    /// As in [`AttentionConfig`](super::AttentionConfig); the key is 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmasked: Vec<usize>,
}

impl GroupedQueryAttentionConfig {
    /// So many heads of `head_dim` features, all else as Keras has it.
    pub fn new(head_dim: usize, num_query_heads: usize, num_key_value_heads: usize) -> Self {
        Self {
            head_dim,
            num_query_heads,
            num_key_value_heads,
            dropout: 0.0,
            use_bias: true,
            sliding_window: None,
            use_gate: false,
            use_causal_mask: false,
            return_attention_scores: false,
            attention_mask: false,
            unmasked: vec![],
        }
    }

    /// The projections, in the order of Keras's variables: query, key, the gate if there is one, value, attention_output.
    fn projections(&self, [query, value, key]: [usize; 3]) -> Vec<Sizes> {
        let sizes = |name, inputs: &[usize], outputs: &[usize]| Sizes {
            name,
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            use_bias: self.use_bias,
        };
        let queries = [self.num_query_heads, self.head_dim];
        let values = [self.num_key_value_heads, self.head_dim];
        let gate = self.use_gate.then(|| sizes("gate", &[query], &queries));
        let keys = [sizes("query", &[query], &queries), sizes("key", &[key], &values)];
        let rest = [sizes("value", &[value], &values), sizes("attention_output", &queries, &[query])];
        keys.into_iter().chain(gate).chain(rest).collect()
    }

    /// The variables for inputs with so many features: of the query, the value and the key.
    pub fn variables(&self, features: [usize; 3]) -> Vec<Variable> {
        self.projections(features).iter().flat_map(Sizes::variables).collect()
    }
}

impl Config for GroupedQueryAttentionConfig {
    fn check(&self) -> Checked<()> {
        check_units("head_dim", self.head_dim)?;
        check_units("num_query_heads", self.num_query_heads)?;
        check_units("num_key_value_heads", self.num_key_value_heads)?;
        if !self.num_query_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(format!(
                "num_query_heads ({}) must be a multiple of num_key_value_heads ({})",
                self.num_query_heads, self.num_key_value_heads
            ));
        }
        if self.sliding_window == Some(0) {
            return Err("sliding_window must be at least 1".into());
        }
        check_unmasked(&self.unmasked)?;
        check_rate("dropout", self.dropout)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let (roles, mask) = roles(inputs, self.attention_mask)?;
        match roles.map(Vec::as_slice) {
            [&[batch, steps, dim], &[_, places, value_dim], &[_, keys, _]]
                if fits(places, keys) && fits(dim, value_dim) =>
            {
                let scores = vec![batch, Some(self.num_query_heads), steps, keys];
                if let Some(mask) = mask.filter(|mask| mask.len() < 2 || mask.len() > 4) {
                    let (mask, scores) = (show(mask), show(&scores));
                    return Err(format!("its attention_mask {mask} does not fit its scores {scores}"));
                }
                let mut outputs = vec![vec![batch, steps, dim]];
                if self.return_attention_scores {
                    outputs.push(scores);
                }
                Ok(Placed::new(outputs).with(self.variables(features_of(roles)?)))
            }
            _ => {
                let [query, value, key] = roles.map(|shape| show(shape));
                Err(format!(
                    "needs a query (batch, steps, features), a value (batch, places, features) of as many features, and a \
                     key (batch, places, …), given {query}, {value} and {key}"
                ))
            }
        }
    }

    fn check_keras3(&self, inputs: &[Shape]) -> Checked<()> {
        let (roles, _) = roles(inputs, self.attention_mask)?;
        check_biases(&self.projections(features_of(roles)?), roles)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::PassesTo(1)
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let features = roles(inputs, self.attention_mask).and_then(|(roles, _)| features_of(roles));
        let features = features.map_err(candle_core::Error::msg)?;
        Ok(Arc::new(GroupedQueryAttention::new(features, self.clone(), vb)?))
    }
}

/// Attention of several heads that share keys and values in groups (Ainslie et al. 2023).
#[derive(Clone, Debug)]
pub struct GroupedQueryAttention {
    config: GroupedQueryAttentionConfig,
    heads: Heads,
    projections: Projections,
}

impl GroupedQueryAttention {
    /// A layer for a query, a value and a key with so many features, with the variables that `vb` holds.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(features: [usize; 3], config: GroupedQueryAttentionConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = config.check() {
            bail!("layer {name}: {what}")
        }
        let projections = Projections::new(config.projections(features), &vb)?;
        let heads = Heads {
            name,
            scale: 1.0 / (config.head_dim as f64).sqrt(),
            dropout: config.dropout,
            use_causal_mask: config.use_causal_mask,
            sliding_window: config.sliding_window,
            return_attention_scores: config.return_attention_scores,
            softmax: MaskedSoftmax::Keras3,
            // The softmax layer's rule; a layer without dropout and scores does not come to it.
            above_half: config.dropout > 0.0 || config.return_attention_scores,
            attention_mask: config.attention_mask,
            unmasked: config.unmasked.clone(),
        };
        Ok(Self { config, heads, projections })
    }

    /// The configuration.
    pub fn config(&self) -> &GroupedQueryAttentionConfig {
        &self.config
    }

    /// Takes `query` (batch, steps, features), `value` and `key` (batch, places, features). Gives (batch, steps,
    /// features) and the attention weights (batch, heads, steps, places).
    ///
    /// # Errors
    /// If a shape does not fit.
    pub fn call(
        &self,
        query: &Tensor,
        value: &Tensor,
        key: &Tensor,
        masks: HeadMasks<'_>,
        mode: Mode,
    ) -> Result<(Tensor, Tensor)> {
        let [query, value, key] = [query, value, key].map(|xs| Strand::from(xs.clone()));
        match self.attend([&query, &value, &key], masks, mode, true)? {
            (ys, Some(weights)) => Ok((ys.tensor().clone(), weights)),
            (_, None) => bail!("its weights are missing"),
        }
    }

    fn attend(
        &self,
        [query, value, key]: [&Strand; 3],
        masks: HeadMasks<'_>,
        mode: Mode,
        wants_weights: bool,
    ) -> Result<(Strand, Option<Tensor>)> {
        let Projections { query: to_query, key: to_key, value: to_value, .. } = &self.projections;
        let projected = [
            to_query.forward(query)?,
            self.repeated(&to_key.forward(key)?)?,
            self.repeated(&to_value.forward(value)?)?,
        ];
        let (heads, weights) = self.heads.attend(projected.each_ref(), &[1], masks, mode, wants_weights)?;
        Ok((self.projections.output(query, &heads)?, weights))
    }

    /// (batch, places, groups, dim) with each group as often as heads of the query share it.
    fn repeated(&self, strand: &Strand) -> Result<Strand> {
        let xs = strand.tensor();
        let (batch, places, groups, dim) = xs.dims4()?;
        let times = self.config.num_query_heads / groups.max(1);
        if times == 1 {
            return Ok(strand.clone());
        }
        let xs = xs.unsqueeze(3)?.broadcast_as((batch, places, groups, times, dim))?;
        xs.contiguous()?.reshape((batch, places, groups * times, dim)).map(Strand::from)
    }
}

impl Layer for GroupedQueryAttention {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        self.heads.run(inputs, |inputs, masks| self.attend(inputs, masks, pass.mode, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use candle_nn::VarMap;

    /// As many heads of keys as of queries: the numbers of MultiHeadAttention.
    #[test]
    fn without_groups_it_is_multi_head_attention() {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let grouped =
            GroupedQueryAttention::new([4; 3], GroupedQueryAttentionConfig::new(3, 2, 2), vb.clone())
                .unwrap();
        let plain = super::super::MultiHeadAttentionConfig::new(2, 3);
        let plain = super::super::MultiHeadAttention::new([4; 3], plain, vb).unwrap();
        let xs = Tensor::randn(0f32, 1.0, (2, 5, 4), &Device::Cpu).unwrap();
        let (a, _) = grouped.call(&xs, &xs, &xs, HeadMasks::default(), Mode::Inference).unwrap();
        let (b, _) = plain.call(&xs, &xs, &xs, HeadMasks::default(), Mode::Inference).unwrap();
        assert_eq!(a.to_vec3::<f32>().unwrap(), b.to_vec3::<f32>().unwrap());
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let config = GroupedQueryAttentionConfig::new(3, 4, 3);
        assert!(config.check().unwrap_err().contains("multiple"));
        let config = GroupedQueryAttentionConfig::new(3, 4, 2);
        let shape = |features| vec![None, Some(5), Some(features)];
        let error = config.place(&[shape(4), shape(6)]).unwrap_err();
        assert!(error.contains("as many features"), "{error}");
        assert_eq!(config.place(&[shape(4), shape(4)]).unwrap().outputs, [shape(4)]);
    }
}

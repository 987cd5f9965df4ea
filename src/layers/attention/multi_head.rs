//! Keras's `MultiHeadAttention` (`keras/src/layers/attention/multi_head_attention.py`).

use super::heads::{HeadMasks, Heads, MaskedSoftmax, features_of, roles};
use super::projection::{Projections, Sizes, check_biases};
use super::weigh::{check_unmasked, fits};
use crate::layers::flow::Flow;
use crate::layers::initializer::Variable;
use crate::layers::layer::{Config, Layer, Mode, Pass, Placed};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Axes, Checked, Shape, check_rate, check_units, show};
use crate::layers::strand::Strand;
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`MultiHeadAttention`] and of its call, with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiHeadAttentionConfig {
    /// How many heads there are.
    pub num_heads: usize,
    /// The features of a head's queries and keys.
    pub key_dim: usize,
    /// The features of a head's values; none: as many as `key_dim`.
    #[serde(default)]
    pub value_dim: Option<usize>,
    /// Fraction of the attention weights to drop in training.
    #[serde(default)]
    pub dropout: f64,
    /// Whether projections have a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// The axes that stand for the query's features in the output; none: as many features as the query has.
    #[serde(default)]
    pub output_shape: Option<Vec<usize>>,
    /// The axes of the inputs that are attended to; none: all between the batch and the features.
    #[serde(default)]
    pub attention_axes: Option<Axes>,
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
    /// What becomes of scores that a mask hides.
    #[serde(default, skip_serializing_if = "MaskedSoftmax::is_default")]
    pub masked_softmax: MaskedSoftmax,
    /// As in [`AttentionConfig`](super::AttentionConfig); the key is 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmasked: Vec<usize>,
}

pub(super) fn yes() -> bool {
    true
}

impl MultiHeadAttentionConfig {
    /// So many heads of `key_dim` features, all else as Keras has it.
    pub fn new(num_heads: usize, key_dim: usize) -> Self {
        Self {
            num_heads,
            key_dim,
            value_dim: None,
            dropout: 0.0,
            use_bias: true,
            output_shape: None,
            attention_axes: None,
            sliding_window: None,
            use_gate: false,
            use_causal_mask: false,
            return_attention_scores: false,
            attention_mask: false,
            masked_softmax: MaskedSoftmax::default(),
            unmasked: vec![],
        }
    }

    fn value_dim(&self) -> usize {
        self.value_dim.unwrap_or(self.key_dim)
    }

    /// The axes attended to, of inputs with `rank` axes.
    fn axes(&self, rank: usize) -> Checked<Vec<usize>> {
        let Some(axes) = &self.attention_axes else { return Ok((1..rank - 1).collect()) };
        let axes = axes.indices(rank).map_err(|what| format!("attention_axes: {what}"))?;
        let is_between = |axis: &usize| (1..rank - 1).contains(axis);
        let is_once = |axis: &usize| axes.iter().filter(|other| *other == axis).count() == 1;
        match !axes.is_empty() && axes.iter().all(|axis| is_between(axis) && is_once(axis)) {
            true => Ok(axes),
            false => Err(format!(
                "attention_axes {axes:?} must be different axes between the batch (0) and the features ({})",
                rank - 1
            )),
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
        let (heads, value_dim) = (self.num_heads, self.value_dim());
        let output = self.output_shape.clone().unwrap_or_else(|| vec![query]);
        let gate = self.use_gate.then(|| sizes("gate", &[query], &[heads, value_dim]));
        let keys =
            [sizes("query", &[query], &[heads, self.key_dim]), sizes("key", &[key], &[heads, self.key_dim])];
        let rest = [
            sizes("value", &[value], &[heads, value_dim]),
            sizes("attention_output", &[heads, value_dim], &output),
        ];
        keys.into_iter().chain(gate).chain(rest).collect()
    }

    /// The variables for inputs with so many features: of the query, the value and the key.
    pub fn variables(&self, features: [usize; 3]) -> Vec<Variable> {
        self.projections(features).iter().flat_map(Sizes::variables).collect()
    }
}

impl Config for MultiHeadAttentionConfig {
    fn check(&self) -> Checked<()> {
        check_units("num_heads", self.num_heads)?;
        check_units("key_dim", self.key_dim)?;
        check_units("value_dim", self.value_dim())?;
        for &size in self.output_shape.iter().flatten() {
            check_units("output_shape", size)?;
        }
        if self.output_shape.as_ref().is_some_and(Vec::is_empty) {
            return Err("output_shape needs at least one size; leave it out for the query's features".into());
        }
        if self.sliding_window == Some(0) {
            return Err("sliding_window must be at least 1".into());
        }
        check_unmasked(&self.unmasked)?;
        check_rate("dropout", self.dropout)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let (roles, mask) = roles(inputs, self.attention_mask)?;
        let [query, value, key] = roles;
        let rank = query.len();
        let misfit = || {
            format!(
                "needs a query (batch, steps, features), and a value and a key (batch, places, features), given {}, {} \
                 and {}",
                show(query),
                show(value),
                show(key)
            )
        };
        if rank < 3 || value.len() != rank || key.len() != rank {
            return Err(misfit());
        }
        let axes = self.axes(rank)?;
        for axis in 0..rank - 1 {
            let is_attended = axes.contains(&axis);
            if !fits(value[axis], key[axis]) || !is_attended && !fits(query[axis], value[axis]) {
                return Err(misfit());
            }
        }
        if (self.use_causal_mask || self.sliding_window.is_some()) && axes.len() > 1 {
            return Err("use_causal_mask and sliding_window are for one axis of attention".into());
        }
        // Heads stand before the features; of the scores they are the last that is like the batch.
        let alike = (0..rank - 1).filter(|axis| !axes.contains(axis)).map(|axis| query[axis]);
        let along = |shape: &Shape| axes.iter().map(|&axis| shape[axis]).collect::<Vec<_>>();
        let scores: Shape =
            alike.chain([Some(self.num_heads)]).chain(along(query)).chain(along(key)).collect();
        if let Some(mask) = mask.filter(|mask| mask.len() < 2 * axes.len() || mask.len() > scores.len()) {
            let (mask, scores) = (show(mask), show(&scores));
            return Err(format!("its attention_mask {mask} does not fit its scores {scores}"));
        }
        let features = features_of(roles)?;
        let output = self.output_shape.clone().unwrap_or_else(|| vec![features[0]]);
        let output = query[..rank - 1].iter().copied().chain(output.into_iter().map(Some)).collect();
        let mut outputs = vec![output];
        if self.return_attention_scores {
            outputs.push(scores);
        }
        Ok(Placed::new(outputs).with(self.variables(features)))
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
        Ok(Arc::new(MultiHeadAttention::new(features, self.clone(), vb)?))
    }
}

/// Attention of several heads (Vaswani et al. 2017), each with projections of its own of the query, the key and the
/// value.
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    config: MultiHeadAttentionConfig,
    heads: Heads,
    projections: Projections,
}

impl MultiHeadAttention {
    /// A layer for a query, a value and a key with so many features, with the variables that `vb` holds.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(features: [usize; 3], config: MultiHeadAttentionConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = config.check() {
            bail!("layer {name}: {what}")
        }
        let projections = Projections::new(config.projections(features), &vb)?;
        let heads = Heads {
            name,
            scale: 1.0 / (config.key_dim as f64).sqrt(),
            dropout: config.dropout,
            use_causal_mask: config.use_causal_mask,
            sliding_window: config.sliding_window,
            return_attention_scores: config.return_attention_scores,
            softmax: config.masked_softmax,
            above_half: false,
            attention_mask: config.attention_mask,
            unmasked: config.unmasked.clone(),
        };
        Ok(Self { config, heads, projections })
    }

    /// The configuration.
    pub fn config(&self) -> &MultiHeadAttentionConfig {
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
        if query.tensor().rank() < 3 {
            bail!("needs a query (batch, steps, features), given {:?}", query.tensor().dims())
        }
        let axes = self.config.axes(query.tensor().rank()).map_err(candle_core::Error::msg)?;
        let Projections { query: to_query, key: to_key, value: to_value, .. } = &self.projections;
        let projected = [to_query.forward(query)?, to_key.forward(key)?, to_value.forward(value)?];
        let (heads, weights) = self.heads.attend(projected.each_ref(), &axes, masks, mode, wants_weights)?;
        Ok((self.projections.output(query, &heads)?, weights))
    }
}

impl Layer for MultiHeadAttention {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        self.heads.run(inputs, |inputs, masks| self.attend(inputs, masks, pass.mode, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use candle_nn::VarMap;

    fn layer(config: MultiHeadAttentionConfig) -> MultiHeadAttention {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        MultiHeadAttention::new([4, 4, 4], config, vb).unwrap()
    }

    fn noise(shape: (usize, usize, usize)) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
    }

    fn flat(xs: &Tensor) -> Vec<f32> {
        xs.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Weights add up to 1 over the places that a step sees, which a window and the past limit.
    #[test]
    fn steps_see_what_they_may() {
        let config = MultiHeadAttentionConfig {
            use_causal_mask: true,
            sliding_window: Some(2),
            ..MultiHeadAttentionConfig::new(2, 3)
        };
        let xs = noise((2, 4, 4));
        let (_, weights) = layer(config).call(&xs, &xs, &xs, HeadMasks::default(), Mode::Inference).unwrap();
        assert_eq!(weights.dims(), [2, 2, 4, 4]);
        for (at, weight) in flat(&weights).into_iter().enumerate() {
            let (step, place) = (at / 4 % 4, at % 4);
            assert_eq!(weight > 0.0, place <= step && step < place + 2, "{step} {place}");
        }
        for sum in flat(&weights.sum(3).unwrap()) {
            assert!((sum - 1.0).abs() < 1e-6);
        }
    }

    /// A step that sees nothing: the mean of all, or 0, as Keras 3 has it.
    #[test]
    fn a_step_that_sees_nothing() {
        let (xs, mask) = (noise((1, 3, 4)), Tensor::new(&[[1u8, 1, 0]], &Device::Cpu).unwrap());
        let masks = HeadMasks { query: Some(&mask), ..HeadMasks::default() };
        let last = |config| {
            let (_, weights) = layer(config).call(&xs, &xs, &xs, masks, Mode::Inference).unwrap();
            flat(&weights.narrow(2, 2, 1).unwrap())
        };
        let plain = MultiHeadAttentionConfig::new(1, 2);
        assert!(last(plain.clone()).iter().all(|weight| (weight - 1.0 / 3.0).abs() < 1e-6));
        assert_eq!(last(MultiHeadAttentionConfig { dropout: 0.5, ..plain }), [0.0; 3]);
    }

    /// In training some weights are dropped; the weights that are given are whole.
    #[test]
    fn dropout_is_of_the_weights_in_training() {
        let config = MultiHeadAttentionConfig { dropout: 0.5, ..MultiHeadAttentionConfig::new(2, 3) };
        let (layer, xs) = (layer(config), noise((2, 5, 4)));
        let run = |mode| layer.call(&xs, &xs, &xs, HeadMasks::default(), mode).unwrap();
        let (plain, trained) = (run(Mode::Inference), run(Mode::Training { seed: 1 }));
        assert_eq!(flat(&plain.1), flat(&trained.1));
        assert_ne!(flat(&plain.0), flat(&trained.0));
        assert_eq!(flat(&trained.0), flat(&run(Mode::Training { seed: 1 }).0));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let config = MultiHeadAttentionConfig::new(2, 3);
        let shape = |axes: &[usize]| -> Shape {
            std::iter::once(None).chain(axes.iter().copied().map(Some)).collect()
        };
        let refuse = |config: &MultiHeadAttentionConfig, inputs: &[Shape], words: &str| {
            let error = config.place(inputs).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        refuse(&config, &[shape(&[3, 4])], "given 1 inputs");
        refuse(&config, &[shape(&[4]), shape(&[4])], "given (None, 4)");
        refuse(&config, &[shape(&[2, 3, 4]), shape(&[3, 4])], "given (None, 2, 3, 4), (None, 3, 4)");
        refuse(&config, &[shape(&[3, 4]), shape(&[5, 4]), shape(&[6, 4])], "and (None, 6, 4)");
        let axes = |axes| MultiHeadAttentionConfig { attention_axes: Some(axes), ..config.clone() };
        refuse(&axes(Axes::One(0)), &[shape(&[3, 4]), shape(&[3, 4])], "attention_axes [0]");
        refuse(&axes(Axes::Many(vec![1, -2])), &[shape(&[3, 4]), shape(&[3, 4])], "different axes");
        refuse(&axes(Axes::One(1)), &[shape(&[2, 3, 4]), shape(&[2, 5, 4])], "given");
        let masked = MultiHeadAttentionConfig { attention_mask: true, ..config.clone() };
        refuse(&masked, &[shape(&[3, 4]), shape(&[3, 4])], "then a mask");
        refuse(&masked, &[shape(&[3, 4]), shape(&[3, 4]), vec![None]], "attention_mask (None)");
        let huge = MultiHeadAttentionConfig::new(1 << 30, 3);
        assert!(huge.check().unwrap_err().contains("num_heads"));
        let placed = config.place(&[shape(&[3, 4]), shape(&[5, 6])]).unwrap();
        assert_eq!(placed.outputs, [shape(&[3, 4])]);
        assert_eq!(placed.variables.len(), 8);
    }
}

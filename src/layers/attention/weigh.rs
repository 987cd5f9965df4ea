//! What [`Attention`](super::Attention) and [`AdditiveAttention`](super::AdditiveAttention) do with their scores, and the
//! masks that all attention layers share.

use super::fused::{self, broadcasts};
use crate::layers::dropout_mask::mask;
use crate::layers::flow::Flow;
use crate::layers::layer::{Mode, Pass};
use crate::layers::shape::{Checked, Shape, check_numbers, show};
use crate::layers::strand::Strand;
use crate::random::Stream;
use candle_core::{D, Device, Result, Tensor, bail};
use candle_nn::ops::softmax;
use candle_recurrent_kernel::attention::{Attention, Hidden};

/// The masks of a call of [`Attention`](super::Attention) or [`AdditiveAttention`](super::AdditiveAttention), u8: 0 where
/// a step is not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionMasks<'a> {
    /// (batch, steps): the output is 0 there.
    pub query: Option<&'a Tensor>,
    /// (batch, places): nothing is read there.
    pub value: Option<&'a Tensor>,
}

/// The outputs of attention of a query over a value, and over a key where there is one: the shapes of the means, and of
/// the weights if they are given too.
pub(super) fn outputs(inputs: &[Shape], with_weights: bool) -> Checked<Vec<Shape>> {
    let (query, value, key) = match inputs {
        [query, value] => (query, value, value),
        [query, value, key] => (query, value, key),
        _ => return Err(format!("takes a query, a value and perhaps a key, given {} inputs", inputs.len())),
    };
    match (query.as_slice(), value.as_slice(), key.as_slice()) {
        (&[batch, steps, dim], &[_, places, features], &[_, keys, key_dim])
            if fits(dim, key_dim) && fits(places, keys) =>
        {
            let mut outputs = vec![vec![batch, steps, features]];
            if with_weights {
                outputs.push(vec![batch, steps, keys]);
            }
            Ok(outputs)
        }
        _ => {
            let (query, value, key) = (show(query), show(value), show(key));
            Err(format!(
                "needs a query (batch, steps, dim), a value (batch, places, features) and a key (batch, places, dim), \
                 given {query}, {value} and {key}"
            ))
        }
    }
}

/// Whether two axes can be of one size.
pub(super) fn fits(a: Option<usize>, b: Option<usize>) -> bool {
    a.is_none() || b.is_none() || a == b
}

/// From scores to means.
#[derive(Clone, Debug)]
pub(super) struct Weigh {
    pub name: String,
    pub dropout: f64,
    pub use_causal_mask: bool,
    pub return_attention_scores: bool,
    pub unmasked: Vec<usize>,
}

impl Weigh {
    /// The means of `value` (batch, places, features) by `scores` (batch, steps, places), and the weights.
    pub fn call(
        &self,
        mut scores: Tensor,
        value: &Tensor,
        masks: AttentionMasks<'_>,
        mode: Mode,
    ) -> Result<(Tensor, Tensor)> {
        let (_, steps, places) = scores.dims3()?;
        let there = masks.value.map(|mask| mask.ne(0u8)?.unsqueeze(1)).transpose()?;
        let past = band(steps, places, self.use_causal_mask, None, scores.device())?;
        if let Some(visible) = both(there, past)? {
            // Keras takes this much off, rather than to put -∞.
            let visible = visible.broadcast_as(scores.shape())?.contiguous()?;
            scores = visible.where_cond(&scores, &(&scores - 1e9)?)?;
        }
        let weights = drop(&softmax(&scores, D::Minus1)?, self.dropout, &self.name, mode)?;
        let mut means = weights.matmul(&value.contiguous()?)?;
        if let Some(mask) = masks.query {
            let there = mask.unsqueeze(2)?.broadcast_as(means.shape())?.contiguous()?;
            means = there.where_cond(&means, &means.zeros_like()?)?;
        }
        Ok((means, weights))
    }

    /// A call of the layer in a model; `scores` are those of a query and a key, and `whole` gives the means of a value by
    /// a query and a key in one op, where there is one.
    pub fn run(
        &self,
        inputs: &[Flow],
        pass: Pass,
        scores: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
        whole: impl Fn(Attention, [&Strand; 3]) -> Result<Option<Strand>>,
    ) -> Result<Vec<Flow>> {
        let values = inputs.iter().map(Flow::strand).collect::<Result<Vec<_>>>()?;
        let (query, value, key) = match values.as_slice() {
            [query, value] => (query, value, value),
            [query, value, key] => (query, value, key),
            _ => bail!("layer {}: takes a query, a value and perhaps a key", self.name),
        };
        let masks = AttentionMasks {
            query: seen_mask(inputs, 0, &self.unmasked),
            value: seen_mask(inputs, 1, &self.unmasked),
        };
        if let Some(of) = self.sizes([query, key, value], masks, pass.mode)?
            && let Some(means) = whole(of, [query, key, value])?
        {
            return Ok(vec![means.into()]);
        }
        let [query, value, key] = [query, value, key].map(Strand::tensor);
        let (means, weights) = self.call(scores(query, key)?, value, masks, pass.mode)?;
        let weights = Some(weights).filter(|_| self.return_attention_scores);
        Ok(std::iter::once(means).chain(weights).map(Flow::from).collect())
    }
}

impl Weigh {
    /// What the one op needs to know; none where it does not do.
    fn sizes(
        &self,
        inputs: [&Strand; 3],
        masks: AttentionMasks<'_>,
        mode: Mode,
    ) -> Result<Option<Attention>> {
        let [query, key, value] = inputs.map(|input| input.tensor().dims());
        let (&[batch, steps, dim], &[samples, keys, key_dim], &[others, places, features]) =
            (query, key, value)
        else {
            return Ok(None);
        };
        let fit = (samples, others, keys, key_dim) == (batch, batch, places, dim);
        if self.return_attention_scores || !fit || !inputs.iter().all(|input| input.fuses()) {
            return Ok(None);
        }
        check_numbers(&[batch, steps, places])?;
        let there = masks.value.map(|mask| mask.ne(0u8)?.unsqueeze(1)).transpose()?;
        let past = band(steps, places, self.use_causal_mask, None, &Device::Cpu)?;
        let visible = both(there, past)?.map(|visible| visible.unsqueeze(1)).transpose()?;
        if visible.as_ref().is_some_and(|mask| !broadcasts(mask, [batch, 1, steps, places])) {
            return Ok(None);
        }
        let there = masks.query.map(|mask| mask.ne(0u8)?.contiguous()?.flatten_all()?.to_vec1::<u8>());
        let there = there.transpose()?;
        if there.as_ref().is_some_and(|there| there.len() != batch * steps) {
            return Ok(None);
        }
        Ok(Some(Attention {
            batch,
            heads: 1,
            steps,
            places,
            dim,
            features,
            scale: 1.0,
            visible: visible.map(|mask| fused::visible(&mask, places, Hidden::TakenOff)).transpose()?,
            factors: factors(self.dropout, &self.name, mode, batch * steps * places),
            there,
        }))
    }
}

/// What attention weights are multiplied with in training, where some are dropped.
pub(super) fn factors(rate: f64, name: &str, mode: Mode, count: usize) -> Option<Vec<f32>> {
    match mode {
        Mode::Training { seed } if rate > 0.0 => {
            Some(mask(&mut Stream::named(seed, &format!("{name}/dropout")), rate, count))
        }
        Mode::Training { .. } | Mode::Inference => None,
    }
}

/// The mask of an input, unless it is among those that the layer does not see.
pub(super) fn seen_mask<'a>(inputs: &'a [Flow], index: usize, unmasked: &[usize]) -> Option<&'a Tensor> {
    inputs.get(index)?.mask.as_ref().filter(|_| !unmasked.contains(&index))
}

/// What is wrong with a list of inputs whose masks are not seen.
pub(super) fn check_unmasked(unmasked: &[usize]) -> Checked<()> {
    match unmasked.iter().find(|index| **index > 2) {
        Some(index) => {
            Err(format!("unmasked counts the query 0, the value 1 and the key 2; there is no {index}"))
        }
        None => Ok(()),
    }
}

/// (1, steps, places), u8: 1 where a step may look. `window` lets it see so many places less one on either side. None
/// where it may look everywhere.
pub(super) fn band(
    steps: usize,
    places: usize,
    causal: bool,
    window: Option<usize>,
    device: &Device,
) -> Result<Option<Tensor>> {
    if !causal && window.is_none() {
        return Ok(None);
    }
    check_numbers(&[steps, places])?;
    let sees = |step: usize, place: usize| {
        (!causal || place <= step) && window.is_none_or(|window| place.abs_diff(step) < window)
    };
    let band = (0..steps * places).map(|at| u8::from(sees(at / places, at % places))).collect();
    Tensor::from_vec(band, (1, steps, places), device).map(Some)
}

/// 1 where both masks are, broadcast to each other.
pub(super) fn both(a: Option<Tensor>, b: Option<Tensor>) -> Result<Option<Tensor>> {
    match (a, b) {
        (Some(a), Some(b)) => a.broadcast_minimum(&b).map(Some),
        (a, b) => Ok(a.or(b)),
    }
}

/// Attention weights with some of them dropped, in training.
pub(super) fn drop(weights: &Tensor, rate: f64, name: &str, mode: Mode) -> Result<Tensor> {
    match factors(rate, name, mode, weights.elem_count()) {
        Some(mask) => {
            let mask = Tensor::from_vec(mask, weights.shape(), weights.device())?;
            weights * mask.to_dtype(weights.dtype())?
        }
        None => Ok(weights.clone()),
    }
}

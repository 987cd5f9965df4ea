//! Scaled dot-product attention of several heads, as `MultiHeadAttention` and `GroupedQueryAttention` have it.

use super::fused::{self, broadcasts};
use super::weigh::{band, both, drop, factors, seen_mask};
use crate::layers::flow::Flow;
use crate::layers::layer::Mode;
use crate::layers::masks::not_equal;
use crate::layers::shape::{Checked, Shape, check_numbers, features};
use crate::layers::strand::Strand;
use candle_core::{D, DType, Result, Tensor, bail};
use candle_nn::ops::softmax;
use candle_recurrent_kernel::attention::{Attention, Hidden};
use serde::{Deserialize, Serialize};

/// The masks of a call of [`MultiHeadAttention`](super::MultiHeadAttention) or
/// [`GroupedQueryAttention`](super::GroupedQueryAttention).
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadMasks<'a> {
    /// (batch, steps), u8: 0 where the step sees nothing.
    pub query: Option<&'a Tensor>,
    /// (batch, places), u8: 0 where nothing is read.
    pub value: Option<&'a Tensor>,
    /// The same of a key that is not the value.
    pub key: Option<&'a Tensor>,
    /// (batch, steps, places), or with an axis of heads after the batch, of any type: 0 where a step does not see a place.
    pub attention: Option<&'a Tensor>,
}

/// What becomes of scores that a mask hides. It matters only at steps that see no place at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskedSoftmax {
    /// As in Keras 3: a step that sees nothing gives the mean of all places; but 0 in a layer that has a dropout, gives its
    /// scores, or takes more than three axes.
    #[default]
    Keras3,
    /// As in Keras 2: 10⁹ is taken off them.
    Keras2,
    /// As in Keras 2 with `softmax_robust_masking`: -10⁹ stands for them.
    Robust,
}

impl MaskedSoftmax {
    /// Whether it is today's Keras's.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The shapes of a call's query, value and key, and of its mask if the last input is one.
pub(super) fn roles(inputs: &[Shape], attention_mask: bool) -> Checked<([&Shape; 3], Option<&Shape>)> {
    match (inputs, attention_mask) {
        ([query, value], false) => Ok(([query, value, value], None)),
        ([query, value, key], false) => Ok(([query, value, key], None)),
        ([query, value, mask], true) => Ok(([query, value, value], Some(mask))),
        ([query, value, key, mask], true) => Ok(([query, value, key], Some(mask))),
        _ => Err(format!(
            "takes a query, a value and perhaps a key{}, given {} inputs",
            if attention_mask { ", then a mask" } else { "" },
            inputs.len()
        )),
    }
}

/// The features of a query, a value and a key.
pub(super) fn features_of(roles: [&Shape; 3]) -> Checked<[usize; 3]> {
    let [query, value, key] = roles;
    Ok([features(query)?, features(value)?, features(key)?])
}

/// What a step may look at: by 0 and 1, or, in Keras 2, by degrees.
enum Visible {
    Places(Tensor),
    Degrees(Tensor),
}

/// From projected queries, keys and values to what the heads give.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    pub name: String,
    /// What queries are multiplied with.
    pub scale: f64,
    pub dropout: f64,
    pub use_causal_mask: bool,
    pub sliding_window: Option<usize>,
    pub return_attention_scores: bool,
    pub softmax: MaskedSoftmax,
    /// Whether a mask by hand that nothing joins hides what is not above one half, rather than 0 alone.
    pub above_half: bool,
    /// Whether the last input is a mask.
    pub attention_mask: bool,
    pub unmasked: Vec<usize>,
}

/// The inputs of a call by their roles.
struct Inputs<'a> {
    pub query: Strand,
    pub value: Strand,
    pub key: Strand,
    pub masks: HeadMasks<'a>,
    /// Holds the mask by hand.
    pub attention: Option<Tensor>,
}

impl Heads {
    /// A call in a model: `call` takes query, value and key with their masks, and gives the output and the weights, which
    /// are an output too where they are asked for.
    pub fn run(
        &self,
        inputs: &[Flow],
        call: impl FnOnce([&Strand; 3], HeadMasks<'_>) -> Result<(Strand, Option<Tensor>)>,
    ) -> Result<Vec<Flow>> {
        let inputs = self.inputs(inputs)?;
        let masks = HeadMasks { attention: inputs.attention.as_ref(), ..inputs.masks };
        let (ys, weights) = call([&inputs.query, &inputs.value, &inputs.key], masks)?;
        let weights = weights.filter(|_| self.return_attention_scores);
        Ok(std::iter::once(ys.into()).chain(weights.map(Flow::from)).collect())
    }

    /// The inputs of a call in a model.
    fn inputs<'a>(&self, inputs: &'a [Flow]) -> Result<Inputs<'a>> {
        let (given, last) = match inputs.split_last() {
            Some((last, given)) if self.attention_mask => (given, Some(last)),
            _ => (inputs, None),
        };
        let values = given.iter().map(Flow::strand).collect::<Result<Vec<_>>>()?;
        let (query, value, key) = match values.as_slice() {
            [query, value] => (query, value, value),
            [query, value, key] => (query, value, key),
            _ => bail!("takes a query, a value and perhaps a key, given {} inputs", values.len()),
        };
        let mask = |index| seen_mask(given, index, &self.unmasked);
        let masks = HeadMasks { query: mask(0), value: mask(1), key: mask(2), attention: None };
        let attention = last.map(|mask| mask.values.tensor()).transpose()?;
        Ok(Inputs { query: query.clone(), value: value.clone(), key: key.clone(), masks, attention })
    }

    /// `query` (batch, steps, heads, dim), `key` (batch, places, heads, dim) and `value` (batch, places, heads, features);
    /// in place of the one axis of steps or places there may be several, of which `axes` are attended to and the others
    /// are like the batch. Gives (batch, steps, heads, features), and the weights (batch, heads, steps, places), undropped,
    /// at least where they are wanted.
    pub fn attend(
        &self,
        inputs: [&Strand; 3],
        axes: &[usize],
        masks: HeadMasks<'_>,
        mode: Mode,
        wants_weights: bool,
    ) -> Result<(Strand, Option<Tensor>)> {
        let [query, key, value] = inputs.map(Strand::tensor);
        let rank = query.rank();
        if rank < 4 || key.rank() != rank || value.rank() != rank {
            bail!("its query, value and key have {} axes and others", rank.saturating_sub(1))
        }
        let batch: Vec<usize> = (0..rank - 1).filter(|axis| !axes.contains(axis)).collect();
        let order = [batch.as_slice(), axes, &[rank - 1]].concat();
        let sizes =
            |xs: &Tensor, axes: &[usize]| axes.iter().map(|&axis| xs.dims()[axis]).collect::<Vec<_>>();
        let (alike, steps, places) = (sizes(query, &batch), sizes(query, axes), sizes(key, axes));
        if sizes(key, &batch) != alike || sizes(value, &batch) != alike || sizes(value, axes) != places {
            let shapes = [query.dims(), value.dims(), key.dims()];
            bail!("its projected query, value and key {shapes:?} do not fit each other")
        }
        let [groups, all_steps, all_places] =
            [&alike, &steps, &places].map(|axes| axes.iter().product::<usize>());
        let flat = |xs: &Tensor, steps: usize| {
            let dim = xs.dim(D::Minus1)?;
            xs.permute(order.as_slice())?.contiguous()?.reshape((groups, steps, dim))
        };
        let visible = self.visible([query, value], axes, masks, alike.len() + 2 * axes.len())?;
        let is_explicit = self.dropout > 0.0 || self.return_attention_scores || rank > 4;
        // The op has the scores of a head at a time.
        check_numbers(&[all_steps, all_places])?;
        if !wants_weights
            && !self.return_attention_scores
            && rank == 4
            && axes == [1]
            && let Some(means) = self.fused(inputs, visible.as_ref(), is_explicit, mode)?
        {
            return Ok((means, None));
        }
        check_numbers(&[groups, all_steps, all_places])?;
        let query_rows = (flat(query, all_steps)? * self.scale)?;
        let key_columns = flat(key, all_places)?.transpose(1, 2)?.contiguous()?;
        let full = [alike.as_slice(), &steps, &places].concat();
        let scores = query_rows.matmul(&key_columns)?.reshape(full.as_slice())?;
        let weights = self.weights(scores, visible, axes.len(), is_explicit)?;
        let dropped = drop(&weights, self.dropout, &self.name, mode)?;
        let dropped = dropped.reshape((groups, all_steps, all_places))?;
        let means = dropped.matmul(&flat(value, all_places)?)?;
        let features = value.dim(D::Minus1)?;
        let means = means.reshape([alike.as_slice(), &steps, &[features]].concat())?;
        let mut back = vec![0; rank];
        for (position, &axis) in order.iter().enumerate() {
            back[axis] = position;
        }
        Ok((means.permute(back.as_slice())?.contiguous()?.into(), Some(weights)))
    }

    /// The means in one op, where it does: `query` (batch, steps, heads, dim), `key` and `value` likewise.
    fn fused(
        &self,
        inputs: [&Strand; 3],
        visible: Option<&Visible>,
        is_explicit: bool,
        mode: Mode,
    ) -> Result<Option<Strand>> {
        let [query, key, value] = inputs.map(|input| input.tensor().dims());
        let (&[batch, steps, heads, dim], &[_, places, keys, key_dim], &[_, _, values, features]) =
            (query, key, value)
        else {
            return Ok(None);
        };
        let fit = (heads, heads, dim) == (keys, values, key_dim);
        if !fit || !inputs.iter().all(|input| input.fuses()) {
            return Ok(None);
        }
        let hidden = match is_explicit && self.softmax == MaskedSoftmax::Keras3 {
            true => Hidden::Nothing,
            false => Hidden::Replaced,
        };
        let visible = match visible {
            None => None,
            Some(Visible::Places(mask))
                if self.softmax != MaskedSoftmax::Keras2
                    && broadcasts(mask, [batch, heads, steps, places]) =>
            {
                Some(fused::visible(mask, places, hidden)?)
            }
            Some(Visible::Places(_) | Visible::Degrees(_)) => return Ok(None),
        };
        let of = Attention {
            batch,
            heads,
            steps,
            places,
            dim,
            features,
            scale: self.scale as f32,
            visible,
            factors: factors(self.dropout, &self.name, mode, batch * heads * steps * places),
            there: None,
        };
        fused::attend(of, inputs, vec![batch, steps, heads, features]).map(Some)
    }

    /// The softmax of scores over their last axes.
    fn weights(
        &self,
        scores: Tensor,
        visible: Option<Visible>,
        axes: usize,
        is_explicit: bool,
    ) -> Result<Tensor> {
        let shape = scores.dims().to_vec();
        let rows =
            [shape.get(..shape.len() - axes).unwrap_or_default(), &[shape.iter().rev().take(axes).product()]];
        let rows = rows.concat();
        let all = |scores: &Tensor| {
            softmax(&scores.reshape(rows.as_slice())?, D::Minus1)?.reshape(shape.as_slice())
        };
        match visible {
            None => all(&scores),
            Some(Visible::Degrees(degrees)) => all(&scores.broadcast_add(&hidden(&degrees)?)?),
            Some(Visible::Places(places)) if self.softmax == MaskedSoftmax::Keras2 => {
                all(&scores.broadcast_add(&hidden(&places.to_dtype(scores.dtype())?)?)?)
            }
            Some(Visible::Places(places)) => {
                let places = places.broadcast_as(shape.as_slice())?.contiguous()?;
                let low = (scores.zeros_like()? - 1e9)?;
                let weights = all(&places.where_cond(&scores, &low)?)?;
                match self.softmax == MaskedSoftmax::Keras3 && is_explicit {
                    true => places.where_cond(&weights, &weights.zeros_like()?),
                    false => Ok(weights),
                }
            }
        }
    }

    /// What each step may look at, with as many axes as the scores have.
    fn visible(
        &self,
        [query, value]: [&Tensor; 2],
        axes: &[usize],
        masks: HeadMasks<'_>,
        rank: usize,
    ) -> Result<Option<Visible>> {
        let HeadMasks { query: steps, value: places, key: keys, attention } = masks;
        if query.rank() > 4 && [steps, places, keys].iter().any(Option::is_some) {
            bail!("its inputs of {} axes come with masks, which are for three axes", query.rank() - 1)
        }
        let column = |mask: &Tensor| mask.ne(0u8)?.unsqueeze(2);
        let row = |mask: &Tensor| mask.ne(0u8)?.unsqueeze(1);
        let mut auto = steps.map(column).transpose()?;
        auto = both(auto, places.map(row).transpose()?)?;
        auto = both(auto, keys.map(row).transpose()?)?;
        let (causal, window) = (self.use_causal_mask, self.sliding_window);
        auto = both(auto, band(query.dim(1)?, value.dim(1)?, causal, window, query.device())?)?;
        let widen = |mut mask: Tensor| {
            let Some(batch) = mask.rank().checked_sub(2 * axes.len()) else {
                bail!("its mask {:?} has too few axes for scores of {rank}", mask.dims())
            };
            while mask.rank() < rank {
                mask = mask.unsqueeze(batch)?;
            }
            Ok(mask)
        };
        let Some(attention) = attention else {
            return auto.map(widen).transpose().map(|auto| auto.map(Visible::Places));
        };
        let bare = auto.is_none();
        let visible = match self.softmax {
            MaskedSoftmax::Keras2 if bare => Visible::Degrees(widen(attention.to_dtype(query.dtype())?)?),
            MaskedSoftmax::Robust if bare => {
                Visible::Places(widen(attention.to_dtype(DType::F32)?.gt(0.5f32)?)?)
            }
            MaskedSoftmax::Keras3 if bare && self.above_half => {
                Visible::Places(widen(attention.to_dtype(DType::F32)?.gt(0.5f32)?)?)
            }
            _ => {
                let both = both(auto, Some(not_equal(attention, 0.0, false)?))?;
                Visible::Places(widen(match both {
                    Some(both) => both,
                    None => bail!("its mask is missing"),
                })?)
            }
        };
        Ok(Some(visible))
    }
}

/// What Keras 2 adds to scores: nothing where a mask is 1, and -10⁹ where it is 0.
fn hidden(mask: &Tensor) -> Result<Tensor> {
    mask.affine(-1.0, 1.0)? * -1e9
}

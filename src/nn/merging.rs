//! Layers that join several tensors: `Add`, `Subtract`, `Multiply`, `Average`, `Maximum`, `Minimum`, `Concatenate`,
//! `Dot` (`keras/src/layers/merging/`).

use super::sizes::{Axes, Dims, axis_index, show};
use candle_core::{D, Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// How a layer of several inputs joins their masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskJoin {
    /// As Keras does from 3.4 on: a step counts if it does in any input, and there is no mask where an input has none.
    /// What is masked in one input does not count in a product, a maximum or a minimum.
    #[default]
    Any,
    /// As Keras 1 and 2 did: a step counts if it does in every input that has a mask.
    All,
    /// As Keras 3.0 to 3.3 did: there is no mask.
    None,
}

impl MaskJoin {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The mask of what inputs with these masks are joined to.
    pub(crate) fn mask(self, masks: &[Option<Tensor>]) -> Result<Option<Tensor>> {
        if self == Self::None || self == Self::Any && masks.iter().any(Option::is_none) {
            return Ok(None);
        }
        let mut masks = masks.iter().flatten();
        let Some(first) = masks.next().cloned() else { return Ok(None) };
        let joined = masks.try_fold(first, |joined, mask| match self {
            Self::Any => joined.broadcast_maximum(mask),
            Self::All | Self::None => joined.broadcast_minimum(mask),
        });
        joined.map(Some)
    }
}

/// What the layers that join element by element have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MergeConfig {
    /// How masks are joined: no argument of Keras's, but a matter of its version.
    #[serde(skip_serializing_if = "MaskJoin::is_default")]
    pub mask_join: MaskJoin,
}

/// How to join element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    Add,
    Subtract,
    Multiply,
    Average,
    Maximum,
    Minimum,
}

impl Merge {
    pub fn output_shape(self, inputs: &[Dims]) -> std::result::Result<Dims, String> {
        if inputs.len() < 2 && self != Self::Add || inputs.is_empty() {
            return Err(format!("needs at least 2 inputs, given {}", inputs.len()));
        }
        if self == Self::Subtract && inputs.len() != 2 {
            return Err(format!("needs exactly 2 inputs, given {}", inputs.len()));
        }
        let rank = inputs.iter().map(Vec::len).max().unwrap_or_default();
        let mut merged = vec![Some(1); rank];
        for input in inputs {
            let [batch, rest @ ..] = input.as_slice() else { return Err("an input without axes".into()) };
            let missing = rank - input.len();
            let widened = std::iter::once(*batch)
                .chain(std::iter::repeat_n(Some(1), missing))
                .chain(rest.iter().copied());
            for (merged, axis) in merged.iter_mut().zip(widened) {
                *merged = match (*merged, axis) {
                    (Some(1), other) | (other, Some(1)) => other,
                    (None, _) | (_, None) => None,
                    (Some(a), Some(b)) if a == b => Some(a),
                    _ => {
                        let shapes: Vec<String> = inputs.iter().map(|input| show(input)).collect();
                        return Err(format!("its inputs {} do not fit each other", shapes.join(" and ")));
                    }
                };
            }
        }
        Ok(merged)
    }

    pub fn forward(self, inputs: &[Tensor]) -> Result<Tensor> {
        let rank = inputs.iter().map(Tensor::rank).max().unwrap_or_default();
        let mut widened = inputs.iter().map(|xs| -> Result<Tensor> {
            let mut xs = xs.clone();
            while xs.rank() < rank {
                xs = xs.unsqueeze(1)?;
            }
            Ok(xs)
        });
        let Some(first) = widened.next() else { bail!("a merging layer needs inputs") };
        let mut merged = first?;
        for xs in widened {
            let xs = xs?;
            merged = match self {
                Self::Add | Self::Average => merged.broadcast_add(&xs)?,
                Self::Subtract => merged.broadcast_sub(&xs)?,
                Self::Multiply => merged.broadcast_mul(&xs)?,
                // The first has the gradient where both are equal.
                Self::Maximum => choose(&merged, &xs, true)?,
                Self::Minimum => choose(&merged, &xs, false)?,
            };
        }
        if self == Self::Average { merged / inputs.len() as f64 } else { Ok(merged) }
    }

    /// The same where inputs have masks (`keras/src/layers/merging/base_merge.py`, `multiply.py`): in a product masked
    /// steps are 1, and 0 where they are masked in all inputs; of a maximum or minimum they are left out.
    ///
    /// # Errors
    /// If the inputs do not fit each other.
    pub fn forward_masked(
        self,
        inputs: &[Tensor],
        masks: &[Option<Tensor>],
        join: MaskJoin,
    ) -> Result<Tensor> {
        let heeds = matches!(self, Self::Multiply | Self::Maximum | Self::Minimum) && join == MaskJoin::Any;
        if !heeds || masks.iter().all(Option::is_none) {
            return self.forward(inputs);
        }
        let shape = self.forward(inputs)?.shape().clone();
        let wide = |tensor: &Tensor, at: usize| -> Result<Tensor> {
            let mut tensor = tensor.clone();
            while tensor.rank() < shape.rank() {
                let at = at.min(tensor.rank());
                tensor = tensor.unsqueeze(at)?;
            }
            tensor.broadcast_as(&shape)?.contiguous()
        };
        let inputs = inputs.iter().map(|xs| wide(xs, 1)).collect::<Result<Vec<_>>>()?;
        let last = shape.rank();
        let masks = masks
            .iter()
            .map(|mask| mask.as_ref().map(|mask| wide(mask, last)).transpose())
            .collect::<Result<Vec<_>>>()?;
        if self == Self::Multiply {
            let ones = |(xs, mask): (&Tensor, &Option<Tensor>)| match mask {
                Some(mask) => mask.where_cond(xs, &xs.ones_like()?),
                None => Ok(xs.clone()),
            };
            let product = self.forward(&inputs.iter().zip(&masks).map(ones).collect::<Result<Vec<_>>>()?)?;
            return match join.mask(&masks)? {
                Some(mask) => mask.where_cond(&product, &product.zeros_like()?),
                None => Ok(product),
            };
        }
        let mut pairs = inputs.into_iter().zip(masks);
        let Some((mut merged, mut merged_mask)) = pairs.next() else { bail!("a merging layer needs inputs") };
        for (mut xs, mask) in pairs {
            if let Some(mask) = &mask {
                xs = mask.where_cond(&xs, &merged)?;
            }
            if let Some(mask) = &merged_mask {
                merged = mask.where_cond(&merged, &xs)?;
            }
            merged_mask = join.mask(&[merged_mask, mask])?;
            merged = choose(&merged, &xs, self == Self::Maximum)?;
        }
        Ok(merged)
    }
}

/// The larger, or the smaller, of each pair; NaN where one is.
fn choose(a: &Tensor, b: &Tensor, larger: bool) -> Result<Tensor> {
    let shape = a.shape().broadcast_shape_binary_op(b.shape(), "choose")?;
    let (a, b) = (a.broadcast_as(&shape)?.contiguous()?, b.broadcast_as(&shape)?.contiguous()?);
    let wins = if larger { a.ge(&b)? } else { a.le(&b)? };
    wins.maximum(&a.ne(&a)?)?.where_cond(&a, &b)
}

/// Keras's `Concatenate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConcatenateConfig {
    /// The axis along which the inputs follow each other.
    pub axis: i64,
    /// How masks are joined: no argument of Keras's, but a matter of its version.
    #[serde(skip_serializing_if = "MaskJoin::is_default")]
    pub mask_join: MaskJoin,
}

impl Default for ConcatenateConfig {
    fn default() -> Self {
        Self { axis: -1, mask_join: MaskJoin::Any }
    }
}

impl ConcatenateConfig {
    pub(crate) fn output_shape(&self, inputs: &[Dims]) -> std::result::Result<Dims, String> {
        let Some(first) = inputs.first() else { return Err("needs inputs".into()) };
        let axis = axis_index(self.axis, first.len())?;
        let mut joined = first.clone();
        let mut length = Some(0usize);
        for input in inputs {
            let fits = input.len() == first.len()
                && input
                    .iter()
                    .zip(first)
                    .enumerate()
                    .all(|(other, (a, b))| other == axis || a.is_none() || b.is_none() || a == b);
            if !fits {
                return Err(format!("its inputs {} and {} do not fit each other", show(first), show(input)));
            }
            length = length.zip(input[axis]).and_then(|(a, b)| a.checked_add(b));
            for (joined, size) in joined.iter_mut().zip(input) {
                *joined = joined.or(*size);
            }
        }
        joined[axis] = length;
        Ok(joined)
    }

    /// # Errors
    /// If the inputs do not fit each other.
    pub(crate) fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        Tensor::cat(inputs, self.index(inputs)?)
    }

    fn index(&self, inputs: &[Tensor]) -> Result<usize> {
        match axis_index(self.axis, inputs.first().map_or(0, Tensor::rank)) {
            Ok(axis) => Ok(axis),
            Err(what) => bail!("Concatenate: {what}"),
        }
    }

    /// Keras's rule: masks as wide as the inputs (ones where there is none), joined as they are, and a place counts if
    /// any of its last axis does, or all.
    pub(crate) fn mask(&self, inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Option<Tensor>> {
        if self.mask_join == MaskJoin::None || masks.iter().all(Option::is_none) {
            return Ok(None);
        }
        let widen = |(xs, mask): (&Tensor, &Option<Tensor>)| -> Result<Tensor> {
            match mask {
                None => Tensor::ones(xs.shape(), candle_core::DType::U8, xs.device()),
                Some(mask) if mask.rank() < xs.rank() => {
                    mask.unsqueeze(D::Minus1)?.broadcast_as(xs.shape())?.contiguous()
                }
                Some(mask) => Ok(mask.clone()),
            }
        };
        let masks = inputs.iter().zip(masks).map(widen).collect::<Result<Vec<_>>>()?;
        let masks = Tensor::cat(&masks, self.index(inputs)?)?;
        match self.mask_join {
            MaskJoin::Any => masks.max(D::Minus1),
            MaskJoin::All | MaskJoin::None => masks.min(D::Minus1),
        }
        .map(Some)
    }
}

/// Keras's `Dot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DotConfig {
    /// The axis of each input over which products are summed, or one axis for both.
    pub axes: Axes,
    /// Scale both to length 1 along it first.
    #[serde(default)]
    pub normalize: bool,
}

impl DotConfig {
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        match &self.axes {
            Axes::Many(axes) if axes.len() != 2 => Err(format!("axes {axes:?} must be one axis or two")),
            _ => Ok(()),
        }
    }

    fn indices(&self, left: usize, right: usize) -> std::result::Result<(usize, usize), String> {
        let (a, b) = match &self.axes {
            Axes::One(axis) => (*axis, *axis),
            Axes::Many(axes) => match axes.as_slice() {
                [a, b] => (*a, *b),
                _ => return Err(format!("axes {axes:?} must be one axis or two")),
            },
        };
        match (axis_index(a, left)?, axis_index(b, right)?) {
            (0, _) | (_, 0) => Err("axis 0 is the batch".into()),
            axes => Ok(axes),
        }
    }

    pub(crate) fn output_shape(&self, inputs: &[Dims]) -> std::result::Result<Dims, String> {
        let [left, right] = inputs else {
            return Err(format!("needs exactly 2 inputs, given {}", inputs.len()));
        };
        let (a, b) = self.indices(left.len(), right.len())?;
        if left[a].is_some() && right[b].is_some() && left[a] != right[b] {
            return Err(format!(
                "its inputs {} and {} differ along axes {a} and {b}",
                show(left),
                show(right)
            ));
        }
        let rest = |dims: &[Option<usize>], axis: usize| -> Dims {
            dims.iter().enumerate().filter(|&(i, _)| i != axis && i != 0).map(|(_, &size)| size).collect()
        };
        let mut shape = vec![left[0].or(right[0])];
        shape.extend(rest(left, a));
        shape.extend(rest(right, b));
        if shape.len() == 1 {
            shape.push(Some(1));
        }
        Ok(shape)
    }

    pub(crate) fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let [left, right] = inputs else { bail!("Dot needs exactly 2 inputs, given {}", inputs.len()) };
        let (a, b) = match self.indices(left.rank(), right.rank()) {
            Ok(axes) => axes,
            Err(what) => bail!("Dot: {what}"),
        };
        let (left, right) = if self.normalize {
            (unit_length(left, a)?, unit_length(right, b)?)
        } else {
            (left.clone(), right.clone())
        };
        let (batch, length) = (left.dim(0)?, left.dim(a)?);
        if right.dim(0)? != batch || right.dim(b)? != length {
            bail!("Dot: {:?} and {:?} differ along axes {a} and {b}", left.dims(), right.dims())
        }
        // Left: the axis last. Right: the axis first, after the batch.
        let others = |rank: usize, axis: usize| (1..rank).filter(move |&other| other != axis);
        let order: Vec<usize> = std::iter::once(0).chain(others(left.rank(), a)).chain([a]).collect();
        let left = left.permute(order)?.contiguous()?;
        let order: Vec<usize> = [0, b].into_iter().chain(others(right.rank(), b)).collect();
        let right = right.permute(order)?.contiguous()?;
        let rows = left.elem_count() / (batch * length).max(1);
        let columns = right.elem_count() / (batch * length).max(1);
        let mut shape = left.dims()[..left.rank() - 1].to_vec();
        shape.extend(&right.dims()[2..]);
        if shape.len() == 1 {
            shape.push(1);
        }
        let left = left.reshape((batch, rows, length))?;
        left.matmul(&right.reshape((batch, length, columns))?)?.reshape(shape)
    }
}

/// x / max(‖x‖, 1e-7) along an axis (`keras/src/ops/nn.py`, `_normalize`).
fn unit_length(xs: &Tensor, axis: usize) -> Result<Tensor> {
    let squares = xs.sqr()?.sum_keepdim(axis)?;
    let least = (squares.ones_like()? * 1e-14)?;
    let squares = squares.gt(&least)?.where_cond(&squares, &least)?;
    xs.broadcast_mul(&squares.sqrt()?.recip()?)
}

//! What becomes of masks, as rules: Keras's `compute_mask`, layer by layer.

use super::cpu::{suits_kernels, with_floats};
use super::flow::Flow;
use super::shape::axis_index;
use candle_core::{D, DType, Result, Tensor, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Steps that one thread looks at, at least.
const ROWS: usize = 1024;

/// What a layer makes of the masks of its inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaskRule {
    /// Every output has the mask of the first input.
    Passes,
    /// No output has a mask.
    Drops,
    /// So many of the outputs have the mask of the first input, the others (final states) none.
    PassesTo(usize),
    /// A mask begins: a step counts where the input is not this value; with `features`, where any of its features is
    /// not.
    Begins {
        /// The value to be skipped.
        value: f64,
        /// Whether the last axis of the input is of features.
        features: bool,
    },
    /// The masks of the inputs are joined.
    Joins(MaskJoin),
    /// The masks of the inputs follow each other along the axis of their values.
    Concatenates {
        /// The axis.
        axis: i64,
        /// How a step of several masks counts.
        join: MaskJoin,
    },
    /// The layers within decide.
    Inside,
}

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

impl MaskRule {
    /// The outputs with their masks, given the inputs of the call.
    ///
    /// # Errors
    /// If masks do not fit each other.
    pub fn apply(self, inputs: &[Flow], mut outputs: Vec<Flow>) -> Result<Vec<Flow>> {
        let passed_to = match self {
            Self::Inside => return Ok(outputs),
            Self::Drops => 0,
            Self::Passes => outputs.len(),
            Self::PassesTo(count) => count,
            Self::Begins { .. } | Self::Joins(_) | Self::Concatenates { .. } => {
                let mask = self.begun_or_joined(inputs)?;
                outputs.iter_mut().for_each(|output| output.mask = mask.clone());
                return Ok(outputs);
            }
        };
        let mask = inputs.first().and_then(|input| input.mask.as_ref());
        for (index, output) in outputs.iter_mut().enumerate() {
            output.mask = mask.filter(|_| index < passed_to).cloned();
        }
        Ok(outputs)
    }

    fn begun_or_joined(self, inputs: &[Flow]) -> Result<Option<Tensor>> {
        let masks = || inputs.iter().map(|input| input.mask.clone()).collect::<Vec<_>>();
        match self {
            Self::Begins { value, features } => {
                let Some(input) = inputs.first() else { return Ok(None) };
                not_equal(&input.values.tensor()?, value, features).map(Some)
            }
            Self::Joins(join) => join.mask(&masks()),
            Self::Concatenates { axis, join } => join.concatenated(axis, inputs),
            Self::Passes | Self::Drops | Self::PassesTo(_) | Self::Inside => Ok(None),
        }
    }
}

/// 1 where `xs` is not `value`; with `features` where any along its last axis is not, with one axis less. u8.
///
/// # Errors
/// Candle's own only.
pub fn not_equal(xs: &Tensor, value: f64, features: bool) -> Result<Tensor> {
    if let ([leading @ .., width], true, true) = (xs.dims(), features, suits_kernels(xs))
        && *width > 0
    {
        let differs = with_floats([xs], |[xs]| {
            let differs = |xs: &[f32]| u8::from(xs.iter().any(|&x| x != value as f32));
            xs.par_chunks_exact(*width).with_min_len(ROWS).map(differs).collect::<Vec<u8>>()
        })?;
        return Tensor::from_vec(differs, leading, xs.device());
    }
    // Small whole numbers are the same in every type.
    let is_small = value.fract() == 0.0 && (0.0..=127.0).contains(&value);
    let differs = match xs.dtype() {
        DType::F64 => xs.ne(value)?,
        dtype if dtype.is_int() && is_small => xs.ne(value)?,
        dtype if dtype.is_int() => xs.to_dtype(DType::F32)?.ne(value as f32)?,
        _ => xs.ne(value as f32)?,
    };
    if features { differs.max(D::Minus1) } else { Ok(differs) }
}

impl MaskJoin {
    /// Whether it is today's Keras's.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
            Self::None => "none",
        }
    }

    /// The mask of what inputs with these masks are joined to.
    ///
    /// # Errors
    /// If the masks do not fit each other.
    pub fn mask(self, masks: &[Option<Tensor>]) -> Result<Option<Tensor>> {
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

    /// Keras's rule for `Concatenate`: masks as wide as the inputs (ones where there is none), joined as they are, and a
    /// place counts if any of its last axis does, or all.
    fn concatenated(self, axis: i64, inputs: &[Flow]) -> Result<Option<Tensor>> {
        if self == Self::None || inputs.iter().all(|input| input.mask.is_none()) {
            return Ok(None);
        }
        let mut wide = Vec::with_capacity(inputs.len());
        for input in inputs {
            let xs = input.values.tensor()?;
            wide.push(match &input.mask {
                None => Tensor::ones(xs.shape(), DType::U8, xs.device())?,
                Some(mask) if mask.rank() < xs.rank() => {
                    mask.unsqueeze(D::Minus1)?.broadcast_as(xs.shape())?.contiguous()?
                }
                Some(mask) => mask.clone(),
            });
        }
        let axis = match axis_index(axis, wide.first().map_or(0, Tensor::rank)) {
            Ok(axis) => axis,
            Err(what) => bail!("Concatenate: {what}"),
        };
        let masks = Tensor::cat(&wide, axis)?;
        match self {
            Self::Any => masks.max(D::Minus1),
            Self::All | Self::None => masks.min(D::Minus1),
        }
        .map(Some)
    }
}

/// 0 where a place of `xs` does not count, of a mask with an axis fewer; `whose` it is.
pub fn place_bytes(whose: &str, xs: &Tensor, mask: &Tensor) -> Result<Vec<u8>> {
    let places = &xs.dims()[..xs.rank().saturating_sub(1)];
    if mask.dims() != places {
        bail!("{whose}: the mask {:?} does not fit the input's {places:?}", mask.dims())
    }
    mask.ne(0u8)?.flatten_all()?.to_vec1::<u8>()
}

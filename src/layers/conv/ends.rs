//! The two ends of each axis: what is added there or cut off.

use crate::layers::shape::{Checked, Shape, axes_needed, show};
use candle_core::{Result, Tensor, bail};
use candle_recurrent_kernel::Margins;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What to add or to cut before and after, along each axis.
pub type Ends = Vec<[usize; 2]>;

/// Ends as Keras takes them: one number for all, a number or a pair for each axis; of a single axis the pair alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    All(usize),
    Each(Vec<End>),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum End {
    Both(usize),
    Pair([usize; 2]),
}

impl End {
    fn pair(self) -> [usize; 2] {
        match self {
            Self::Both(end) => [end, end],
            Self::Pair(pair) => pair,
        }
    }
}

/// For serde's `deserialize_with`.
pub fn read_ends<'de, const N: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Ends, D::Error> {
    let expected = match N {
        1 => "expected a number, or [before, after]".to_string(),
        _ => format!("expected a number, or a list of {N} numbers or pairs [before, after]"),
    };
    let fail = || serde::de::Error::custom(&expected);
    match Given::deserialize(deserializer).map_err(|_: D::Error| fail())? {
        Given::All(end) => Ok(vec![[end, end]; N]),
        Given::Each(ends) => match ends.as_slice() {
            [End::Both(before), End::Both(after)] if N == 1 => Ok(vec![[*before, *after]]),
            ends if ends.len() == N => Ok(ends.iter().map(|end| end.pair()).collect()),
            _ => Err(fail()),
        },
    }
}

/// For serde's `serialize_with`: as Keras writes them.
pub fn write_ends<S: Serializer>(ends: &Ends, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match ends.as_slice() {
        [pair] => pair.serialize(serializer),
        ends => ends.serialize(serializer),
    }
}

/// The most steps to add or cut.
const MAX: usize = 1 << 16;

/// Says what is wrong with them, if anything is.
pub fn check_ends<const N: usize>(name: &str, ends: &Ends) -> Checked<()> {
    if ends.len() != N || ends.iter().flatten().any(|&end| end > MAX) {
        return Err(format!("{name} needs [before, after] for each of {N} axes, at most {MAX} each"));
    }
    Ok(())
}

/// The shape with other lengths along its spatial axes.
pub fn reshaped<const N: usize>(
    input: &[Option<usize>],
    change: impl Fn(usize, usize) -> Option<usize>,
) -> Checked<Shape> {
    if input.len() != N + 2 {
        return Err(axes_needed(N + 2, input));
    }
    let mut shape = input.to_vec();
    for (axis, length) in shape.iter_mut().skip(1).take(N).enumerate() {
        if let Some(known) = *length {
            let changed = change(axis, known).filter(|&changed| changed > 0);
            *length = Some(changed.ok_or_else(|| format!("nothing is left of its input {}", show(input)))?);
        }
    }
    Ok(shape)
}

/// The box of `inner` places within one of `outer` places, of shapes (batch, …, channels), where the kernels can take it:
/// `before` says how many steps come before it.
pub fn margins<const N: usize>(inner: &[usize], outer: &[usize], ends: &Ends) -> Option<Margins> {
    let mut margins = Margins { inner: [1; 3], outer: [1; 3], before: [0; 3], channels: *inner.last()? };
    for (axis, [before, _]) in ends.iter().enumerate() {
        let at = (3 + axis).checked_sub(N)?;
        (margins.inner[at], margins.outer[at]) = (*inner.get(axis + 1)?, *outer.get(axis + 1)?);
        margins.before[at] = *before;
    }
    Some(margins)
}

/// Refuses an input of another number of axes.
pub fn check_rank<const N: usize>(xs: &Tensor) -> Result<()> {
    if xs.rank() != N + 2 {
        bail!("a layer over {N} axes needs {} axes, given {:?}", N + 2, xs.dims())
    }
    Ok(())
}

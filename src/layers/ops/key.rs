//! What stands between the brackets of `x[:, -1, ::2]`: numbers, slices, `...` and `None`.

use super::row::{not_along_batch, said, shape_of};
use crate::layers::shape::{Checked, Shape, show};
use candle_core::{Result, Tensor};
use std::fmt::{self, Display};
use std::str::FromStr;

/// What is taken along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// One place, from the end where it is below 0; the axis goes.
    At(i64),
    /// Places from `start` on, before `stop`, `step` apart.
    Slice {
        /// The first; none for the end that the step leaves.
        start: Option<i64>,
        /// Where it ends, itself not among them.
        stop: Option<i64>,
        /// The distance; below 0 it goes backwards.
        step: Option<i64>,
    },
    /// All axes that are not spoken of.
    Ellipsis,
    /// A new axis of 1.
    NewAxis,
}

/// The indices of a tensor's axes, as Python writes them: `[:, -1, ::2]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(pub Vec<Index>);

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Checked<Self> {
        let inner = text.trim();
        let inner = inner.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let inner = inner.ok_or_else(|| format!("`{text}` is no key, expected one such as [:, -1]"))?;
        let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
        let mut indices = vec![];
        for (place, part) in parts.iter().enumerate() {
            if part.is_empty() && place + 1 == parts.len() && place > 0 {
                continue;
            }
            indices.push(Index::read(part).ok_or_else(|| format!("`{part}` in `{text}` is no index"))?);
        }
        if indices.iter().filter(|index| **index == Index::Ellipsis).count() > 1 {
            return Err(format!("`{text}` has more than one `...`"));
        }
        Ok(Self(indices))
    }
}

impl Index {
    fn read(text: &str) -> Option<Self> {
        match text {
            "..." | "Ellipsis" => return Some(Self::Ellipsis),
            "None" => return Some(Self::NewAxis),
            _ => {}
        }
        if let Ok(at) = text.parse() {
            return Some(Self::At(at));
        }
        let mut parts = text.split(':').map(str::trim);
        let mut part = || match parts.next() {
            None | Some("") => Some(None),
            Some(number) => number.parse().ok().map(Some),
        };
        let slice = Self::Slice { start: part()?, stop: part()?, step: part()? };
        (text.contains(':') && parts.next().is_none()).then_some(slice)
    }
}

impl Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: &Option<i64>| number.map_or_else(String::new, |number| number.to_string());
        match self {
            Self::At(at) => write!(f, "{at}"),
            Self::Slice { start, stop, step } => {
                write!(f, "{}:{}", number(start), number(stop))?;
                step.map_or(Ok(()), |step| write!(f, ":{step}"))
            }
            Self::Ellipsis => f.write_str("..."),
            Self::NewAxis => f.write_str("None"),
        }
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indices: Vec<String> = self.0.iter().map(Index::to_string).collect();
        write!(f, "[{}]", indices.join(", "))
    }
}

/// The places of a slice along an axis of `size`: the first, their distance, their number.
fn places(start: Option<i64>, stop: Option<i64>, step: i64, size: usize) -> (i64, i64, usize) {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    // Python's rule: beyond the ends is at the ends.
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let bound = |at: i64| if at < 0 { at.saturating_add(size).max(low) } else { at.min(high) };
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    let (start, stop) = (start.map_or(first, bound), stop.map_or(last, bound));
    let distance = if step > 0 { stop - start } else { start - stop };
    let count = if distance <= 0 { 0 } else { (distance - 1) / step.saturating_abs() + 1 };
    (start, step, usize::try_from(count).unwrap_or_default())
}

impl Key {
    /// One index for each axis of a tensor of `rank` axes, new ones among them.
    fn spread(&self, rank: usize) -> Checked<Vec<Index>> {
        let spoken =
            self.0.iter().filter(|index| matches!(index, Index::At(_) | Index::Slice { .. })).count();
        let rest = rank
            .checked_sub(spoken)
            .ok_or_else(|| format!("{self} has more indices than the {rank} axes of its input"))?;
        let whole = std::iter::repeat_n(Index::Slice { start: None, stop: None, step: None }, rest);
        let at = self.0.iter().position(|index| *index == Index::Ellipsis).unwrap_or(self.0.len());
        let (before, after) = (self.0.iter().take(at), self.0.iter().skip(at + 1));
        Ok(before.copied().chain(whole).chain(after.copied()).collect())
    }

    /// The shape of what is taken. The batch is taken whole.
    pub fn output(&self, shape: &Shape) -> Checked<Shape> {
        let mut output = vec![];
        let mut axes = shape.iter().enumerate();
        for index in self.spread(shape.len())? {
            if index == Index::NewAxis {
                output.push(Some(1));
                continue;
            }
            let Some((axis, size)) = axes.next() else { break };
            match index {
                Index::Slice { start: None | Some(0), stop: None, step: None | Some(1) } => {
                    output.push(*size)
                }
                Index::At(at) => {
                    not_along_batch("GetItem", axis, shape)?;
                    let beyond = |size: &usize| {
                        usize::try_from(at.checked_add(if at < 0 { *size as i64 } else { 0 }).unwrap_or(-1))
                            .is_err()
                            || at >= *size as i64
                    };
                    if size.as_ref().is_some_and(beyond) {
                        return Err(format!("{self}: {at} is beyond axis {axis} of {}", show(shape)));
                    }
                }
                Index::Slice { start, stop, step } => {
                    not_along_batch("GetItem", axis, shape)?;
                    let step = step.unwrap_or(1);
                    if step == 0 {
                        return Err(format!("{self}: a step cannot be 0"));
                    }
                    let count = size.map(|size| places(start, stop, step, size).2);
                    if count == Some(0) {
                        return Err(format!("{self} takes nothing along axis {axis} of {}", show(shape)));
                    }
                    output.push(count);
                }
                Index::Ellipsis | Index::NewAxis => {}
            }
        }
        Ok(output)
    }

    /// What is taken of a tensor.
    ///
    /// # Errors
    /// If an index is beyond its axis.
    pub fn take(&self, xs: &Tensor) -> Result<Tensor> {
        // All axes are known here, so that all that is beyond them shows.
        said(self.output(&shape_of(xs)))?;
        let (mut ys, mut axis) = (xs.clone(), 0);
        for index in said(self.spread(xs.rank()))? {
            match index {
                Index::NewAxis => ys = ys.unsqueeze(axis)?,
                Index::At(at) => {
                    let size = ys.dim(axis)? as i64;
                    let at = if at < 0 { at + size } else { at };
                    ys = ys.narrow(axis, usize::try_from(at).unwrap_or_default(), 1)?.squeeze(axis)?;
                    continue;
                }
                Index::Slice { start, stop, step } => {
                    let size = ys.dim(axis)?;
                    let (start, step, count) = places(start, stop, step.unwrap_or(1), size);
                    ys = run_along(&ys, axis, start, step, count)?;
                }
                Index::Ellipsis => continue,
            }
            axis += 1;
        }
        ys.contiguous()
    }
}

/// `count` places from `start` on, `step` apart.
fn run_along(xs: &Tensor, axis: usize, start: i64, step: i64, count: usize) -> Result<Tensor> {
    let first = usize::try_from(start).unwrap_or_default();
    match step {
        1 if first == 0 && count == xs.dim(axis)? => Ok(xs.clone()),
        1 => xs.narrow(axis, first, count),
        step => {
            let places = (0..count as i64).map(|place| (start + place * step) as u32).collect::<Vec<_>>();
            xs.contiguous()?.index_select(&Tensor::new(places, xs.device())?, axis)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_written_as_python_writes_them() {
        for text in ["[:, -1, :]", "[..., 0]", "[:, None, ::-1, 1:3]", "[:, :-2:2]"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        assert_eq!("[:,-1,]".parse::<Key>().unwrap().to_string(), "[:, -1]");
        for text in ["", "[a]", "[..., ...]", "[1:2:3:4]", "[]", "[,]"] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }

    #[test]
    fn slices_end_where_python_ends_them() {
        let count = |start, stop, step, size| places(start, stop, step, size).2;
        assert_eq!(count(None, None, -1, 5), 5);
        assert_eq!(count(Some(-2), None, 1, 5), 2);
        assert_eq!(count(Some(-9), Some(9), 2, 5), 3);
        assert_eq!(count(Some(9), Some(-9), -2, 5), 3);
        assert_eq!(count(Some(3), Some(1), 1, 5), 0);
        assert_eq!(count(Some(i64::MIN), Some(i64::MAX), i64::MIN, 5), 0);
    }
}

//! Operations that put tensors together, take them apart, and repeat or shift what is in them
//! (`keras/src/ops/numpy.py`, `nn.py`).

use super::axes::MAX_OUTPUTS;
use super::elementwise::{in_type, typed};
use super::kinds::{Numbers, back, cast, check_dtype, floats, numbers, together};
use super::row::{
    Argument, Default, Given, Kind, NN, NUMPY, Place, Row, Run, argument, not_along_batch, one, said,
    shape_of,
};
use crate::layers::shape::{Checked, Shape, check_numbers, product, show};
use candle_core::{DType, Result, Tensor, bail};

const AXIS_0: &[Argument] = &[argument("axis", Kind::Whole, Default::Whole(0))];

pub const ROWS: &[Row] = &[
    Row::new(
        NUMPY,
        "Concatenate",
        AXIS_0,
        Place::By(concatenated),
        Run::List(|given, tensors| {
            let (tensors, kind) = together(&tensors.iter().collect::<Vec<_>>())?;
            let rank = tensors.first().map_or(0, Tensor::rank);
            back(Tensor::cat(&tensors, said(given.axis("axis", rank))?)?, kind)
        }),
    ),
    Row::new(
        NUMPY,
        "Stack",
        AXIS_0,
        Place::By(|given, shapes| {
            let first = one(shapes)?;
            let mut shape = first.clone();
            for other in shapes {
                shape = same(&shape, other)?;
            }
            let axis = given.axis("axis", first.len() + 1)?;
            shape.insert(axis, Some(shapes.len()));
            Ok(vec![shape])
        }),
        Run::List(|given, tensors| {
            let (tensors, kind) = together(&tensors.iter().collect::<Vec<_>>())?;
            let rank = tensors.first().map_or(0, Tensor::rank);
            back(Tensor::stack(&tensors, said(given.axis("axis", rank + 1))?)?, kind)
        }),
    ),
    Row::new(
        NUMPY,
        "Split",
        &[
            argument("indices_or_sections", Kind::Wholes, Default::Needed),
            argument("axis", Kind::Whole, Default::Whole(0)),
        ],
        Place::By(|given, shapes| {
            let shape = one(shapes)?;
            let axis = given.axis("axis", shape.len())?;
            not_along_batch("Split", axis, shape)?;
            let size = shape[axis].ok_or("the size of the axis that is split must be known")?;
            let parts = parts(given, size)?;
            let part = |(_, count): &(usize, usize)| {
                let mut shape = shape.clone();
                shape[axis] = Some(*count);
                shape
            };
            Ok(parts.iter().map(part).collect())
        }),
        Run::Apart(|given, xs| {
            let axis = said(given.axis("axis", xs.rank()))?;
            let parts = said(parts(given, xs.dim(axis)?))?;
            parts.into_iter().map(|(start, count)| xs.narrow(axis, start, count)?.contiguous()).collect()
        }),
    ),
    Row::new(
        NUMPY,
        "Flip",
        &[argument("axis", Kind::Wholes, Default::Null)],
        Place::By(|given, shapes| {
            let shape = one(shapes)?;
            for axis in given.axes("axis", shape.len())? {
                not_along_batch("Flip", axis, shape)?;
            }
            Ok(vec![shape.clone()])
        }),
        Run::One(|given, xs| {
            said(given.axes("axis", xs.rank()))?.into_iter().try_fold(xs.contiguous()?, |xs, axis| {
                let size = xs.dim(axis)?;
                select(&xs, axis, (0..size).rev())
            })
        }),
    ),
    Row::new(
        NUMPY,
        "Repeat",
        &[argument("repeats", Kind::Wholes, Default::Needed), argument("axis", Kind::Whole, Default::Null)],
        Place::By(|given, shapes| {
            let mut shape = one(shapes)?.clone();
            let axis = given.axis("axis", shape.len())?;
            not_along_batch("Repeat", axis, &shape)?;
            let repeats = repeats(given)?;
            shape[axis] = match (shape[axis], repeats.as_slice()) {
                (Some(size), [one]) => Some(size.checked_mul(*one).ok_or("is too large")?),
                (None, [_]) => None,
                (Some(size), many) if many.len() == size => {
                    Some(many.iter().try_fold(0usize, |sum, &n| sum.checked_add(n)).ok_or("is too large")?)
                }
                _ => return Err("repeats must be one number, or one for each place of its axis".into()),
            };
            Ok(vec![shape])
        }),
        Run::One(|given, xs| {
            let axis = said(given.axis("axis", xs.rank()))?;
            let repeats = said(repeats(given))?;
            let size = xs.dim(axis)?;
            let count =
                |place: usize| repeats.get(if repeats.len() == 1 { 0 } else { place }).copied().unwrap_or(1);
            let total = (0..size).try_fold(0usize, |sum, place| sum.checked_add(count(place)));
            held(xs, axis, total.unwrap_or(usize::MAX))?;
            select(xs, axis, (0..size).flat_map(|place| std::iter::repeat_n(place, count(place))))
        }),
    ),
    Row::new(
        NUMPY,
        "Tile",
        &[argument("repeats", Kind::Wholes, Default::Needed)],
        Place::By(|given, shapes| {
            let shape = one(shapes)?;
            let mut tiled = vec![];
            for (size, times) in wide(given, shape)? {
                if tiled.is_empty() && size.is_none() && times != 1 {
                    return Err(
                        "Tile along axis 0, the batch, would repeat its samples, which is not supported"
                            .into(),
                    );
                }
                tiled.push(match size {
                    Some(size) => Some(size.checked_mul(times).ok_or("is too large")?),
                    None => None,
                });
            }
            Ok(vec![tiled])
        }),
        Run::One(|given, xs| {
            let pairs = said(wide(given, &shape_of(xs)))?;
            let mut ys = xs.reshape(pairs.iter().map(|(size, _)| size.unwrap_or(1)).collect::<Vec<_>>())?;
            for (axis, (_, times)) in pairs.into_iter().enumerate().filter(|(_, (_, times))| *times > 1) {
                held(&ys, axis, ys.dim(axis)?.saturating_mul(times))?;
                ys = Tensor::cat(&vec![&ys; times], axis)?;
            }
            Ok(ys)
        }),
    ),
    Row::new(
        NUMPY,
        "Pad",
        &[
            argument("pad_width", Kind::Pairs, Default::Needed),
            argument("mode", Kind::Text, Default::Text("constant")),
            argument("constant_values", Kind::Number, Default::Number(0.0)),
        ],
        Place::By(|given, shapes| {
            let mut shape = one(shapes)?.clone();
            if given.text("mode").is_some_and(|mode| mode != "constant") {
                return Err("mode must be `constant`; other ways of padding are not supported".into());
            }
            for (axis, (before, after)) in pads(given, shape.len())?.into_iter().enumerate() {
                if before + after > 0 {
                    not_along_batch("Pad", axis, &shape)?;
                }
                shape[axis] = match shape[axis] {
                    Some(size) => Some(
                        size.checked_add(before).and_then(|n| n.checked_add(after)).ok_or("is too large")?,
                    ),
                    None => None,
                };
            }
            Ok(vec![shape])
        }),
        Run::One(|given, xs| {
            let value = given.number("constant_values").unwrap_or_default();
            let mut ys = xs.clone();
            for (axis, (before, after)) in said(pads(given, xs.rank()))?.into_iter().enumerate() {
                let block = |size: usize| {
                    let mut dims = ys.dims().to_vec();
                    dims[axis] = size;
                    check_numbers(&dims)?;
                    Tensor::full(value, dims, ys.device())?.to_dtype(ys.dtype())
                };
                let parts = [block(before)?, ys.clone(), block(after)?];
                let parts: Vec<&Tensor> = parts.iter().filter(|part| part.elem_count() > 0).collect();
                ys = if parts.len() > 1 { Tensor::cat(&parts, axis)? } else { ys };
            }
            Ok(ys)
        }),
    ),
    Row::new(
        NUMPY,
        "Roll",
        &[argument("shift", Kind::Wholes, Default::Needed), argument("axis", Kind::Wholes, Default::Null)],
        Place::By(|given, shapes| {
            let shape = one(shapes)?;
            rolls(given, shape.len())?
                .into_iter()
                .try_for_each(|(axis, _)| not_along_batch("Roll", axis, shape))?;
            Ok(vec![shape.clone()])
        }),
        Run::One(|given, xs| {
            said(rolls(given, xs.rank()))?.into_iter().try_fold(xs.contiguous()?, |xs, (axis, shift)| {
                let size = xs.dim(axis)?;
                let first = shift.wrapping_neg().rem_euclid(size.max(1) as i64) as usize;
                select(&xs, axis, (first..size).chain(0..first))
            })
        }),
    ),
    Row::new(
        NUMPY,
        "Take",
        &[argument("axis", Kind::Whole, Default::Null)],
        Place::By(|given, shapes| {
            let [shape, indices] = shapes else { return Err("needs two operands".into()) };
            let axis = given.axis("axis", shape.len())?;
            not_along_batch("Take", axis, shape)?;
            let (before, after) = (&shape[..axis], &shape[axis + 1..]);
            Ok(vec![[before, indices, after].concat()])
        }),
        Run::Two(take),
    ),
    Row::new(
        NUMPY,
        "Cumsum",
        &[argument("axis", Kind::Whole, Default::Null), argument("dtype", Kind::Text, Default::Null)],
        Place::By(|given, shapes| {
            check_dtype(given.text("dtype"))?;
            let shape = one(shapes)?;
            not_along_batch("Cumsum", given.axis("axis", shape.len())?, shape)?;
            Ok(vec![shape.clone()])
        }),
        Run::One(|given, xs| {
            let axis = said(given.axis("axis", xs.rank()))?;
            let xs = if numbers(xs) == Numbers::Truths { xs.to_dtype(DType::I64)? } else { xs.clone() };
            let (tensors, kind) = together(&[&xs])?;
            let [xs] = tensors.as_slice() else { bail!("Cumsum: needs an operand") };
            let size = xs.dim(axis)?;
            check_numbers(&[size, size])?;
            in_type(given, back(xs.cumsum(axis)?, kind)?)
        }),
    ),
    Row::new(
        NN,
        "OneHot",
        &[
            argument("num_classes", Kind::Whole, Default::Needed),
            argument("axis", Kind::Whole, Default::Whole(-1)),
            argument("dtype", Kind::Text, Default::Text("float32")),
            argument("sparse", Kind::Flag, Default::False),
        ],
        Place::By(|given, shapes| {
            check_dtype(given.text("dtype"))?;
            if given.flag("sparse") {
                return Err("sparse must be false".into());
            }
            let mut shape = one(shapes)?.clone();
            let axis = given.axis("axis", shape.len() + 1)?;
            shape.insert(axis, Some(classes(given)?));
            Ok(vec![shape])
        }),
        Run::One(|given, xs| {
            let axis = said(given.axis("axis", xs.rank() + 1))?;
            let classes = said(classes(given))?;
            let mut range = vec![1; xs.rank() + 1];
            check_numbers(&[xs.dims(), &[classes]].concat())?;
            range[axis] = classes;
            let range = Tensor::arange(0f32, classes as f32, xs.device())?.reshape(range)?;
            let found = floats(xs)?.to_dtype(DType::F32)?.unsqueeze(axis)?.broadcast_eq(&range)?;
            cast(&found, given.text("dtype").unwrap_or("float32"))
        }),
    ),
    Row::new(
        NUMPY,
        "FullLike",
        &[argument("dtype", Kind::Text, Default::Null)],
        Place::By(typed),
        Run::Two(|given, xs, value| {
            let value = value.to_dtype(xs.dtype())?.broadcast_as(xs.shape())?.contiguous()?;
            in_type(given, value)
        }),
    ),
];

/// Two shapes that must be the same, as far as they are known.
fn same(a: &Shape, b: &Shape) -> Checked<Shape> {
    let fits = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_none() || b.is_none() || a == b);
    match fits {
        true => Ok(a.iter().zip(b).map(|(a, b)| a.or(*b)).collect()),
        false => Err(format!("its operands {} and {} have different shapes", show(a), show(b))),
    }
}

fn concatenated(given: &Given, shapes: &[Shape]) -> Checked<Vec<Shape>> {
    let first = one(shapes)?;
    let axis = given.axis("axis", first.len())?;
    not_along_batch("Concatenate", axis, first)?;
    let (mut merged, mut size) = (first.clone(), Some(0usize));
    for shape in shapes {
        let own = shape.get(axis).copied().flatten();
        let mut others = shape.clone();
        let (Some(a), Some(b)) = (merged.get_mut(axis), others.get_mut(axis)) else {
            return Err(format!("its operands {} and {} do not fit each other", show(first), show(shape)));
        };
        (*a, *b) = (None, None);
        merged = same(&merged, &others)?;
        size = match (size, own) {
            (Some(size), Some(own)) => Some(size.checked_add(own).ok_or("is too large")?),
            _ => None,
        };
    }
    merged[axis] = size;
    Ok(vec![merged])
}

/// Where the parts of an axis of `size` begin, and how long they are.
fn parts(given: &Given, size: usize) -> Checked<Vec<(usize, usize)>> {
    let ends: Vec<usize> = match given.any("indices_or_sections").and_then(serde_json::Value::as_i64) {
        Some(sections) => {
            let sections = usize::try_from(sections)
                .ok()
                .filter(|n| (1..=MAX_OUTPUTS).contains(n) && size.is_multiple_of(*n));
            let sections =
                sections.ok_or_else(|| format!("indices_or_sections must divide the {size} of its axis"))?;
            (1..=sections).map(|part| part * (size / sections)).collect()
        }
        None => {
            let indices = given.wholes("indices_or_sections").unwrap_or_default();
            let ends: Option<Vec<usize>> = indices.iter().map(|&index| usize::try_from(index).ok()).collect();
            let mut ends = ends
                .filter(|ends| ends.len() < MAX_OUTPUTS)
                .ok_or("indices_or_sections must be places of its axis")?;
            ends.push(size);
            ends
        }
    };
    let mut start = 0;
    let mut parts = vec![];
    for end in ends {
        if end <= start || end > size {
            return Err(format!("indices_or_sections must be places of its axis of {size}, in order"));
        }
        parts.push((start, end - start));
        start = end;
    }
    Ok(parts)
}

/// Places along an axis, in the order given.
fn select(xs: &Tensor, axis: usize, places: impl Iterator<Item = usize>) -> Result<Tensor> {
    let places: Vec<u32> = places.map(|place| place as u32).collect();
    xs.contiguous()?.index_select(&Tensor::new(places, xs.device())?, axis)
}

/// Refuses a tensor that would have `size` along an axis, where that is too large.
fn held(xs: &Tensor, axis: usize, size: usize) -> Result<()> {
    let mut dims = xs.dims().to_vec();
    dims[axis] = size;
    check_numbers(&dims)
}

fn repeats(given: &Given) -> Checked<Vec<usize>> {
    let repeats = given.wholes("repeats").unwrap_or_default();
    let repeats: Option<Vec<usize>> =
        repeats.iter().map(|&n| usize::try_from(n).ok().filter(|n| *n > 0)).collect();
    repeats.ok_or_else(|| "repeats must be numbers from 1".into())
}

/// The sizes of all axes, new ones of 1 in front, with how often each is repeated.
fn wide(given: &Given, shape: &Shape) -> Checked<Vec<(Option<usize>, usize)>> {
    let times = repeats(given)?;
    let rank = times.len().max(shape.len());
    if times.len() > shape.len() && shape.first() == Some(&None) {
        return Err("repeats has more numbers than its input has axes, and axis 0 is the batch".into());
    }
    let sizes = std::iter::repeat_n(Some(1), rank - shape.len()).chain(shape.iter().copied());
    let times = std::iter::repeat_n(1, rank - times.len()).chain(times.iter().copied());
    Ok(sizes.zip(times).collect())
}

/// How much comes before and after each axis: a pair each, one pair for all, or one number.
fn pads(given: &Given, rank: usize) -> Checked<Vec<(usize, usize)>> {
    let wrong = || "pad_width must be a pair of sizes for each axis".to_string();
    let size = |value: &serde_json::Value| {
        value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n < 1 << 31)
    };
    let pair = |value: &serde_json::Value| match value.as_array().map(Vec::as_slice) {
        Some([a, b]) => Some((size(a)?, size(b)?)),
        Some([a]) => Some((size(a)?, size(a)?)),
        _ => None,
    };
    let value = given.any("pad_width").ok_or_else(wrong)?;
    if let Some(all) = size(value) {
        return Ok(vec![(all, all); rank]);
    }
    if let Some(all) = pair(value) {
        return Ok(vec![all; rank]);
    }
    let pairs: Option<Vec<_>> = value.as_array().ok_or_else(wrong)?.iter().map(pair).collect();
    match pairs.ok_or_else(wrong)? {
        pairs if pairs.len() == rank => Ok(pairs),
        pairs if pairs.len() == 1 => Ok(vec![pairs[0]; rank]),
        _ => Err(wrong()),
    }
}

/// The axes and by how much each is shifted.
fn rolls(given: &Given, rank: usize) -> Checked<Vec<(usize, i64)>> {
    if given.wholes("axis").is_none() {
        return Err("axis must be given: without it the whole batch would be shifted as one".into());
    }
    let (axes, shifts) = (given.axes("axis", rank)?, given.wholes("shift").unwrap_or_default());
    match shifts.as_slice() {
        [shift] => Ok(axes.into_iter().map(|axis| (axis, *shift)).collect()),
        shifts if shifts.len() == axes.len() => Ok(axes.into_iter().zip(shifts.iter().copied()).collect()),
        _ => Err("shift must be one number, or one for each axis".into()),
    }
}

fn classes(given: &Given) -> Checked<usize> {
    let classes = given.whole("num_classes").and_then(|n| usize::try_from(n).ok());
    classes
        .filter(|n| (1..1 << 24).contains(n))
        .ok_or_else(|| "num_classes must be between 1 and 2^24".into())
}

fn take(given: &Given, xs: &Tensor, indices: &Tensor) -> Result<Tensor> {
    let axis = said(given.axis("axis", xs.rank()))?;
    let size = xs.dim(axis)? as i64;
    let mut places = vec![];
    for index in indices.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()? {
        let index = index as i64;
        let place = if index < 0 { index + size } else { index };
        if !(0..size).contains(&place) {
            bail!("Take: place {index} is beyond axis {axis} of {:?}", xs.dims())
        }
        places.push(place as usize);
    }
    let dims = [&xs.dims()[..axis], indices.dims(), &xs.dims()[axis + 1..]].concat();
    let count = product(&dims.iter().map(|&n| Some(n)).collect::<Shape>());
    if count.is_none() {
        bail!("Take: {dims:?} would be too large")
    }
    check_numbers(&dims)?;
    select(xs, axis, places.into_iter())?.reshape(dims)
}

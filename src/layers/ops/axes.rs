//! Operations that arrange the same numbers along other axes (`keras/src/ops/numpy.py`).

use super::key::Key;
use super::row::{
    CORE, Default, Given, Kind, NUMPY, Place, Row, Run, argument, broadcast, closed, distinct,
    not_along_batch, one, said, shape_of,
};
use crate::layers::shape::{Checked, Shape, check_numbers, product, show};
use candle_core::Tensor;

pub const ROWS: &[Row] = &[
    Row::new(
        NUMPY,
        "GetItem",
        &[argument("key", Kind::Text, Default::Needed)],
        Place::By(|given, shapes| {
            let shape = one(shapes)?;
            Ok(vec![key(given)?.output(shape)?])
        }),
        Run::One(|given, xs| said(key(given))?.take(xs)),
    ),
    Row::new(
        NUMPY,
        "Reshape",
        &[argument("newshape", Kind::Wholes, Default::Needed)],
        Place::By(|given, shapes| Ok(vec![reshaped(one(shapes)?, &given.sizes("newshape"))?])),
        Run::One(|given, xs| xs.reshape(said(reshaped_to(xs, &given.sizes("newshape")))?)),
    ),
    Row::new(
        NUMPY,
        "Ravel",
        &[],
        Place::By(|_, shapes| Ok(vec![reshaped(one(shapes)?, &[Some(-1)])?])),
        Run::One(|_, xs| xs.flatten_all()),
    ),
    Row::new(
        NUMPY,
        "Transpose",
        &[argument("axes", Kind::Wholes, Default::Null)],
        Place::By(|given, shapes| {
            let shape = one(shapes)?;
            Ok(vec![transposed(given, shape.len())?.into_iter().map(|axis| shape[axis]).collect()])
        }),
        Run::One(|given, xs| xs.permute(said(transposed(given, xs.rank()))?)?.contiguous()),
    ),
    Row::new(
        NUMPY,
        "Swapaxes",
        &[argument("axis1", Kind::Whole, Default::Needed), argument("axis2", Kind::Whole, Default::Needed)],
        Place::By(|given, shapes| {
            let mut shape = one(shapes)?.clone();
            let rank = shape.len();
            shape.swap(given.axis("axis1", rank)?, given.axis("axis2", rank)?);
            Ok(vec![shape])
        }),
        Run::One(|given, xs| {
            let (a, b) = (said(given.axis("axis1", xs.rank()))?, said(given.axis("axis2", xs.rank()))?);
            xs.transpose(a, b)?.contiguous()
        }),
    ),
    Row::new(
        NUMPY,
        "Moveaxis",
        &[
            argument("source", Kind::Wholes, Default::Needed),
            argument("destination", Kind::Wholes, Default::Needed),
        ],
        Place::By(|given, shapes| {
            let shape = one(shapes)?;
            Ok(vec![moved(given, shape.len())?.into_iter().map(|axis| shape[axis]).collect()])
        }),
        Run::One(|given, xs| xs.permute(said(moved(given, xs.rank()))?)?.contiguous()),
    ),
    Row::new(
        NUMPY,
        "ExpandDims",
        &[argument("axis", Kind::Wholes, Default::Needed)],
        Place::By(|given, shapes| {
            let mut shape = one(shapes)?.clone();
            for axis in new_axes(given, shape.len())? {
                shape.insert(axis, Some(1));
            }
            Ok(vec![shape])
        }),
        Run::One(|given, xs| {
            said(new_axes(given, xs.rank()))?.into_iter().try_fold(xs.clone(), |xs, axis| xs.unsqueeze(axis))
        }),
    ),
    Row::new(
        NUMPY,
        "Squeeze",
        &[argument("axis", Kind::Wholes, Default::Null)],
        Place::By(|given, shapes| {
            let shape = one(shapes)?;
            let axes = squeezed(given, shape)?;
            let left = shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
            Ok(vec![left.map(|(_, size)| *size).collect()])
        }),
        Run::One(|given, xs| {
            let mut axes = said(squeezed(given, &shape_of(xs)))?;
            axes.sort_unstable();
            // A batch of one is a batch still.
            if given.wholes("axis").is_none() {
                axes.retain(|axis| *axis > 0);
            }
            axes.into_iter().rev().try_fold(xs.clone(), |xs, axis| xs.squeeze(axis))
        }),
    ),
    Row::new(
        NUMPY,
        "BroadcastTo",
        &[argument("shape", Kind::Wholes, Default::Needed)],
        Place::By(|given, shapes| Ok(vec![widened(one(shapes)?, &given.sizes("shape"))?])),
        Run::One(|given, xs| {
            let shape = said(widened(&shape_of(xs), &given.sizes("shape")).and_then(|shape| closed(&shape)))?;
            check_numbers(&shape)?;
            xs.broadcast_as(shape)?.contiguous()
        }),
    ),
    Row::new(
        CORE,
        "Unstack",
        &[argument("num", Kind::Whole, Default::Null), argument("axis", Kind::Whole, Default::Whole(0))],
        Place::By(|given, shapes| {
            let mut shape = one(shapes)?.clone();
            let axis = given.axis("axis", shape.len())?;
            not_along_batch("Unstack", axis, &shape)?;
            let size = shape.remove(axis).ok_or("the size of the axis that is taken apart must be known")?;
            match given.whole("num") {
                Some(num) if num != size as i64 => Err(format!("num is {num}, and the axis has {size}")),
                _ if size > MAX_OUTPUTS => Err(format!("would give {size} outputs, at most {MAX_OUTPUTS}")),
                _ => Ok(vec![shape; size]),
            }
        }),
        Run::Apart(|given, xs| {
            let axis = said(given.axis("axis", xs.rank()))?;
            (0..xs.dim(axis)?).map(|index| xs.narrow(axis, index, 1)?.squeeze(axis)?.contiguous()).collect()
        }),
    ),
];

/// The most outputs of one operation.
pub const MAX_OUTPUTS: usize = 4096;

fn key(given: &Given) -> Checked<Key> {
    given.text("key").unwrap_or_default().parse()
}

/// The axes after `newshape`, in which -1 is what is left and `None` the batch. A number for the batch is one of the
/// file's making: its samples stay.
fn reshaped(shape: &Shape, newshape: &[Option<i64>]) -> Checked<Shape> {
    let fail = |what: &str| Err(format!("{} cannot take the shape {}: {what}", show(shape), shown(newshape)));
    let batch = shape.first().copied().flatten();
    let is_open = shape.first() == Some(&None);
    let mut sizes: Vec<Option<i64>> = newshape.to_vec();
    if newshape.iter().skip(1).any(Option::is_none) {
        return fail("only its first axis may be open");
    }
    let left = newshape.iter().filter(|size| **size == Some(-1)).count();
    if left > 1 || newshape.iter().flatten().any(|&size| size < -1 || size == 0) {
        return fail("it needs sizes, and -1 at most once");
    }
    let rest = product(shape.get(1..).unwrap_or_default());
    let wanted = known(newshape.get(1..).unwrap_or_default());
    if let Some(Some(size)) = newshape.first()
        && is_open
        && *size >= 0
    {
        // A fixed number of samples, in a model of which each batch is as good as any other.
        if wanted.is_none() || wanted != rest {
            return fail("axis 0 is the batch, whose size is not fixed here; give -1");
        }
        sizes[0] = None;
    }
    if sizes.first() == Some(&None) {
        // The batch stays, and the others among themselves.
        let mut shape = vec![if is_open { None } else { batch }];
        let open = sizes.contains(&Some(-1));
        let known = match sizes
            .get(1..)
            .unwrap_or_default()
            .iter()
            .flatten()
            .filter(|size| **size >= 0)
            .try_fold(1usize, |product, &size| product.checked_mul(usize::try_from(size).ok()?))
        {
            Some(known) => known,
            None => return fail("it is too large"),
        };
        if rest.is_some_and(|rest| if open { rest % known != 0 } else { rest != known }) {
            return fail("the numbers are others");
        }
        for size in sizes.iter().skip(1).flatten() {
            shape.push(usize::try_from(*size).ok().or_else(|| rest.map(|rest| rest / known)));
        }
        return Ok(shape);
    }
    let Some(known) = known_sizes(&sizes) else { return fail("it is too large") };
    match product(shape) {
        Some(total) if left == 1 && total % known != 0 || left == 0 && total != known => {
            fail("the numbers are others")
        }
        total => {
            // With the others as many as before, what is left is the batch.
            let size = |size: &Option<i64>| {
                size.and_then(|size| usize::try_from(size).ok()).or_else(|| total.map(|total| total / known))
            };
            Ok(sizes.iter().map(size).collect())
        }
    }
}

/// The product of sizes without -1 and `None`; none if there are any.
fn known(sizes: &[Option<i64>]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |product, size| product.checked_mul(usize::try_from((*size)?).ok()?))
}

fn known_sizes(sizes: &[Option<i64>]) -> Option<usize> {
    let sizes = sizes.iter().flatten().filter(|size| **size >= 0);
    sizes.into_iter().try_fold(1usize, |product, &size| product.checked_mul(usize::try_from(size).ok()?))
}

/// The sizes for a tensor, whose axes are all known.
fn reshaped_to(xs: &Tensor, newshape: &[Option<i64>]) -> Checked<Vec<usize>> {
    let mut shape = shape_of(xs);
    let mut sizes = newshape.to_vec();
    // As it was placed: the first axis is open.
    if let (Some(first), Some(Some(size))) = (sizes.first_mut(), newshape.first())
        && *size >= 0
        && known(newshape).is_some_and(|product| product != xs.elem_count())
    {
        *first = None;
        if let Some(batch) = shape.first_mut() {
            *batch = xs.dims().first().copied();
        }
    }
    closed(&reshaped(&shape, &sizes)?)
}

fn shown(sizes: &[Option<i64>]) -> String {
    let sizes: Vec<String> =
        sizes.iter().map(|size| size.map_or_else(|| "None".into(), |size| size.to_string())).collect();
    format!("({})", sizes.join(", "))
}

/// The order of the axes of a transposition: without `axes` the other way round.
fn transposed(given: &Given, rank: usize) -> Checked<Vec<usize>> {
    let Some(axes) = given.wholes("axes") else { return Ok((0..rank).rev().collect()) };
    let axes = distinct("axes", &axes, rank)?;
    match axes.len() == rank {
        true => Ok(axes),
        false => Err(format!("axes {axes:?} must name all {rank} axes of its input")),
    }
}

/// The order of the axes after some were moved.
fn moved(given: &Given, rank: usize) -> Checked<Vec<usize>> {
    let source = given.axes("source", rank)?;
    let destination = given.axes("destination", rank)?;
    if source.len() != destination.len() {
        return Err("source and destination must name as many axes".into());
    }
    let mut order: Vec<usize> = (0..rank).filter(|axis| !source.contains(axis)).collect();
    let mut pairs: Vec<(usize, usize)> = destination.into_iter().zip(source).collect();
    pairs.sort_unstable();
    for (place, axis) in pairs {
        order.insert(place.min(order.len()), axis);
    }
    Ok(order)
}

/// Where new axes of 1 stand in the output, in order.
fn new_axes(given: &Given, rank: usize) -> Checked<Vec<usize>> {
    let axes = given.wholes("axis").unwrap_or_default();
    let mut axes = distinct("axis", &axes, rank + axes.len())?;
    axes.sort_unstable();
    Ok(axes)
}

/// The axes that are taken away: those named, which must be 1, or all that are.
fn squeezed(given: &Given, shape: &Shape) -> Checked<Vec<usize>> {
    let Some(axes) = given.wholes("axis") else {
        return Ok(shape
            .iter()
            .enumerate()
            .filter(|(_, size)| **size == Some(1))
            .map(|(axis, _)| axis)
            .collect());
    };
    let axes = distinct("axis", &axes, shape.len())?;
    for &axis in &axes {
        not_along_batch("Squeeze", axis, shape)?;
        if shape[axis].is_some_and(|size| size != 1) {
            return Err(format!("axis {axis} of {} is not 1", show(shape)));
        }
    }
    Ok(axes)
}

/// The shape to which another is broadcast; -1 and `None` are what is there.
fn widened(shape: &Shape, sizes: &[Option<i64>]) -> Checked<Shape> {
    if sizes.len() < shape.len() {
        return Err(format!("{} has more axes than {}", show(shape), shown(sizes)));
    }
    let offset = sizes.len() - shape.len();
    let mut wanted: Shape = vec![];
    for (index, size) in sizes.iter().enumerate() {
        let own = index.checked_sub(offset).and_then(|index| shape.get(index)).copied();
        wanted.push(match (size, own) {
            (None | Some(-1), Some(own)) => own,
            (Some(size), Some(None)) if index == 0 && *size >= 0 => {
                return Err(format!(
                    "axis 0 is the batch, whose size is not fixed here, and shape says {size}"
                ));
            }
            (Some(size), _) => {
                Some(usize::try_from(*size).map_err(|_| format!("shape {} has no size", shown(sizes)))?)
            }
            (None, None) => return Err(format!("shape {} has no size", shown(sizes))),
        });
    }
    let joined = broadcast(&[shape.clone(), wanted.clone()])?;
    match joined == wanted {
        true => Ok(wanted),
        false => Err(format!("{} cannot be broadcast to {}", show(shape), show(&wanted))),
    }
}

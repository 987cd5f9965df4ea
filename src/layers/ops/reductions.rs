//! Operations that make one number of all along some axes, or weigh these against each other (`keras/src/ops/numpy.py`,
//! `math.py`, `nn.py`, `linalg.py`).

use super::elementwise::{absolute, in_type};
use super::kinds::{Numbers, back, check_dtype, floats, numbers, together, truths};
use super::row::{
    Argument, Default, Given, Kind, LINALG, MATH, NN, NUMPY, Place, REDUCES, Row, Run, argument,
    not_along_batch, one, said,
};
use crate::layers::shape::{Checked, Shape};
use candle_core::{DType, Result, Tensor, bail};
use serde_json::Value;

const EXTREME: &[Argument] = &[
    argument("axis", Kind::Wholes, Default::Null),
    argument("keepdims", Kind::Flag, Default::False),
    argument("initial", Kind::Number, Default::Null),
];
const PLACE_OF: &[Argument] =
    &[argument("axis", Kind::Whole, Default::Null), argument("keepdims", Kind::Flag, Default::False)];
const ALONG: &[Argument] = &[argument("axis", Kind::Whole, Default::Whole(-1))];

const fn reduction(op: &'static str, run: fn(&Given, &Tensor) -> Result<Tensor>) -> Row {
    Row::new(NUMPY, op, REDUCES, Place::By(reduced), Run::One(run))
}

pub const ROWS: &[Row] = &[
    reduction("Mean", |given, xs| over(given, &floats(xs)?, |xs, axes| xs.mean_keepdim(axes))),
    reduction("Sum", sum),
    Row::new(NUMPY, "Max", EXTREME, Place::By(extreme), Run::One(|given, xs| kept(given, xs, largest))),
    Row::new(
        NUMPY,
        "Min",
        EXTREME,
        Place::By(extreme),
        Run::One(|given, xs| kept(given, xs, |xs, axes| largest(&xs.neg()?, axes)?.neg())),
    ),
    reduction("Amax", |given, xs| kept(given, xs, largest)),
    reduction("Amin", |given, xs| kept(given, xs, |xs, axes| largest(&xs.neg()?, axes)?.neg())),
    Row::new(
        NUMPY,
        "Prod",
        &[
            argument("axis", Kind::Wholes, Default::Null),
            argument("keepdims", Kind::Flag, Default::False),
            argument("dtype", Kind::Text, Default::Null),
        ],
        Place::By(|given, shapes| {
            check_dtype(given.text("dtype"))?;
            reduced(given, shapes)
        }),
        Run::One(|given, xs| in_type(given, kept(given, xs, product)?)),
    ),
    reduction("Var", |given, xs| over(given, &floats(xs)?, variance)),
    reduction("Std", |given, xs| over(given, &floats(xs)?, |xs, axes| variance(xs, axes)?.sqrt())),
    reduction("Any", |given, xs| over(given, &truths(xs)?, |xs, axes| each(xs, axes, Tensor::max_keepdim))),
    reduction("All", |given, xs| over(given, &truths(xs)?, |xs, axes| each(xs, axes, Tensor::min_keepdim))),
    Row::new(
        NUMPY,
        "CountNonzero",
        &[argument("axis", Kind::Wholes, Default::Null)],
        Place::By(reduced),
        Run::One(|given, xs| sum(given, &truths(xs)?)),
    ),
    Row::new(
        MATH,
        "Logsumexp",
        REDUCES,
        Place::By(reduced),
        Run::One(|given, xs| {
            over(given, &floats(xs)?, |xs, axes| {
                let top = finite_largest(xs, axes)?;
                xs.broadcast_sub(&top)?.exp()?.sum_keepdim(axes)?.log()?.broadcast_add(&top)
            })
        }),
    ),
    Row::new(
        NUMPY,
        "Argmax",
        PLACE_OF,
        Place::By(one_axis),
        Run::One(|given, xs| place_of(given, xs, Tensor::argmax_keepdim)),
    ),
    Row::new(
        NUMPY,
        "Argmin",
        PLACE_OF,
        Place::By(one_axis),
        Run::One(|given, xs| place_of(given, xs, Tensor::argmin_keepdim)),
    ),
    Row::new(
        LINALG,
        "Norm",
        &[
            argument("ord", Kind::Any, Default::Null),
            argument("axis", Kind::Wholes, Default::Null),
            argument("keepdims", Kind::Flag, Default::False),
        ],
        Place::By(|given, shapes| {
            order(given, one(shapes)?.len())?;
            reduced(given, shapes)
        }),
        Run::One(norm),
    ),
    Row::new(
        NN,
        "Normalize",
        &[
            argument("axis", Kind::Wholes, Default::Whole(-1)),
            argument("order", Kind::Whole, Default::Whole(2)),
            argument("epsilon", Kind::Number, Default::Number(1e-7)),
        ],
        Place::By(normalized),
        Run::One(normalize),
    ),
    Row::new(
        NN,
        "Softmax",
        ALONG_OR_ALL,
        Place::By(along),
        Run::One(|given, xs| {
            let xs = floats(xs)?;
            let axes = along_axes(given, xs.rank())?;
            let xs = xs.broadcast_sub(&finite_largest(&xs, &axes)?)?.exp()?;
            xs.broadcast_div(&xs.sum_keepdim(axes)?)
        }),
    ),
    Row::new(
        NN,
        "LogSoftmax",
        ALONG_OR_ALL,
        Place::By(along),
        Run::One(|given, xs| {
            let xs = floats(xs)?;
            let axes = along_axes(given, xs.rank())?;
            let xs = xs.broadcast_sub(&finite_largest(&xs, &axes)?)?;
            xs.broadcast_sub(&xs.exp()?.sum_keepdim(axes)?.log()?)
        }),
    ),
    Row::new(
        NN,
        "Glu",
        ALONG,
        Place::By(|given, shapes| {
            let mut shape = one(shapes)?.clone();
            let axis = given.axis("axis", shape.len())?;
            not_along_batch("Glu", axis, &shape)?;
            match shape.get_mut(axis) {
                Some(Some(size)) if *size % 2 == 0 => *size /= 2,
                _ => return Err("Glu needs an even number along its axis".into()),
            }
            Ok(vec![shape])
        }),
        Run::One(|given, xs| {
            let xs = floats(xs)?;
            let axis = said(given.axis("axis", xs.rank()))?;
            let half = xs.dim(axis)? / 2;
            xs.narrow(axis, 0, half)? * candle_nn::ops::sigmoid(&xs.narrow(axis, half, half)?)?
        }),
    ),
];

/// -1 where it is left out; `None` means all axes.
const ALONG_OR_ALL: &[Argument] = &[argument("axis", Kind::Wholes, Default::Whole(-1))];

/// The shape without the axes.
fn without(shape: &Shape, axes: &[usize], keepdims: bool) -> Shape {
    let mut left = vec![];
    for (index, size) in shape.iter().enumerate() {
        match axes.contains(&index) {
            true if keepdims => left.push(Some(1)),
            true => {}
            false => left.push(*size),
        }
    }
    left
}

fn reduced(given: &Given, shapes: &[Shape]) -> Checked<Vec<Shape>> {
    let shape = one(shapes)?;
    let axes = given.axes("axis", shape.len())?;
    for &axis in &axes {
        not_along_batch(given.op(), axis, shape)?;
    }
    Ok(vec![without(shape, &axes, given.flag("keepdims"))])
}

fn extreme(given: &Given, shapes: &[Shape]) -> Checked<Vec<Shape>> {
    match given.any("initial") {
        Some(_) => Err("initial is not supported".into()),
        None => reduced(given, shapes),
    }
}

fn one_axis(given: &Given, shapes: &[Shape]) -> Checked<Vec<Shape>> {
    let shape = one(shapes)?;
    let axes = match given.axis_or_none("axis", shape.len())? {
        Some(axis) => vec![axis],
        None => (0..shape.len()).collect(),
    };
    for &axis in &axes {
        not_along_batch(given.op(), axis, shape)?;
    }
    Ok(vec![without(shape, &axes, given.flag("keepdims"))])
}

/// The axes of a softmax, where `None` must be told from nothing.
fn softmax_axes(given: &Given, rank: usize) -> Checked<Vec<usize>> {
    match given.is_none("axis") {
        true => Ok((0..rank).collect()),
        false => given.axes("axis", rank),
    }
}

fn along(given: &Given, shapes: &[Shape]) -> Checked<Vec<Shape>> {
    let shape = one(shapes)?;
    for axis in softmax_axes(given, shape.len())? {
        not_along_batch(given.op(), axis, shape)?;
    }
    Ok(vec![shape.clone()])
}

fn along_axes(given: &Given, rank: usize) -> Result<Vec<usize>> {
    said(softmax_axes(given, rank))
}

fn normalized(given: &Given, shapes: &[Shape]) -> Checked<Vec<Shape>> {
    let shape = one(shapes)?;
    for axis in given.axes("axis", shape.len())? {
        not_along_batch(given.op(), axis, shape)?;
    }
    match given.whole("order") {
        Some(1..) => Ok(vec![shape.clone()]),
        other => Err(format!("order is {other:?}, expected a whole number from 1")),
    }
}

/// Runs over the axes that are asked for, which `run` keeps as axes of 1, and takes them away.
fn over(given: &Given, xs: &Tensor, run: impl Fn(&Tensor, &[usize]) -> Result<Tensor>) -> Result<Tensor> {
    let mut axes = said(given.axes("axis", xs.rank()))?;
    axes.sort_unstable();
    let ys = if axes.is_empty() { xs.clone() } else { run(xs, &axes)? };
    if given.flag("keepdims") { Ok(ys) } else { squeezed(ys, &axes) }
}

/// Without these axes of 1, which are in order.
fn squeezed(mut xs: Tensor, axes: &[usize]) -> Result<Tensor> {
    for &axis in axes.iter().rev() {
        xs = xs.squeeze(axis)?;
    }
    Ok(xs)
}

/// What gives whole numbers of whole numbers and truths of truths.
fn kept(given: &Given, xs: &Tensor, run: impl Fn(&Tensor, &[usize]) -> Result<Tensor>) -> Result<Tensor> {
    let (tensors, kind) = together(&[xs])?;
    match tensors.as_slice() {
        [xs] => back(over(given, xs, run)?, kind),
        _ => bail!("needs an operand"),
    }
}

/// Of truths it is their number.
fn sum(given: &Given, xs: &Tensor) -> Result<Tensor> {
    let xs = if numbers(xs) == Numbers::Truths { xs.to_dtype(DType::I64)? } else { xs.clone() };
    kept(given, &xs, |xs, axes| xs.sum_keepdim(axes))
}

fn each(xs: &Tensor, axes: &[usize], run: fn(&Tensor, usize) -> Result<Tensor>) -> Result<Tensor> {
    axes.iter().try_fold(xs.clone(), |xs, &axis| run(&xs, axis))
}

/// The largest, whose slope is shared by all that are as large.
fn largest(xs: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let top = each(&xs.detach(), axes, Tensor::max_keepdim)?;
    // Not "equal": NaN is less than nothing and so comes through.
    let places = xs.detach().broadcast_lt(&top)?.eq(0u8)?;
    let count = places.to_dtype(xs.dtype())?.sum_keepdim(axes)?;
    let held = places.where_cond(xs, &xs.zeros_like()?)?;
    held.sum_keepdim(axes)? / count
}

/// The largest, without a slope, and 0 in the place of infinity, from which nothing can be taken.
fn finite_largest(xs: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let top = each(&xs.detach(), axes, Tensor::max_keepdim)?;
    top.abs()?.lt(f64::INFINITY)?.where_cond(&top, &top.zeros_like()?)
}

/// The product, by halves.
fn product(xs: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let mut xs = xs.clone();
    for &axis in axes {
        loop {
            let size = xs.dim(axis)?;
            if size <= 1 {
                break;
            }
            let half = size / 2;
            let halves = (xs.narrow(axis, 0, half)? * xs.narrow(axis, half, half)?)?;
            xs = match size % 2 {
                0 => halves,
                _ => Tensor::cat(&[&halves, &xs.narrow(axis, 2 * half, 1)?], axis)?,
            };
        }
    }
    Ok(xs)
}

fn variance(xs: &Tensor, axes: &[usize]) -> Result<Tensor> {
    xs.broadcast_sub(&xs.mean_keepdim(axes)?)?.sqr()?.mean_keepdim(axes)
}

/// Where the largest or smallest stands, the first of equals.
fn place_of(given: &Given, xs: &Tensor, run: fn(&Tensor, usize) -> Result<Tensor>) -> Result<Tensor> {
    let (tensors, _) = together(&[xs])?;
    let [xs] = tensors.as_slice() else { bail!("needs an operand") };
    let xs = xs.detach().contiguous()?;
    let rank = xs.rank();
    let found = match said(given.axis_or_none("axis", rank))? {
        Some(axis) => {
            let found = run(&xs, axis)?;
            if given.flag("keepdims") { found } else { found.squeeze(axis)? }
        }
        None => {
            let shape = if given.flag("keepdims") { vec![1; rank] } else { vec![] };
            run(&xs.flatten_all()?, 0)?.reshape(shape)?
        }
    };
    found.to_dtype(DType::I64)
}

/// The order of a norm over as many axes as are asked for.
fn order(given: &Given, rank: usize) -> Checked<f64> {
    let axes = given.axes("axis", rank)?.len();
    match given.any("ord") {
        None => Ok(2.0),
        Some(Value::String(name)) if name == "euclidean" || name == "fro" && axes == 2 => Ok(2.0),
        Some(Value::String(name)) if name == "inf" && axes == 1 => Ok(f64::INFINITY),
        Some(Value::Number(order)) if axes == 1 => match order.as_f64() {
            Some(order) if order > 0.0 => Ok(order),
            _ => Err(format!("ord is {order}, expected a number above 0")),
        },
        Some(other) => Err(format!("ord {other} over {axes} axes is not supported")),
    }
}

fn norm(given: &Given, xs: &Tensor) -> Result<Tensor> {
    let order = said(order(given, xs.rank()))?;
    over(given, &floats(xs)?, |xs, axes| norm_by(xs, axes, order))
}

fn norm_by(xs: &Tensor, axes: &[usize], order: f64) -> Result<Tensor> {
    match order {
        2.0 => xs.sqr()?.sum_keepdim(axes)?.sqrt(),
        1.0 => absolute(xs)?.sum_keepdim(axes),
        f64::INFINITY => largest(&absolute(xs)?, axes),
        order => absolute(xs)?.powf(order)?.sum_keepdim(axes)?.powf(1.0 / order),
    }
}

fn normalize(given: &Given, xs: &Tensor) -> Result<Tensor> {
    let xs = floats(xs)?;
    let axes = said(given.axes("axis", xs.rank()))?;
    let epsilon = given.number("epsilon").unwrap_or(1e-7);
    let order = given.whole("order").unwrap_or(2) as f64;
    if order == 2.0 {
        // The inverse is at most 1 / epsilon, where its slope ends.
        let inverse = xs.sqr()?.sum_keepdim(axes)?;
        let small = inverse.detach().le(epsilon * epsilon)?;
        let inverse = small.where_cond(&inverse.ones_like()?, &inverse)?.sqrt()?.recip()?;
        let largest = (inverse.ones_like()? * (1.0 / epsilon))?;
        return xs.broadcast_mul(&small.where_cond(&largest, &inverse)?);
    }
    let size = norm_by(&xs, &axes, order)?;
    let least = (size.ones_like()? * epsilon)?;
    xs.broadcast_div(&size.lt(epsilon)?.where_cond(&least, &size)?)
}

//! Operations on the numbers of two operands, pair by pair (`keras/src/ops/numpy.py`), and the choice between two.

use super::kinds::{Numbers, back, numbers, together, truths};
use super::row::{Given, NUMPY, Place, Row, Run, broadcast, closed, said, shape_of};
use crate::layers::merge::choose;
use candle_core::{Result, Tensor, bail};

const fn pair(op: &'static str, run: fn(&Given, &Tensor, &Tensor) -> Result<Tensor>) -> Row {
    Row::new(NUMPY, op, &[], Place::Broadcast, Run::Two(run))
}

pub const ROWS: &[Row] = &[
    pair("Add", |_, a, b| numbers_only("Add", a, b, Tensor::broadcast_add)),
    pair("Subtract", |_, a, b| numbers_only("Subtract", a, b, Tensor::broadcast_sub)),
    pair("Multiply", |_, a, b| numbers_only("Multiply", a, b, Tensor::broadcast_mul)),
    pair("Divide", |_, a, b| quotient(a, b)),
    pair("TrueDivide", |_, a, b| quotient(a, b)),
    pair("DivideNoNan", |_, a, b| {
        let (a, b) = as_floats(a, b)?;
        let none = b.eq(0.0)?;
        let safe = none.where_cond(&b.ones_like()?, &b)?;
        let quotient = a.broadcast_div(&safe)?;
        let none = none.broadcast_as(quotient.shape())?.contiguous()?;
        none.where_cond(&quotient.zeros_like()?, &quotient)
    }),
    pair("FloorDivide", |_, a, b| arithmetic(a, b, |a, b| a.broadcast_div(b)?.detach().floor())),
    pair("Mod", |_, a, b| {
        arithmetic(a, b, |a, b| a.broadcast_sub(&b.broadcast_mul(&a.broadcast_div(b)?.detach().floor()?)?))
    }),
    pair("Power", power),
    pair("Maximum", |_, a, b| arithmetic(a, b, |a, b| choose(a, b, true))),
    pair("Minimum", |_, a, b| arithmetic(a, b, |a, b| choose(a, b, false))),
    pair("Greater", |_, a, b| compare(a, b, Tensor::broadcast_gt)),
    pair("GreaterEqual", |_, a, b| compare(a, b, Tensor::broadcast_ge)),
    pair("Less", |_, a, b| compare(a, b, Tensor::broadcast_lt)),
    pair("LessEqual", |_, a, b| compare(a, b, Tensor::broadcast_le)),
    pair("Equal", |_, a, b| compare(a, b, Tensor::broadcast_eq)),
    pair("NotEqual", |_, a, b| compare(a, b, Tensor::broadcast_ne)),
    pair("LogicalAnd", |_, a, b| truths(a)?.broadcast_minimum(&truths(b)?)),
    pair("LogicalOr", |_, a, b| truths(a)?.broadcast_maximum(&truths(b)?)),
    pair("LogicalXor", |_, a, b| truths(a)?.broadcast_ne(&truths(b)?)),
    Row::new(
        NUMPY,
        "Where",
        &[],
        Place::Broadcast,
        Run::Three(|_, condition, a, b| {
            let (tensors, kind) = together(&[a, b])?;
            let [a, b] = tensors.as_slice() else { bail!("Where: needs three operands") };
            let shapes = [shape_of(condition), shape_of(a), shape_of(b)];
            let shape = said(broadcast(&shapes).and_then(|shape| closed(&shape)))?;
            let wide = |xs: &Tensor| xs.broadcast_as(shape.as_slice())?.contiguous();
            back(wide(&truths(condition)?)?.where_cond(&wide(a)?, &wide(b)?)?, kind)
        }),
    ),
];

fn arithmetic(a: &Tensor, b: &Tensor, run: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (tensors, kind) = together(&[a, b])?;
    match tensors.as_slice() {
        [a, b] => back(run(a, b)?, kind),
        _ => bail!("needs two operands"),
    }
}

/// What TensorFlow does not do with truths.
fn numbers_only(
    op: &str,
    a: &Tensor,
    b: &Tensor,
    run: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    match numbers(a).max(numbers(b)) {
        Numbers::Truths => bail!("{op}: takes no two truths, nor does it in Keras; cast one to float32"),
        _ => arithmetic(a, b, run),
    }
}

fn as_floats(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let (mut tensors, kind) = together(&[a, b])?;
    if kind != Numbers::Floats {
        tensors = tensors.iter().map(|xs| xs.to_dtype(candle_core::DType::F32)).collect::<Result<_>>()?;
    }
    match tensors.as_slice() {
        [a, b] => Ok((a.clone(), b.clone())),
        _ => bail!("needs two operands"),
    }
}

fn quotient(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = as_floats(a, b)?;
    a.broadcast_div(&b)
}

fn compare(a: &Tensor, b: &Tensor, run: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (tensors, _) = together(&[a, b])?;
    match tensors.as_slice() {
        [a, b] => run(a, b),
        _ => bail!("needs two operands"),
    }
}

fn power(given: &Given, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if let Some(exponent) = given.scalar(1)
        && (numbers(a) == Numbers::Floats || numbers(b) == Numbers::Whole)
    {
        return arithmetic(a, b, |a, b| {
            power_by(a, exponent)?
                .broadcast_as(said(broadcast(&[shape_of(a), shape_of(b)]).and_then(|shape| closed(&shape)))?)
        });
    }
    arithmetic(a, b, |a, b| {
        // aᵇ = ±exp(b log |a|), and 0 where a is 0 (but 1 where b is, too).
        let shape = said(broadcast(&[shape_of(a), shape_of(b)]).and_then(|shape| closed(&shape)))?;
        let (a, b) = (
            a.broadcast_as(shape.as_slice())?.contiguous()?,
            b.broadcast_as(shape.as_slice())?.contiguous()?,
        );
        let (zero, negative) = (a.eq(0.0)?, a.lt(0.0)?);
        let ones = a.ones_like()?;
        let size = negative.where_cond(&a.neg()?, &a)?;
        let size = (zero.where_cond(&ones, &size)?.log()? * &b)?.exp()?;
        let half = (b.detach() / 2.0)?;
        let odd = half.ne(&half.floor()?)?;
        let whole = b.detach().eq(&b.detach().floor()?)?;
        let signed = negative.minimum(&odd)?.where_cond(&size.neg()?, &size)?;
        let nan = (ones.clone() * f64::NAN)?;
        let signed = negative.minimum(&whole.eq(0u8)?)?.where_cond(&nan, &signed)?;
        let infinity = (&ones * f64::INFINITY)?;
        let of_zero = b.lt(0.0)?.where_cond(&infinity, &b.eq(0.0)?.to_dtype(b.dtype())?)?;
        zero.where_cond(&of_zero, &signed)
    })
}

/// By an exponent that is known. Small whole ones are products, whose slopes are right at 0, too.
fn power_by(xs: &Tensor, exponent: f64) -> Result<Tensor> {
    match exponent {
        0.0 => xs.ones_like(),
        1.0 => Ok(xs.clone()),
        2.0 => xs.sqr(),
        3.0 => xs.sqr()? * xs,
        0.5 => xs.sqrt(),
        _ => xs.powf(exponent),
    }
}

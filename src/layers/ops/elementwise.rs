//! Operations on each number of one operand (`keras/src/ops/numpy.py`, `math.py`, `nn.py`, `core.py`).

use super::kinds::{Numbers, back, cast, check_dtype, floats, numbers, together, truths};
use super::row::{Argument, CORE, Default, Given, Kind, MATH, NN, NUMPY, Place, Row, Run, argument, one};
use crate::layers::activation::Activation;
use crate::layers::activation::elu;
use crate::layers::shape::{Checked, Shape};
use candle_core::{Result, Tensor};

const DTYPE: &[Argument] = &[argument("dtype", Kind::Text, Default::Null)];

/// A row of a function of floats.
const fn float(module: &'static str, op: &'static str, run: fn(&Given, &Tensor) -> Result<Tensor>) -> Row {
    Row::new(module, op, &[], Place::Same, Run::One(run))
}

/// The same with arguments.
const fn with(
    module: &'static str,
    op: &'static str,
    arguments: &'static [Argument],
    run: fn(&Given, &Tensor) -> Result<Tensor>,
) -> Row {
    Row::new(module, op, arguments, Place::Same, Run::One(run))
}

pub const ROWS: &[Row] = &[
    float(NUMPY, "Absolute", |_, xs| kept(xs, absolute)),
    float(NUMPY, "Abs", |_, xs| kept(xs, absolute)),
    float(NUMPY, "Negative", |_, xs| kept(xs, Tensor::neg)),
    float(NUMPY, "Square", |_, xs| kept(xs, Tensor::sqr)),
    float(NUMPY, "Sign", |_, xs| kept(xs, |xs| xs.detach().sign())),
    float(NUMPY, "Copy", |_, xs| Ok(xs.clone())),
    float(NUMPY, "Exp", |_, xs| floats(xs)?.exp()),
    float(NUMPY, "Expm1", |_, xs| expm1(&floats(xs)?)),
    float(NUMPY, "Log", |_, xs| floats(xs)?.log()),
    float(NUMPY, "Log1p", |_, xs| log1p(&floats(xs)?)),
    float(NUMPY, "Log2", |_, xs| floats(xs)?.log()? / std::f64::consts::LN_2),
    float(NUMPY, "Log10", |_, xs| floats(xs)?.log()? / std::f64::consts::LN_10),
    float(NUMPY, "Sqrt", |_, xs| floats(xs)?.sqrt()),
    float(MATH, "Rsqrt", |_, xs| floats(xs)?.sqrt()?.recip()),
    float(NUMPY, "Reciprocal", |_, xs| floats(xs)?.recip()),
    float(NUMPY, "Sin", |_, xs| floats(xs)?.sin()),
    float(NUMPY, "Cos", |_, xs| floats(xs)?.cos()),
    float(NUMPY, "Tan", |_, xs| {
        let xs = floats(xs)?;
        xs.sin()? / xs.cos()?
    }),
    float(NUMPY, "Sinh", |_, xs| {
        let xs = floats(xs)?;
        (expm1(&xs)? - expm1(&xs.neg()?)?)? / 2.0
    }),
    float(NUMPY, "Cosh", |_, xs| {
        let xs = floats(xs)?;
        (xs.exp()? + xs.neg()?.exp()?)? / 2.0
    }),
    float(NUMPY, "Tanh", |_, xs| floats(xs)?.tanh()),
    float(MATH, "Erf", |_, xs| floats(xs)?.erf()),
    float(NUMPY, "Floor", |_, xs| floats(xs)?.detach().floor()),
    float(NUMPY, "Ceil", |_, xs| floats(xs)?.detach().ceil()),
    float(NUMPY, "Trunc", |_, xs| kept(xs, |xs| trunc(&xs.detach()))),
    with(NUMPY, "Round", &[argument("decimals", Kind::Whole, Default::Whole(0))], |given, xs| {
        kept(xs, |xs| round(&xs.detach(), given.whole("decimals").unwrap_or_default()))
    }),
    float(NUMPY, "Isnan", |_, xs| {
        let xs = floats(xs)?;
        xs.ne(&xs)
    }),
    float(NUMPY, "Isfinite", |_, xs| {
        let xs = floats(xs)?;
        xs.abs()?.lt(f64::INFINITY)
    }),
    float(NUMPY, "LogicalNot", |_, xs| truths(xs)?.eq(0u8)),
    float(NN, "Sigmoid", |_, xs| Activation::Sigmoid.forward(&floats(xs)?)),
    float(NN, "LogSigmoid", |_, xs| Activation::Softplus.forward(&floats(xs)?.neg()?)?.neg()),
    float(NN, "Relu", |_, xs| kept(xs, |xs| Activation::Relu.forward(xs))),
    float(NN, "Relu6", |_, xs| kept(xs, |xs| Activation::Relu6.forward(xs))),
    float(NN, "Silu", |_, xs| Activation::Silu.forward(&floats(xs)?)),
    with(NN, "Gelu", &[argument("approximate", Kind::Flag, Default::True)], |given, xs| {
        let xs = floats(xs)?;
        if given.flag("approximate") { gelu_by_tanh(&xs) } else { Activation::Gelu.forward(&xs) }
    }),
    float(NN, "Softplus", |_, xs| Activation::Softplus.forward(&floats(xs)?)),
    float(NN, "Softsign", |_, xs| {
        let xs = floats(xs)?;
        &xs / (absolute(&xs)? + 1.0)?
    }),
    with(NN, "Elu", &[argument("alpha", Kind::Number, Default::Number(1.0))], |given, xs| {
        elu(&floats(xs)?, given.number("alpha").unwrap_or(1.0))
    }),
    with(NN, "Celu", &[argument("alpha", Kind::Number, Default::Number(1.0))], |given, xs| {
        let alpha = given.number("alpha").unwrap_or(1.0);
        let xs = floats(xs)?;
        xs.ge(0.0)?.where_cond(&xs, &(elu(&(&xs / alpha)?, 1.0)? * alpha)?)
    }),
    float(NN, "Selu", |_, xs| Activation::Selu.forward(&floats(xs)?)),
    with(NN, "LeakyRelu", &[argument("negative_slope", Kind::Number, Default::Number(0.2))], |given, xs| {
        let xs = floats(xs)?;
        xs.gt(0.0)?.where_cond(&xs, &(&xs * given.number("negative_slope").unwrap_or(0.2))?)
    }),
    float(NN, "HardSigmoid", |_, xs| Activation::HardSigmoid.forward(&floats(xs)?)),
    float(NN, "HardSilu", |_, xs| Activation::HardSilu.forward(&floats(xs)?)),
    float(NN, "HardTanh", |_, xs| clip(&floats(xs)?, Some(-1.0), Some(1.0))),
    with(
        "keras.src.activations.activations",
        "ReLU",
        &[
            argument("negative_slope", Kind::Number, Default::Number(0.0)),
            argument("max_value", Kind::Number, Default::Null),
            argument("threshold", Kind::Number, Default::Number(0.0)),
        ],
        |given, xs| {
            let slope = given.number("negative_slope").unwrap_or(0.0);
            relu(&floats(xs)?, slope, given.number("max_value"), given.number("threshold").unwrap_or(0.0))
        },
    ),
    with(
        NUMPY,
        "Clip",
        &[argument("x_min", Kind::Number, Default::Null), argument("x_max", Kind::Number, Default::Null)],
        |given, xs| {
            let (low, high) = (given.number("x_min"), given.number("x_max"));
            let whole = |bound: Option<f64>| bound.is_none_or(|bound| bound.fract() == 0.0);
            // Whole numbers between floats are floats.
            let xs = if whole(low) && whole(high) { xs.clone() } else { floats(xs)? };
            kept(&xs, |xs| clip(xs, low, high))
        },
    ),
    Row::new(
        CORE,
        "Cast",
        &[argument("dtype", Kind::Text, Default::Needed)],
        Place::By(typed),
        Run::One(|given, xs| cast(xs, given.text("dtype").unwrap_or("float32"))),
    ),
    Row::new(
        CORE,
        "ConvertToTensor",
        &[
            argument("dtype", Kind::Text, Default::Null),
            argument("sparse", Kind::Flag, Default::False),
            argument("ragged", Kind::Flag, Default::False),
        ],
        Place::By(typed),
        Run::One(|given, xs| in_type(given, xs.clone())),
    ),
    float(CORE, "StopGradient", |_, xs| Ok(xs.detach())),
    Row::new(
        NUMPY,
        "ZerosLike",
        DTYPE,
        Place::By(typed),
        Run::One(|given, xs| in_type(given, xs.zeros_like()?)),
    ),
    Row::new(
        NUMPY,
        "OnesLike",
        DTYPE,
        Place::By(typed),
        Run::One(|given, xs| in_type(given, xs.ones_like()?)),
    ),
];

/// The same shape, once the type is one that can be had.
pub fn typed(given: &Given, shapes: &[Shape]) -> Checked<Vec<Shape>> {
    check_dtype(given.text("dtype"))?;
    Ok(vec![one(shapes)?.clone()])
}

/// The tensor in the type that the argument `dtype` names, if it does.
pub fn in_type(given: &Given, xs: Tensor) -> Result<Tensor> {
    match given.text("dtype") {
        Some(dtype) => cast(&xs, dtype),
        None => Ok(xs),
    }
}

/// What gives whole numbers of whole numbers.
fn kept(xs: &Tensor, run: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    match numbers(xs) {
        Numbers::Floats => run(xs),
        kind => {
            let (tensors, _) = together(&[xs])?;
            let mut ys = vec![];
            for xs in &tensors {
                ys.push(back(run(xs)?, kind)?);
            }
            ys.pop().map_or_else(|| Ok(xs.clone()), Ok)
        }
    }
}

/// |x|, with the slope 0 at 0.
pub fn absolute(xs: &Tensor) -> Result<Tensor> {
    xs * xs.detach().sign()?
}

/// Near 0, where 1 swallows the digits, a series in their place.
fn near_zero(xs: &Tensor, coefficients: [f64; 6], far: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let zeros = xs.zeros_like()?;
    let small = xs.detach().abs()?.lt(0.1)?;
    // The side not chosen must not overflow: infinity times the gradient 0 is NaN.
    let near = small.where_cond(xs, &zeros)?;
    let mut series = zeros;
    for coefficient in coefficients.into_iter().rev() {
        series = ((series * &near)? + coefficient)?;
    }
    small.where_cond(&(series * near)?, &far(xs)?)
}

fn log1p(xs: &Tensor) -> Result<Tensor> {
    let coefficients = [1.0, -1.0 / 2.0, 1.0 / 3.0, -1.0 / 4.0, 1.0 / 5.0, -1.0 / 6.0];
    near_zero(xs, coefficients, |xs| (xs + 1.0)?.log())
}

fn expm1(xs: &Tensor) -> Result<Tensor> {
    let coefficients = [1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0];
    near_zero(xs, coefficients, |xs| xs.exp()? - 1.0)
}

/// x less what stands behind the point.
pub fn trunc(xs: &Tensor) -> Result<Tensor> {
    absolute(xs)?.floor()? * xs.sign()?
}

/// To the nearest whole number, of two to the even one.
fn round(xs: &Tensor, decimals: i64) -> Result<Tensor> {
    let factor = 10f64.powi(decimals.clamp(-300, 300) as i32);
    let xs = if decimals == 0 { xs.clone() } else { (xs * factor)? };
    let below = xs.floor()?;
    let rest = (&xs - &below)?;
    let odd = (&below - ((&below / 2.0)?.floor()? * 2.0)?)?.ne(0.0)?;
    let up = rest.gt(0.5)?.maximum(&rest.eq(0.5)?.minimum(&odd)?)?;
    let whole = (&below + up.to_dtype(below.dtype())?)?;
    if decimals == 0 { Ok(whole) } else { whole / factor }
}

fn gelu_by_tanh(xs: &Tensor) -> Result<Tensor> {
    let inner = ((xs + (xs.powf(3.0)? * 0.044715)?)? * (2.0 / std::f64::consts::PI).sqrt())?;
    (xs * 0.5)? * (inner.tanh()? + 1.0)?
}

fn relu(xs: &Tensor, slope: f64, max: Option<f64>, threshold: f64) -> Result<Tensor> {
    let below = ((xs - threshold)? * slope)?;
    let above = xs.gt(threshold)?.where_cond(xs, &below)?;
    match max {
        Some(max) => above.ge(max)?.where_cond(&(xs.ones_like()? * max)?, &above),
        None => Ok(above),
    }
}

/// x between two bounds, with the slope 1 on them and 0 beyond.
fn clip(xs: &Tensor, low: Option<f64>, high: Option<f64>) -> Result<Tensor> {
    let mut xs = xs.clone();
    let bound = |xs: &Tensor, bound: f64| xs.ones_like()?.affine(0.0, bound);
    if let Some(low) = low {
        xs = xs.lt(low)?.where_cond(&bound(&xs, low)?, &xs)?;
    }
    if let Some(high) = high {
        xs = xs.gt(high)?.where_cond(&bound(&xs, high)?, &xs)?;
    }
    Ok(xs)
}

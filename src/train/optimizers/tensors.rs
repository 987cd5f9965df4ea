//! A pass in tensor operations, for what the fused one does not take: other types, other devices.

use super::formula::{Given, Pass};
use super::fused::Common;
use super::gradient::Gradient;
use super::number::Number;
use crate::Result;
use candle_core::{Tensor, Var};
use std::ops::{Add, Div, Mul, Sub};
use std::sync::{Mutex, PoisonError};

/// The tensors of a pass, and the first error of an operation on them.
#[derive(Default)]
pub(super) struct Arena(Mutex<(Vec<Tensor>, Option<candle_core::Error>)>);

impl Arena {
    /// A value of the tensor that `of` gives; on an error a number that is none, and [`Self::take`] tells.
    fn put<const DOUBLE: bool>(
        &self,
        of: impl FnOnce(&[Tensor]) -> candle_core::Result<Tensor>,
    ) -> Value<'_, DOUBLE> {
        let mut arena = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (tensors, error) = &mut *arena;
        match of(tensors) {
            Ok(tensor) => {
                tensors.push(tensor);
                Value::Tensor(self, tensors.len() - 1)
            }
            Err(new) => {
                error.get_or_insert(new);
                Value::Constant(f64::NAN)
            }
        }
    }

    fn take<const DOUBLE: bool>(&self, value: Value<'_, DOUBLE>) -> candle_core::Result<Tensor> {
        let mut arena = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = arena.1.take() {
            return Err(error);
        }
        match value {
            Value::Tensor(_, index) => Ok(arena.0[index].clone()),
            Value::Constant(_) => candle_core::bail!("optimizer: a formula gave no tensor"),
        }
    }
}

/// A tensor, or a constant that all its places share. Constants are of f64 where `DOUBLE`, else of f32, as Keras computes
/// those of a step in the variable's type.
#[derive(Clone, Copy)]
pub(super) enum Value<'a, const DOUBLE: bool> {
    /// A constant.
    Constant(f64),
    /// A tensor, by its place.
    Tensor(&'a Arena, usize),
}

use Value::{Constant, Tensor as Kept};

impl<'a, const DOUBLE: bool> Value<'a, DOUBLE> {
    fn rounded(value: f64) -> Self {
        Constant(if DOUBLE { value } else { f64::from(value as f32) })
    }

    fn map(
        self,
        constant: impl FnOnce(f64) -> f64,
        tensor: impl FnOnce(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Self {
        match self {
            Constant(value) => Self::rounded(constant(value)),
            Kept(arena, index) => arena.put(|tensors| tensor(&tensors[index])),
        }
    }

    /// A function of two values, by what they are.
    fn join(
        self,
        other: Self,
        constants: impl FnOnce(f64, f64) -> f64,
        left: impl FnOnce(&Tensor, f64) -> candle_core::Result<Tensor>,
        right: impl FnOnce(f64, &Tensor) -> candle_core::Result<Tensor>,
        both: impl FnOnce(&Tensor, &Tensor) -> candle_core::Result<Tensor>,
    ) -> Self {
        match (self, other) {
            (Constant(a), Constant(b)) => Self::rounded(constants(a, b)),
            (Kept(arena, a), Constant(b)) => arena.put(|tensors| left(&tensors[a], b)),
            (Constant(a), Kept(arena, b)) => arena.put(|tensors| right(a, &tensors[b])),
            (Kept(arena, a), Kept(_, b)) => arena.put(|tensors| both(&tensors[a], &tensors[b])),
        }
    }
}

impl<const DOUBLE: bool> Add for Value<'_, DOUBLE> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.join(other, |a, b| a + b, |a, b| a + b, |a, b| b + a, |a, b| a + b)
    }
}

impl<const DOUBLE: bool> Sub for Value<'_, DOUBLE> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.join(other, |a, b| a - b, |a, b| a - b, |a, b| b.affine(-1.0, a), |a, b| a - b)
    }
}

impl<const DOUBLE: bool> Mul for Value<'_, DOUBLE> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.join(other, |a, b| a * b, |a, b| a * b, |a, b| b * a, |a, b| a * b)
    }
}

impl<const DOUBLE: bool> Div for Value<'_, DOUBLE> {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        self.join(other, |a, b| a / b, |a, b| a / b, |a, b| b.recip()? * a, |a, b| a / b)
    }
}

impl<const DOUBLE: bool> Number for Value<'_, DOUBLE> {
    fn constant(value: f64) -> Self {
        Self::rounded(value)
    }

    fn sqrt(self) -> Self {
        self.map(f64::sqrt, Tensor::sqrt)
    }

    fn abs(self) -> Self {
        self.map(f64::abs, Tensor::abs)
    }

    fn maximum(self, other: Self) -> Self {
        self.join(other, f64::max, |a, b| a.maximum(b), |a, b| b.maximum(a), |a, b| a.maximum(b))
    }

    fn minimum(self, other: Self) -> Self {
        self.join(other, f64::min, |a, b| a.minimum(b), |a, b| b.minimum(a), |a, b| a.minimum(b))
    }

    fn sign(self) -> Self {
        self.map(|x| x.sign(), Tensor::sign)
    }

    fn power(self, exponent: Self) -> Self {
        match exponent {
            Constant(exponent) => self.map(|x| libm::pow(x, exponent), |x| x.powf(exponent)),
            Kept(..) => Constant(f64::NAN),
        }
    }
}

/// One variable's pass.
pub(super) struct TensorPass<'a, const DOUBLE: bool> {
    pub arena: &'a Arena,
    pub var: &'a Var,
    pub gradient: &'a Gradient,
    pub common: Common,
    pub slots: &'a mut [Tensor],
}

impl<'a, const DOUBLE: bool> Pass for TensorPass<'a, DOUBLE> {
    type Number = Value<'a, DOUBLE>;
    type Output = Result<()>;

    fn each<const N: usize>(
        self,
        rule: impl Fn(Given<Self::Number>, [Self::Number; N]) -> (Self::Number, [Self::Number; N])
        + Copy
        + Send
        + Sync,
    ) -> Result<()> {
        let Self { arena, var, gradient, common, slots } = self;
        let number = Self::Number::constant;
        let value = |tensor: Tensor| arena.put(|_| Ok(tensor));
        let scale = number(common.scale.into());
        let mut w = value(var.as_detached_tensor());
        if common.weight_decay != 0.0 {
            w = w - w * number(common.weight_decay) * number(common.learning_rate);
        }
        let mut g = value(gradient.value.detach());
        if common.scale != 1.0 {
            g = g * scale;
        }
        if common.limit.is_finite() {
            g = g.maximum(number(-common.limit)).minimum(number(common.limit));
        }
        let factor = if common.sizes { scale } else { scale * scale };
        let tokens = gradient.tokens.as_ref().map(|tokens| value(tokens.detach()) * factor);
        let mut old = slots.iter();
        let old = std::array::from_fn(|_| match old.next() {
            Some(slot) => value(slot.clone()),
            None => Constant(f64::NAN),
        });
        let (w, new) = rule(Given { w, g, tokens }, old);
        let new = new.map(|slot| arena.take(slot));
        let w = arena.take(w)?;
        for (slot, new) in slots.iter_mut().zip(new) {
            *slot = new?;
        }
        Ok(var.set(&w)?)
    }
}

//! What formulas compute with, so that each is written once: f32 in the fused pass, tensors elsewhere.

use std::ops::{Add, Div, Mul, Sub};

/// A number of a step. Operators take other numbers of the same kind; constants are rounded to what the variable has.
pub(super) trait Number:
    Copy + Send + Sync + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// A constant of a formula.
    fn constant(value: f64) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The size without the sign.
    fn abs(self) -> Self;
    /// The greater of two.
    fn maximum(self, other: Self) -> Self;
    /// The lesser of two.
    fn minimum(self, other: Self) -> Self;
    /// -1, 0 or 1.
    fn sign(self) -> Self;
    /// `self` to the power `exponent`, a constant.
    fn power(self, exponent: Self) -> Self;
}

macro_rules! numbers {
    ($($float:ident)*) => { $(
        impl Number for $float {
            #[inline(always)]
            fn constant(value: f64) -> Self {
                value as Self
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                self.sqrt()
            }

            #[inline(always)]
            fn abs(self) -> Self {
                self.abs()
            }

            #[inline(always)]
            fn maximum(self, other: Self) -> Self {
                if self > other { self } else { other }
            }

            #[inline(always)]
            fn minimum(self, other: Self) -> Self {
                if self < other { self } else { other }
            }

            #[inline(always)]
            fn sign(self) -> Self {
                let (above, below) = (self > 0.0, self < 0.0);
                if above { 1.0 } else if below { -1.0 } else { 0.0 }
            }

            /// The nearest number to the true power, as Keras's.
            #[inline(always)]
            fn power(self, exponent: Self) -> Self {
                libm::pow(f64::from(self), f64::from(exponent)) as Self
            }
        }
    )* };
}

numbers!(f32 f64);

//! What an optimiser is: its options, the arrays that it keeps, and its formula, written once for all numbers.

use super::number::Number;
use crate::Result;
use std::cell::RefCell;

/// An array that an optimiser keeps for each variable, of the variable's shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slot {
    /// Keras's name.
    pub name: &'static str,
    /// What it is filled with at first.
    pub initial: f64,
    /// Keras makes the arrays of one group variable by variable, and one group after the other.
    pub group: usize,
}

/// Slots of zeros.
pub(super) fn zeros(groups: &[&[&'static str]]) -> Vec<Slot> {
    let slots = groups.iter().enumerate();
    slots
        .flat_map(|(group, names)| names.iter().map(move |&name| Slot { name, initial: 0.0, group }))
        .collect()
}

/// What a formula takes of the gradients of a table's tokens, which Keras on TensorFlow keeps one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tokens {
    /// Their sum only.
    Sum,
    /// The sum of their squares, too.
    Squares,
    /// The sum of their sizes, too.
    Sizes,
}

/// The numbers of a step that hold for all variables.
pub(super) struct Step<V> {
    /// The learning rate.
    pub learning_rate: V,
    /// The step, counted from 1: updates of the variables, not batches whose gradients are gathered.
    pub count: u64,
    /// What [`Formula::remembers`] keeps.
    pub memory: V,
    /// Powers so far, by base and exponent: they are the same for all variables, and slow.
    powers: RefCell<Vec<((u64, u64), V)>>,
}

impl<V: Number> Step<V> {
    pub fn new(learning_rate: f64, count: u64, memory: f64) -> Self {
        let (learning_rate, memory) = (V::constant(learning_rate), V::constant(memory));
        Self { learning_rate, count, memory, powers: RefCell::default() }
    }

    /// `base` to the power of the step's number, `ahead` steps on.
    pub fn power(&self, base: f64, ahead: u64) -> V {
        let (key, mut powers) = ((base.to_bits(), ahead), self.powers.borrow_mut());
        if let Some((_, power)) = powers.iter().find(|(of, _)| *of == key) {
            return *power;
        }
        let power = V::constant(base).power(V::constant((self.count + ahead) as f64));
        powers.push((key, power));
        power
    }
}

/// What a formula is given of a place in a variable.
#[derive(Clone, Copy)]
pub(super) struct Given<V> {
    /// The weight, decayed.
    pub w: V,
    /// The gradient, clipped.
    pub g: V,
    /// What [`Formula::tokens`] asks for, where the gradient comes of tokens.
    pub tokens: Option<V>,
}

impl<V: Number> Given<V> {
    /// The gradient's square, or the sum of its tokens' squares.
    #[inline(always)]
    pub fn square(&self) -> V {
        match self.tokens {
            Some(squares) => squares,
            None => self.g * self.g,
        }
    }

    /// The gradient's size, or the sum of its tokens' sizes.
    #[inline(always)]
    pub fn size(&self) -> V {
        match self.tokens {
            Some(sizes) => sizes,
            None => self.g.abs(),
        }
    }
}

/// One pass over a variable and its slots.
pub(super) trait Pass {
    /// What it computes with.
    type Number: Number;
    /// What it gives.
    type Output;

    /// Puts the new weight and the new values of the slots that `rule` makes of the old ones in their places.
    fn each<const N: usize>(
        self,
        rule: impl Fn(Given<Self::Number>, [Self::Number; N]) -> (Self::Number, [Self::Number; N])
        + Copy
        + Send
        + Sync,
    ) -> Self::Output;
}

/// A class of optimisers.
pub(super) trait Formula {
    /// Keras's learning rate where none is given.
    const LEARNING_RATE: f64 = 0.001;
    /// Keras's weight decay where none is given.
    const WEIGHT_DECAY: Option<f64> = None;

    /// Checks every option's range.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) with the option's name.
    fn check(&self) -> Result<()>;

    /// The arrays that it keeps for each variable, in the order of [`Pass::each`]; three at most.
    fn slots(&self) -> Vec<Slot>;

    /// What it takes of a table's tokens.
    fn tokens(&self) -> Tokens;

    /// The number that it carries from step to step, as it is at first.
    fn remembers(&self) -> Option<f64> {
        None
    }

    /// That number for this step, of which `step` has the old one.
    fn remember<V: Number>(&self, step: &Step<V>) -> V {
        step.memory
    }

    /// Keras's `update_step`: chooses by the options and the step what each place of a variable becomes.
    fn apply<P: Pass>(&self, step: &Step<P::Number>, pass: P) -> P::Output;
}

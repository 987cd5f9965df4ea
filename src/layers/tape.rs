//! The way back of a loss with the gradients of variables taken past Candle's sums.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

/// Watches the layers of this crate while a loss is computed, and gives its gradients as `loss.backward()` does, but faster.
///
/// Candle adds each gradient to zeros of the variable that it belongs to, which takes two more passes over memory and, for
/// variables of 65,536 numbers and more, wakes threads of Candle's own. The gradients of what a tape has watched go
/// straight into the store. [`fit`](crate::train::fit()) has one for every batch.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use candle_recurrent::layers::{GradientTape, Lstm, LstmConfig};
///
/// # fn main() -> candle_core::Result<()> {
/// let variables = VarMap::new();
/// let lstm = Lstm::new(16, LstmConfig::new(8), VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
/// let xs = Tensor::zeros((2, 100, 16), DType::F32, &Device::Cpu)?;
///
/// let tape = GradientTape::new();
/// let loss = lstm.forward(&xs)?.sqr()?.sum_all()?;
/// let gradients = tape.gradient(&loss)?;
/// assert!(variables.all_vars().iter().all(|variable| gradients.get(variable).is_some()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GradientTape {
    number: u64,
    /// The tape that watched before.
    outer: u64,
}

thread_local! {
    /// The number of the tape that watches what this thread computes; 0 if none does.
    static WATCHING: Cell<u64> = const { Cell::new(0) };
    /// The tape whose gradients this thread computes, and those of variables that it has.
    static GIVING: RefCell<(u64, Vec<(Tensor, Vec<f32>)>)> = const { RefCell::new((0, vec![])) };
}

impl GradientTape {
    /// Watches what this thread computes from here on, until it is dropped.
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { number, outer: WATCHING.replace(number) }
    }

    /// The gradients of a loss that was computed meanwhile. What the tape has not watched has its gradients as well.
    ///
    /// # Errors
    /// As `loss.backward()`.
    pub fn gradient(self, loss: &Tensor) -> Result<GradStore> {
        let mut giving = Giving::new(self.number);
        let mut gradients = loss.backward()?;
        for (variable, gradient) in giving.take() {
            let gradient = Tensor::from_vec(gradient, variable.shape(), &Device::Cpu)?;
            let gradient = match gradients.remove(&variable) {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            };
            gradients.insert(&variable, gradient);
        }
        Ok(gradients)
    }
}

impl Drop for GradientTape {
    fn drop(&mut self) {
        WATCHING.set(self.outer);
    }
}

/// The time in which a tape's gradients are computed.
struct Giving {
    outer: (u64, Vec<(Tensor, Vec<f32>)>),
}

impl Giving {
    fn new(number: u64) -> Self {
        Self { outer: GIVING.replace((number, vec![])) }
    }

    /// The gradients so far.
    fn take(&mut self) -> Vec<(Tensor, Vec<f32>)> {
        GIVING.with_borrow_mut(|(_, gradients)| std::mem::take(gradients))
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        GIVING.set(std::mem::take(&mut self.outer));
    }
}

/// The number of the tape that watches, for an op to keep.
pub(super) fn watching() -> u64 {
    WATCHING.get()
}

/// Gives the gradient of a variable to the tape `number`, or gives it back if it is none, or that is not the tape whose
/// gradients are being computed here. So work of another tape, or of none, that a thread takes up meanwhile goes its own way.
pub(super) fn give(number: u64, variable: &Tensor, gradient: Vec<f32>) -> Option<Vec<f32>> {
    GIVING.with_borrow_mut(|(giving, gradients)| {
        if number == 0 || *giving != number || !variable.is_variable() {
            return Some(gradient);
        }
        gradients.push((variable.clone(), gradient));
        None
    })
}

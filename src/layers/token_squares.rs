//! The squares of an embedding's gradients, token by token.
//!
//! Keras on TensorFlow keeps the gradient of an embedding table as one slice a token, and an optimiser that squares it
//! does so slice by slice: RMSprop's mean square of a word gathers `Σ g_t²` over the word's places in the batch, not
//! `(Σ g_t)²`. So a table that is being trained has a companion variable of its shape, whose gradient is `Σ g_t²`, or
//! `Σ |g_t|` for Adamax. The table looks it up when it is read, an optimiser when it takes a step; nobody in between needs to know.

use super::cpu::suits_kernels;
use candle_core::{DType, Device, Result, Tensor, TensorId, Var};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// The companions of all tables in training, by the table's variable, as long as somebody holds them.
static COMPANIONS: LazyLock<Mutex<HashMap<TensorId, Weak<Companion>>>> = LazyLock::new(Mutex::default);

/// The companion of a table, held by whoever reads the table.
#[derive(Clone, Debug)]
pub(crate) struct TokenSquares(Arc<Companion>);

#[derive(Debug)]
struct Companion {
    variable: Var,
    /// Whether the table's gradient has another part than those of its tokens.
    is_dense: AtomicBool,
    /// Whether the companion's gradient is of sizes instead of squares.
    of_sizes: AtomicBool,
}

impl TokenSquares {
    /// That of `table`, if it is a variable: in f32 on the CPU, where the ops know of it. Others train by `(Σ g_t)²`, as
    /// in Keras on PyTorch and JAX.
    pub fn of(table: &Tensor) -> Result<Option<Self>> {
        if !table.is_variable() || !suits_kernels(table) {
            return Ok(None);
        }
        let mut companions = COMPANIONS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(companion) = companions.get(&table.id()).and_then(Weak::upgrade) {
            return Ok(Some(Self(companion)));
        }
        companions.retain(|_, companion| companion.strong_count() > 0);
        let variable = Var::zeros(table.shape(), DType::F32, &Device::Cpu)?;
        let (is_dense, of_sizes) = (AtomicBool::new(false), AtomicBool::new(false));
        let companion = Arc::new(Companion { variable, is_dense, of_sizes });
        companions.insert(table.id(), Arc::downgrade(&companion));
        Ok(Some(Self(companion)))
    }

    /// The companion of a table that is in use, for an optimiser: a backward pass gives its gradient beside the table's.
    pub fn find(table: &Var) -> Option<Self> {
        Self::of_table(table).filter(|found| !found.0.is_dense.load(Ordering::Relaxed))
    }

    /// Says that the table's gradient has another part than those of its tokens, such as a regulariser's: Keras then adds
    /// all up before it squares, and [`find`](Self::find) gives nothing.
    pub fn set_dense(table: &Tensor) {
        if let Some(found) = Self::of_table(table) {
            found.0.is_dense.store(true, Ordering::Relaxed);
        }
    }

    /// Says whether the optimiser of the table goes by `Σ |g_t|` instead of `Σ g_t²`: backward passes from here on give
    /// that to the companion.
    pub fn gather_sizes(&self, sizes: bool) {
        self.0.of_sizes.store(sizes, Ordering::Relaxed);
    }

    /// Whether the companion's gradient is `Σ |g_t|`.
    pub fn gathers_sizes(&self) -> bool {
        self.0.of_sizes.load(Ordering::Relaxed)
    }

    fn of_table(table: &Tensor) -> Option<Self> {
        let companions = COMPANIONS.lock().unwrap_or_else(PoisonError::into_inner);
        companions.get(&table.id()).and_then(Weak::upgrade).map(Self)
    }

    /// The companion: what stands in it is never read.
    pub fn companion(&self) -> &Tensor {
        self.0.variable.as_tensor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_one_companion_as_long_as_somebody_reads_it() {
        let table = Var::zeros((3, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(TokenSquares::find(&table).is_none());
        let first = TokenSquares::of(&table).unwrap().unwrap();
        let second = TokenSquares::of(&table).unwrap().unwrap();
        assert_eq!(first.companion().id(), second.companion().id());
        drop(first);
        assert_eq!(TokenSquares::find(&table).unwrap().companion().id(), second.companion().id());
        drop(second);
        assert!(TokenSquares::find(&table).is_none());
        assert!(TokenSquares::of(&table.as_detached_tensor()).unwrap().is_none());
    }
}

//! A variable's gradient, as the passes take it.

use crate::{Error, Result};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Storage, Tensor, Var};
use rayon::prelude::*;

/// Arrays are reduced and updated in blocks of this many values, so that a sum does not depend on the threads.
pub(super) const BLOCK: usize = 1 << 14;

/// A variable's gradient, contiguous, and what its tokens come to where it is a table's.
pub(super) struct Gradient {
    pub value: Tensor,
    /// The sum of the tokens' squares or sizes, if it is asked for.
    pub tokens: Option<Tensor>,
}

impl Gradient {
    /// That of `var`, if it has one; `companion` is the tensor whose gradient the tokens' sum is.
    ///
    /// # Errors
    /// Another shape or type than the variable's.
    pub fn of(name: &str, var: &Var, companion: Option<&Tensor>, grads: &GradStore) -> Result<Option<Self>> {
        let Some(value) = grads.get(var) else { return Ok(None) };
        let tokens = companion.and_then(|companion| grads.get(companion));
        for tensor in std::iter::once(value).chain(tokens) {
            if tensor.shape() != var.shape() || tensor.dtype() != var.dtype() {
                let expected = format!("{:?} of {:?}", var.dims(), var.dtype());
                let found = format!("{:?} of {:?}", tensor.dims(), tensor.dtype());
                let what = format!("the gradient needs the variable's shape, {expected}, not {found}");
                return Err(Error::argument(name, what));
            }
        }
        let tokens = tokens.map(Tensor::contiguous).transpose()?;
        Ok(Some(Self { value: value.contiguous()?, tokens }))
    }

    /// The gradient of the loss before it was scaled.
    pub fn unscaled(self, factor: f64, sizes: bool) -> candle_core::Result<Self> {
        let of_tokens = if sizes { factor } else { factor * factor };
        let tokens = self.tokens.map(|tokens| tokens / of_tokens).transpose()?;
        Ok(Self { value: (self.value / factor)?, tokens })
    }

    /// The square of the norm, that of the tokens' gradients where `tokens` holds their squares; blocks of fixed size,
    /// added in order.
    pub fn square_sum(&self, has_squares: bool) -> Result<f64> {
        let (tensor, squared) = match &self.tokens {
            Some(squares) if has_squares => (squares, true),
            _ => (&self.value, false),
        };
        let (storage, layout) = tensor.storage_and_layout();
        if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) =
            (&*storage, layout.contiguous_offsets())
        {
            let block = |block: &[f32]| -> f64 {
                block.iter().map(|&x| f64::from(x)).map(|x| if squared { x } else { x * x }).sum()
            };
            let values = &values[start..end];
            return Ok(match values.len() > BLOCK {
                true => values.par_chunks(BLOCK).map(block).collect::<Vec<_>>().iter().sum(),
                false => block(values),
            });
        }
        drop(storage);
        let tensor = tensor.to_dtype(DType::F32)?;
        let tensor = if squared { tensor } else { tensor.sqr()? };
        Ok(f64::from(tensor.sum_all()?.to_scalar::<f32>()?))
    }
}

/// The factor that brings a gradient of this squared norm to at most `limit`; NaN if the norm is not finite.
pub(super) fn clip_scale(square_sum: f64, limit: f64) -> f32 {
    let norm = square_sum.sqrt();
    match norm.is_finite() {
        true => (limit / norm.max(limit)) as f32,
        false => f32::NAN,
    }
}

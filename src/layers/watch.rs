//! Looking at what each layer gives.

use super::flow::{Flow, Values};
use candle_core::{DType, Result, Tensor};
use std::sync::{Mutex, PoisonError};

/// Looks for the first layer that gives NaN or infinite numbers.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Option<String>>);

impl Watch {
    /// Looks at what a layer gives. A layer within another one is looked at first.
    pub(in crate::layers) fn look(&self, name: &str, outputs: &[Flow]) -> Result<()> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for output in outputs {
            if found.is_some() || matches!(output.values, Values::Texts(_)) {
                continue;
            }
            if !is_finite(&output.values.tensor()?)? {
                *found = Some(name.to_string());
            }
        }
        Ok(())
    }

    /// The layer's name.
    pub fn found(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a tensor holds no NaN or infinite numbers.
///
/// # Errors
/// Candle's own only.
pub fn is_finite(tensor: &Tensor) -> Result<bool> {
    if !tensor.dtype().is_float() {
        return Ok(true);
    }
    // Zero times what is not finite is not zero; sums of great numbers would not be finite either.
    let zeros = (tensor.detach() * 0.0)?.to_dtype(DType::F32)?.sum_all()?;
    Ok(zeros.to_scalar::<f32>()?.is_finite())
}

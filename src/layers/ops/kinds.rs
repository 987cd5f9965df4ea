//! Truths, whole numbers and floats. A comparison gives u8, an index or a cast i64, all else floats; ids come as u32.

use crate::layers::shape::Checked;
use candle_core::{DType, Result, Tensor, bail};

/// What the numbers of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Numbers {
    /// 0 and 1: u8.
    Truths,
    /// Any other type of whole numbers.
    Whole,
    /// Floats.
    Floats,
}

pub fn numbers(xs: &Tensor) -> Numbers {
    match xs.dtype() {
        DType::U8 => Numbers::Truths,
        dtype if dtype.is_int() => Numbers::Whole,
        _ => Numbers::Floats,
    }
}

/// The numbers as floats.
pub fn floats(xs: &Tensor) -> Result<Tensor> {
    if xs.dtype().is_float() { Ok(xs.clone()) } else { xs.to_dtype(DType::F32) }
}

/// Whether each number is other than 0: u8.
pub fn truths(xs: &Tensor) -> Result<Tensor> {
    match numbers(xs) {
        Numbers::Truths => xs.ne(0u8),
        Numbers::Whole => xs.to_dtype(DType::F64)?.ne(0.0),
        Numbers::Floats => xs.ne(0.0),
    }
}

/// Tensors of one type that holds the numbers of all, and what these are. Whole numbers go as f64, where all that i32
/// holds have a place.
pub fn together(tensors: &[&Tensor]) -> Result<(Vec<Tensor>, Numbers)> {
    let kind = tensors.iter().map(|xs| numbers(xs)).max().unwrap_or(Numbers::Floats);
    let double = tensors.iter().any(|xs| xs.dtype() == DType::F64);
    let dtype = match kind {
        Numbers::Floats if !double => DType::F32,
        _ => DType::F64,
    };
    let tensors = tensors.iter().map(|xs| xs.to_dtype(dtype)).collect::<Result<_>>()?;
    Ok((tensors, kind))
}

/// What was computed of [`together`] as numbers of that kind again.
pub fn back(xs: Tensor, kind: Numbers) -> Result<Tensor> {
    match kind {
        Numbers::Floats => Ok(xs),
        Numbers::Whole => xs.to_dtype(DType::I64),
        Numbers::Truths => xs.ne(0.0),
    }
}

/// The numbers in Keras's type `dtype`.
pub fn cast(xs: &Tensor, dtype: &str) -> Result<Tensor> {
    match dtype {
        "float32" | "float64" => floats(xs),
        "int32" | "int64" if numbers(xs) == Numbers::Whole => Ok(xs.clone()),
        // Towards 0, as Keras does.
        "int32" | "int64" => xs.to_dtype(DType::I64),
        "bool" => truths(xs),
        other => bail!("cannot be of the type {other}"),
    }
}

/// Refuses types whose numbers are not Keras's here.
pub fn check_dtype(dtype: Option<&str>) -> Checked<()> {
    match dtype {
        None | Some("float32" | "float64" | "int32" | "int64" | "bool") => Ok(()),
        Some(other) => Err(format!(
            "dtype is `{other}`, expected float32, float64, int32, int64 or bool: other types round or wrap, which is not \
             done here"
        )),
    }
}

//! How one variable of Keras stands in another layout.
//!
//! Keras multiplies `x · kernel`, PyTorch `weight · x`: matrices are transposed, convolution kernels (k…, in, out) become
//! (out, in, k…). PyTorch's LSTM has Keras's gates i, f, c, o; its GRU has r, z, n where Keras has z, r, h. PyTorch's
//! recurrent layers add two biases; only a GRU needs both.

use crate::layers::swap_first_gates;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};

/// The change from Keras's variable to the layout's tensors, and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// The same values.
    Same,
    /// The same values without the axes of length 1 before the last.
    Squeezed,
    /// A matrix transposed.
    Transposed,
    /// (k…, in, out) to (out, in, k…).
    Convolution,
    /// A recurrent layer's matrix, (n, gates · units) to (gates · units, n).
    Gates { swap: bool },
    /// One bias to the input's bias and zeros for the recurrent one; back, their sum.
    Bias,
    /// A GRU's two rows of biases to the two biases.
    GruBias,
    /// No variable of Keras: this value everywhere.
    Constant(f32),
}

impl Form {
    /// The shapes of the layout's tensors for a variable of `shape`.
    pub fn shapes(self, shape: &[usize]) -> Vec<Vec<usize>> {
        match self {
            Self::Same | Self::Constant(_) => vec![shape.to_vec()],
            Self::Squeezed => vec![shape.last().copied().into_iter().collect()],
            Self::Transposed | Self::Gates { .. } => vec![shape.iter().rev().copied().collect()],
            Self::Convolution => match shape {
                [window @ .., input, output] => vec![[&[*output, *input], window].concat()],
                _ => vec![shape.to_vec()],
            },
            Self::Bias => vec![shape.to_vec(); 2],
            Self::GruBias => vec![shape.last().copied().into_iter().collect(); 2],
        }
    }

    /// Keras's variable as the layout's tensors.
    pub fn apply(self, variable: &Tensor) -> Result<Vec<Tensor>> {
        let tensors = match self {
            Self::Same => vec![variable.clone()],
            Self::Squeezed => vec![variable.flatten_all()?],
            Self::Transposed | Self::Gates { swap: false } => vec![variable.t()?],
            Self::Convolution => vec![variable.permute(convolution(variable.rank()))?],
            Self::Gates { swap: true } => vec![swap_first_gates(&variable.t()?)?],
            Self::Bias => vec![variable.clone(), variable.zeros_like()?],
            Self::GruBias => {
                let rows = variable.chunk(2, 0)?;
                let swapped = rows.iter().map(|row| swap_first_gates(&row.flatten_all()?));
                swapped.collect::<candle_core::Result<_>>()?
            }
            Self::Constant(value) => vec![Tensor::full(value, variable.shape(), &Device::Cpu)?],
        };
        tensors.iter().map(|tensor| Ok(tensor.contiguous()?)).collect()
    }

    /// The layout's tensors as Keras's variable of `shape`; none for a constant.
    ///
    /// # Errors
    /// Says where a constant has another value.
    pub fn revert(self, tensors: &[Tensor], shape: &[usize]) -> Result<Option<Tensor>> {
        let tensors: Vec<Tensor> =
            tensors.iter().map(|tensor| tensor.to_dtype(DType::F32)).collect::<candle_core::Result<_>>()?;
        let variable = match (self, tensors.as_slice()) {
            (Self::Same | Self::Squeezed, [tensor]) => tensor.reshape(shape)?,
            (Self::Transposed | Self::Gates { swap: false }, [tensor]) => tensor.t()?,
            (Self::Convolution, [tensor]) => {
                let mut axes: Vec<usize> = (2..tensor.rank()).collect();
                axes.extend([1, 0]);
                tensor.permute(axes)?
            }
            (Self::Gates { swap: true }, [tensor]) => swap_first_gates(tensor)?.t()?,
            (Self::Bias, [input, recurrent]) => (input + recurrent)?,
            (Self::GruBias, [input, recurrent]) => {
                Tensor::stack(&[swap_first_gates(input)?, swap_first_gates(recurrent)?], 0)?
            }
            (Self::Constant(value), [tensor]) => {
                let values = tensor.flatten_all()?.to_vec1::<f32>()?;
                if values.iter().any(|&found| found != value) {
                    return Err(Error::argument("weights", format!("are not {value} everywhere")));
                }
                return Ok(None);
            }
            _ => return Err(Error::argument("weights", "are not as many as expected")),
        };
        Ok(Some(variable.contiguous()?))
    }
}

/// (k…, in, out) to (out, in, k…).
fn convolution(rank: usize) -> Vec<usize> {
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.reverse();
    if let Some(window) = axes.get_mut(2..) {
        window.reverse();
    }
    axes
}

//! The variables of candle-nn's and PyTorch's recurrent layers (`weight_ih_l0`, …) as Keras's: a layer that finds them
//! in place of its own takes them.
//!
//! Matrices are transposed there, and there are two biases. An LSTM has Keras's gates i, f, c, o; a GRU has r, z, n where
//! Keras has z, r, h, and needs both biases (`reset_after`).

use super::settings::Settings;
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::Kind;

/// Kernel, recurrent kernel and bias of a layer over `input_dim` features; none where `vb` holds no `weight_ih_l0`, or
/// holds Keras's variables.
pub fn read(
    settings: &Settings,
    input_dim: usize,
    vb: &VarBuilder,
) -> Result<Option<(Tensor, Tensor, Option<Tensor>)>> {
    if vb.contains_tensor("kernel") || !vb.contains_tensor("weight_ih_l0") {
        return Ok(None);
    }
    let name = vb.prefix();
    if settings.kind == (Kind::Gru { reset_after: false }) {
        bail!("layer {name}: candle-nn's variables are those of a GRU with reset_after: true; set it")
    }
    let swaps = matches!(settings.kind, Kind::Gru { .. });
    let rows = settings.kind.gates() * settings.units;
    let matrix = |variable: &str, columns: usize| -> Result<Tensor> {
        let matrix = vb.get((rows, columns), variable)?;
        if matrix.is_variable() {
            bail!(
                "layer {name}: candle-nn's variables are rearranged, so that a layer cannot train them where they are; \
                 save them, and load them with VarBuilder::from_mmaped_safetensors"
            )
        }
        let matrix = if swaps { swap_first_gates(&matrix)? } else { matrix };
        matrix.t()?.contiguous()
    };
    let bias = |variable: &str| -> Result<Tensor> {
        let bias = vb.get(rows, variable)?;
        if swaps { swap_first_gates(&bias) } else { Ok(bias) }
    };
    let has_bias = vb.contains_tensor("bias_ih_l0");
    if has_bias != settings.use_bias {
        let (given, needed) = if has_bias { ("has biases", "true") } else { ("has no biases", "false") };
        bail!("layer {name}: the candle-nn layer {given}; set use_bias to {needed}")
    }
    let bias = match (has_bias, swaps) {
        (false, _) => None,
        (true, true) => Some(Tensor::stack(&[bias("bias_ih_l0")?, bias("bias_hh_l0")?], 0)?),
        (true, false) => Some((bias("bias_ih_l0")? + bias("bias_hh_l0")?)?),
    };
    Ok(Some((matrix("weight_ih_l0", input_dim)?, matrix("weight_hh_l0", settings.units)?, bias)))
}

/// The first two of three blocks along axis 0 exchanged: z, r, h to r, z, n, and back.
pub(crate) fn swap_first_gates(tensor: &Tensor) -> Result<Tensor> {
    let blocks = tensor.chunk(3, 0)?;
    let [z, r, h] = blocks.as_slice() else { bail!("{:?} does not hold three gates", tensor.dims()) };
    Tensor::cat(&[r, z, h], 0)
}

//! The variables of a recurrent layer.

use super::candle_layout;
use super::settings::Settings;
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

/// The settings of a recurrent layer with its variables.
#[derive(Clone, Debug)]
pub struct Parameters {
    pub settings: Settings,
    pub input_dim: usize,
    pub kernel: Tensor,
    pub recurrent_kernel: Tensor,
    pub bias: Option<Tensor>,
    /// The layer's path in the model: its dropout masks are drawn from a stream of that name.
    pub name: String,
}

impl Parameters {
    /// The variables of a layer over `input_dim` features, taken from `vb`.
    pub fn new(settings: Settings, input_dim: usize, vb: &VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = settings.check() {
            bail!("layer {name}: {what}")
        }
        if input_dim == 0 {
            bail!("layer {name}: the input needs at least 1 feature")
        }
        if let Some((kernel, recurrent_kernel, bias)) = candle_layout::read(&settings, input_dim, vb)? {
            return Ok(Self { settings, input_dim, kernel, recurrent_kernel, bias, name });
        }
        let variables = settings.variables(input_dim);
        let mut tensors = variables.iter().map(|variable| variable.get(vb));
        let (Some(kernel), Some(recurrent_kernel)) = (tensors.next(), tensors.next()) else {
            bail!("layer {name}: kernel and recurrent_kernel are needed")
        };
        let (kernel, recurrent_kernel) = (kernel?, recurrent_kernel?);
        Ok(Self { settings, input_dim, kernel, recurrent_kernel, bias: tensors.next().transpose()?, name })
    }
}

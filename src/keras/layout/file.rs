//! A `.safetensors` in any of the layouts.

use super::Layout;
use crate::model::{ModelConfig, Weights};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::Path;

/// Reads the variables of `config` from a `.safetensors` in Keras's, PyTorch's or candle-nn's names, whichever they are;
/// `origin` stands for the file in messages. Nothing is executed: the format holds numbers only.
///
/// # Errors
/// [`Error::File`] where it is no such file, or as [`Layout::revert`] and [`Weights::from_bytes`].
pub fn weights_from_safetensors(
    config: &ModelConfig,
    bytes: &[u8],
    origin: &Path,
    device: &Device,
) -> Result<Weights> {
    let fail = |what: String| Error::file(origin, what);
    let within = |error: Error| fail(error.to_string()).with_source(error);
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| fail(format!("not a whole safetensors file ({e}); is it truncated?")).with_source(e))?;
    let layout = Layout::detect(file.names().into_iter());
    if layout == Layout::Keras {
        return Weights::from_bytes(config, bytes, origin, device);
    }
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        // Counters and other integers are no weights.
        let Some(dtype) = DType::try_from(view.dtype()).ok().filter(DType::is_float) else { continue };
        let tensor = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)?;
        tensors.insert(name.to_string(), tensor);
    }
    let variables = layout.revert(config, &tensors).map_err(within)?;
    Weights::from_tensors(config, variables, device).map_err(within)
}

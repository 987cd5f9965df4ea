//! Weights alone, in any of the layouts: a `.safetensors`, or what PyTorch's `torch.save` wrote.

use super::Layout;
use crate::formats::torch::state_dict;
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
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| fail(format!("not a whole safetensors file ({e}); is it truncated?")).with_source(e))?;
    if Layout::detect(file.names().into_iter()) == Layout::Keras {
        return Weights::from_bytes(config, bytes, origin, device);
    }
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        // Counters and other integers are no weights.
        let Some(dtype) = DType::try_from(view.dtype()).ok().filter(DType::is_float) else { continue };
        let tensor = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)?;
        tensors.insert(name.to_string(), tensor);
    }
    weights(config, tensors, origin, device)
}

/// Reads the variables of `config` from what PyTorch's `torch.save` wrote (`.pt`, `.pth`, `.bin`, `.ckpt`): a
/// `state_dict`, a checkpoint's dictionary with one in it, or a module. `origin` stands for the file in messages.
///
/// The pickle in the file is read as data. Nothing in it is executed and no class is looked up; of a module the
/// parameters, the buffers and the modules in it are taken. Numbers may be float32, float64, float16 or bfloat16, and
/// become float32; integers (counters) are no weights. Views and storages that are shared are honoured.
///
/// # Errors
/// [`Error::File`] where the file is damaged, holds no weights or several sets of them, or tensors of another kind; or as
/// [`Layout::revert`].
pub fn weights_from_torch(
    config: &ModelConfig,
    bytes: &[u8],
    origin: &Path,
    device: &Device,
) -> Result<Weights> {
    let tensors = state_dict(bytes).map_err(|what| Error::file(origin, what))?;
    weights(config, tensors, origin, device)
}

fn weights(
    config: &ModelConfig,
    tensors: BTreeMap<String, Tensor>,
    origin: &Path,
    device: &Device,
) -> Result<Weights> {
    let within = |error: Error| Error::file(origin, error.to_string()).with_source(error);
    let layout = Layout::detect(tensors.keys().map(String::as_str));
    let tensors = match layout {
        Layout::Keras => tensors,
        _ => layout.revert(config, &without_wrappers(config, tensors)).map_err(within)?,
    };
    Weights::from_tensors(config, tensors, device).map_err(within)
}

/// The modules that PyTorch's own tools and habits put around a model: `DataParallel`, `torch.compile`, Lightning.
const WRAPPERS: [&str; 4] = ["module.", "_orig_mod.", "model.", "net."];

/// The tensors without the wrappers that all their names begin with, unless the model has a layer of that name.
fn without_wrappers(config: &ModelConfig, mut tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let own = |wrapper: &str| {
        config.layers.iter().any(|layer| Some(layer.name.as_str()) == wrapper.strip_suffix('.'))
    };
    let around = |tensors: &BTreeMap<String, Tensor>| {
        let all = |wrapper: &&str| !own(wrapper) && tensors.keys().all(|name| name.starts_with(wrapper));
        WRAPPERS.into_iter().find(all).filter(|_| !tensors.is_empty())
    };
    while let Some(wrapper) = around(&tensors) {
        tensors =
            tensors.into_iter().map(|(name, tensor)| (name[wrapper.len()..].to_string(), tensor)).collect();
    }
    tensors
}

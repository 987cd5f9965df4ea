//! Weights as a safetensors file whose bytes depend on nothing but its content.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use safetensors::View;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A safetensors file of named tensors and metadata.
///
/// `safetensors::serialize` keeps metadata in a hash map, whose order changes from run to run; here both the metadata
/// and the tensors stand in the order of their names, so the same content gives the same bytes. Layout: the header's
/// length (8 bytes, little-endian), the header (JSON, padded with spaces to 8 bytes), the tensors' bytes.
///
/// # Errors
/// [`Error::Argument`] for a tensor of a type that Candle does not store (below 8 bits).
pub fn to_safetensors(
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<&str, String>,
) -> Result<Vec<u8>> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!(metadata));
    let mut order: Vec<(&String, &Tensor)> = tensors.iter().collect();
    // The widest types first keeps every tensor aligned; within a type by name.
    order.sort_by_key(|(_, tensor)| std::cmp::Reverse(Tensor::dtype(tensor).size_in_bytes()));
    let mut data: Vec<u8> = Vec::new();
    for (name, tensor) in order {
        let dtype = Tensor::dtype(tensor);
        if matches!(dtype, DType::F6E2M3 | DType::F6E3M2 | DType::F4 | DType::F8E8M0) {
            return Err(Error::argument(name, format!("values of type {dtype:?} cannot be written")));
        }
        let tensor = tensor.to_device(&Device::Cpu)?;
        let begin = data.len();
        data.extend_from_slice(&View::data(&tensor));
        let entry = json!({ "dtype": safetensors::Dtype::from(dtype), "shape": tensor.dims(), "data_offsets": [begin, data.len()] });
        header.insert(name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + header.len() + data.len());
    bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
    bytes.append(&mut header);
    bytes.append(&mut data);
    Ok(bytes)
}

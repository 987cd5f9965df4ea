//! `.safetensors`, whose bytes depend on nothing but its content.

use super::format::{ArrayHead, Format, Holds, Opened, Put, Sink};
use super::mapped::Map;
use super::stored::{Bytes, Kind, StoredArray};
use super::writer::Plain;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use safetensors::View;
use safetensors::tensor::{Dtype, TensorInfo};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

/// The format.
pub(super) struct Safetensors;

impl Format for Safetensors {
    fn suffixes(&self) -> &'static [&'static str] {
        &["safetensors"]
    }

    fn holds(&self) -> Holds {
        Holds::Arrays
    }

    fn open<'a>(&self, path: &'a Path) -> Result<Opened<'a>> {
        let map = Arc::new(Map::open(path)?);
        let (header, metadata) = safetensors::SafeTensors::read_metadata(map.bytes())
            .map_err(|error| Error::file(path, format!("cannot be read: {error}")).with_source(error))?;
        let mut names = metadata.offset_keys();
        names.sort_unstable();
        let array = move |name: &str| {
            let info =
                metadata.info(name).ok_or_else(|| Error::file(path, format!("holds no array {name}")))?;
            stored(&map, 8 + header, info).map_err(|what| Error::file(path, format!("{name}: {what}")))
        };
        Ok(Opened { names, array: Box::new(array), texts: None })
    }

    fn order(&self, arrays: &[ArrayHead]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..arrays.len()).collect();
        order.sort_by(|&a, &b| rank(&arrays[a]).cmp(&rank(&arrays[b])));
        order
    }

    fn sink(&self, mut out: BufWriter<File>, arrays: &[ArrayHead]) -> Result<Box<dyn Sink>> {
        let ordered: Vec<&ArrayHead> = self.order(arrays).into_iter().map(|index| &arrays[index]).collect();
        let head = header(&ordered, &BTreeMap::new())?;
        out.write_all(&head).map_err(|error| Error::argument("safetensors", error.to_string()))?;
        Ok(Box::new(Plain { out, head: |_| vec![] }))
    }

    fn encode(&self, rows: &Tensor, put: Put) -> Result<()> {
        put(&View::data(&rows.to_device(&Device::Cpu)?.contiguous()?))
    }
}

/// The widest types first keeps every tensor aligned; within a type by name.
fn rank(array: &ArrayHead) -> (std::cmp::Reverse<usize>, &str) {
    (std::cmp::Reverse(array.dtype.size_in_bytes()), &array.name)
}

/// The header of a file of these tensors in this order, with its length before it.
fn header(tensors: &[&ArrayHead], metadata: &BTreeMap<&str, String>) -> Result<Vec<u8>> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), json!(metadata));
    let mut begin = 0;
    for tensor in tensors {
        let dtype = tensor.dtype;
        if matches!(dtype, DType::F6E2M3 | DType::F6E3M2 | DType::F4 | DType::F8E8M0) {
            let what = format!("values of type {dtype:?} cannot be written");
            return Err(Error::argument(&tensor.name, what));
        }
        let end = begin + tensor.count() * dtype.size_in_bytes();
        let entry =
            json!({ "dtype": Dtype::from(dtype), "shape": tensor.shape, "data_offsets": [begin, end] });
        header.insert(tensor.name.clone(), entry);
        begin = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([(header.len() as u64).to_le_bytes().as_slice(), &header].concat())
}

/// An array of a file whose numbers begin at the byte `start`.
fn stored(map: &Arc<Map>, start: usize, info: &TensorInfo) -> std::result::Result<StoredArray, String> {
    let (from, to) = info.data_offsets;
    let content = Bytes::of_map(map, start.saturating_add(from)..start.saturating_add(to))
        .ok_or("the file ends too early")?;
    let kind = match info.dtype {
        Dtype::BOOL | Dtype::U8 => Kind::U8,
        Dtype::I8 => Kind::I8,
        Dtype::U16 => Kind::U16,
        Dtype::I16 => Kind::I16,
        Dtype::U32 => Kind::U32,
        Dtype::I32 => Kind::I32,
        Dtype::U64 => Kind::U64,
        Dtype::I64 => Kind::I64,
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::Bf16,
        Dtype::F32 => Kind::F32,
        Dtype::F64 => Kind::F64,
        Dtype::F8_E4M3 => {
            let tensor = Tensor::from_raw_buffer(content.get(), DType::F8E4M3, &info.shape, &Device::Cpu);
            return tensor
                .map_err(crate::Error::from)
                .and_then(|tensor| StoredArray::of_tensor(&tensor))
                .map_err(|error| error.to_string());
        }
        other => return Err(format!("an array of type {other:?}, expected floats or whole numbers")),
    };
    StoredArray::new(content, kind, false, info.shape.clone())
}

/// A safetensors file of named tensors and metadata.
///
/// `safetensors::serialize` keeps metadata in a hash map, whose order changes from run to run; here both the metadata
/// and the tensors stand in the order of their names, so the same content gives the same bytes. Layout: the header's
/// length (8 bytes, little-endian), the header (JSON, padded with spaces to 8 bytes), the tensors' bytes.
///
/// # Errors
/// [`Error::Argument`] for a tensor of a type that Candle does not store (below 8 bits).
pub(crate) fn to_safetensors(
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<&str, String>,
) -> Result<Vec<u8>> {
    let heads: Vec<ArrayHead> = tensors
        .iter()
        .map(|(name, tensor)| ArrayHead {
            name: name.clone(),
            dtype: Tensor::dtype(tensor),
            shape: tensor.dims().to_vec(),
        })
        .collect();
    let mut heads: Vec<&ArrayHead> = heads.iter().collect();
    heads.sort_by(|a, b| rank(a).cmp(&rank(b)));
    let mut bytes = header(&heads, metadata)?;
    for tensor in heads.iter().filter_map(|head| tensors.get(&head.name)) {
        bytes.extend_from_slice(&View::data(&tensor.to_device(&Device::Cpu)?));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_weights_depend_on_nothing_else() -> Result<()> {
        let device = &Device::Cpu;
        let weights = BTreeMap::from([
            ("lstm.kernel".to_string(), Tensor::rand(-1f32, 1.0, (16, 32), device)?),
            ("dense.bias".to_string(), Tensor::rand(-1f32, 1.0, 1, device)?),
            ("dense.kernel".to_string(), Tensor::rand(-1f32, 1.0, (8, 1), device)?),
        ]);
        let pairs = [("format", "x"), ("model", "lstm"), ("epoch", "9"), ("val_loss", "0.5")];
        let metadata = BTreeMap::from(pairs.map(|(key, value)| (key, value.to_string())));
        let bytes = to_safetensors(&weights, &metadata)?;
        // The header is this text on every machine and in every run: names in order.
        let start = r#"{"__metadata__":{"epoch":"9","format":"x","model":"lstm","val_loss":"0.5"},"dense.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"dense.kernel":"#;
        assert!(bytes[8..].starts_with(start.as_bytes()), "{}", String::from_utf8_lossy(&bytes[8..300]));
        // The format's own crate reads them: the tensors and the metadata.
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
        let read = header.metadata().as_ref().expect("metadata");
        assert_eq!(read.get("val_loss").map(String::as_str), Some("0.5"));
        assert_eq!(read.len(), 4);
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
        assert_eq!(file.len(), weights.len());
        for (name, tensor) in &weights {
            let view = file.tensor(name).expect("the tensor");
            assert_eq!(view.shape(), tensor.dims());
            let values = Tensor::from_raw_buffer(view.data(), tensor.dtype(), tensor.dims(), device)?;
            assert_eq!(
                values.flatten_all()?.to_vec1::<f32>()?,
                tensor.flatten_all()?.to_vec1::<f32>()?,
                "{name}"
            );
        }
        Ok(())
    }

    /// Types of different widths stay aligned, whatever their names.
    #[test]
    fn the_widest_types_come_first() -> Result<()> {
        let device = &Device::Cpu;
        let tensors = BTreeMap::from([
            ("a".to_string(), Tensor::new(&[1u8, 2, 3], device)?),
            ("b".to_string(), Tensor::new(&[1f64, 2.0], device)?),
            ("c".to_string(), Tensor::new(&[1f32], device)?),
        ]);
        let bytes = to_safetensors(&tensors, &BTreeMap::new())?;
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
        assert_eq!(file.tensor("b").expect("b").data(), [1f64.to_le_bytes(), 2f64.to_le_bytes()].concat());
        assert_eq!(file.tensor("c").expect("c").data(), 1f32.to_le_bytes());
        assert_eq!(file.tensor("a").expect("a").data(), [1, 2, 3]);
        let start = |name: &str| {
            let data = file.tensor(name).expect("a tensor").data().as_ptr() as usize;
            data - bytes.as_ptr() as usize
        };
        assert!(start("b") % 8 == 0 && start("c") % 4 == 0);
        Ok(())
    }
}

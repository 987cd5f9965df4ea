//! HDF5 as Keras writes it: groups, attributes of text, arrays of floats.
//!
//! Everything that a file says of its own sizes is checked before memory is asked for, and whatever the parser makes of
//! a damaged file, even a panic, comes out as one line.

use super::array::Array;
use crate::formats::archive::limit;
use crate::panics;
use hdf5_pure::{
    AttrValue, Dataset, Datatype, DatatypeByteOrder, Error, File, FloatingPointLayout, FormatError, Group,
};
use std::cell::Cell;
use std::collections::HashMap;

/// An open file.
pub(super) struct Hdf5 {
    file: File,
    /// Bytes of arrays that may still be read.
    budget: Cell<usize>,
}

/// A failure, in words that follow the file's name.
type Result<T> = std::result::Result<T, String>;

/// Runs a call of the parser.
fn contain<T>(what: &str, call: impl FnOnce() -> std::result::Result<T, Error>) -> Result<T> {
    found(what, call)?
        .ok_or_else(|| format!("{what}: there is no such part in the file; is it damaged or cut off?"))
}

/// The same; nothing where the file does not have what is asked for.
fn found<T>(what: &str, call: impl FnOnce() -> std::result::Result<T, Error>) -> Result<Option<T>> {
    match panics::contain(call) {
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(
            Error::Format(FormatError::PathNotFound(_)) | Error::NotAGroup(_) | Error::NotADataset(_),
        )) => Ok(None),
        // What a link names instead of an address.
        Some(Err(Error::Format(FormatError::UnexpectedEof { expected: usize::MAX, .. }))) => {
            Err(format!("{what}: is a link, and links to other files or places are not followed"))
        }
        Some(Err(error)) => Err(format!("{what}: {error}; is the file damaged or cut off?")),
        None => Err(format!("{what}: {DAMAGED}")),
    }
}

/// What is said of a panic.
const DAMAGED: &str = "the HDF5 structure is damaged; download or copy the file again";

impl Hdf5 {
    pub fn open(bytes: Vec<u8>) -> Result<Self> {
        let budget = Cell::new(limit(bytes.len()));
        let file = contain("cannot be opened as HDF5", || File::from_bytes(bytes))?;
        Ok(Self { file, budget })
    }

    /// The group at `path` (`""` for the root), if there is one.
    fn find_group(&self, path: &str) -> Result<Option<Group>> {
        match path {
            "" => {
                panics::contain(|| self.file.root()).map(Some).ok_or_else(|| format!("the root: {DAMAGED}"))
            }
            _ => found(path, || self.file.group(path)),
        }
    }

    /// Whether there is a group at `path` (`""` for the root).
    pub fn has_group(&self, path: &str) -> Result<bool> {
        Ok(self.find_group(path)?.is_some())
    }

    /// The names of the groups and arrays right below `path`.
    pub fn children(&self, path: &str) -> Result<Vec<String>> {
        let Some(group) = self.find_group(path)? else { return Ok(vec![]) };
        let mut names = contain(path, || group.groups())?;
        names.extend(contain(path, || group.datasets())?);
        Ok(names)
    }

    /// The attributes of the group at `path`.
    pub fn attributes(&self, path: &str) -> Result<Attributes> {
        let shown = if path.is_empty() { "the root" } else { path };
        let group = self.find_group(path)?.ok_or_else(|| format!("holds no group `{shown}`"))?;
        let attributes = contain(shown, || group.attrs())?;
        // The parser leaves out what it cannot read, as if it were not there.
        let names = contain(shown, || group.attr_datatypes())?.into_keys();
        let is_needed = |name: &String| NEEDED.iter().any(|needed| name.starts_with(needed));
        match names.filter(|name| is_needed(name) && !attributes.contains_key(name)).min() {
            Some(name) => {
                Err(format!("{shown}: the attribute {name} cannot be read; is the file damaged or cut off?"))
            }
            None => Ok(Attributes(attributes)),
        }
    }

    /// Whether there is an array at `path`.
    pub fn has_array(&self, path: &str) -> Result<bool> {
        Ok(found(path, || self.file.dataset(path))?.is_some())
    }

    /// The shape of the array at `path`.
    pub fn shape(&self, path: &str) -> Result<Vec<usize>> {
        let shape = contain(path, || self.file.dataset(path)?.shape())?;
        Ok(shape.into_iter().map(|axis| axis as usize).collect())
    }

    /// The one whole number at `path`, which may be written as a float.
    pub fn count(&self, path: &str) -> Result<u64> {
        let dataset = contain(path, || self.file.dataset(path))?;
        let one = panics::contain(|| -> std::result::Result<Option<u64>, Error> {
            // Keras keeps no such number in chunks, whose size may lie.
            if dataset.shape()?.iter().any(|&axis| axis != 1) || dataset.chunk_shape()?.is_some() {
                return Ok(None);
            }
            let Datatype::FixedPoint { size, byte_order, layout, .. } = dataset.datatype()? else {
                return Ok(None);
            };
            let mut raw = dataset.read_raw()?;
            if byte_order == DatatypeByteOrder::BigEndian {
                raw.reverse();
            }
            let is_negative = layout.signed && raw.last().is_some_and(|last| *last >= 0x80);
            if raw.len() != size as usize || raw.len() > 8 || is_negative {
                return Ok(None);
            }
            raw.resize(8, 0);
            Ok(<[u8; 8]>::try_from(raw).ok().map(u64::from_le_bytes))
        });
        match one {
            Some(Ok(Some(count))) => return Ok(count),
            Some(Err(error)) => return Err(format!("{path}: {error}")),
            _ => {}
        }
        match self.array(path)?.values.as_slice() {
            [one] if one.fract() == 0.0 && (0.0..1e15).contains(one) => Ok(*one as u64),
            _ => Err(format!("{path}: holds no whole number")),
        }
    }

    /// The array of floats at `path`, as f32.
    pub fn array(&self, path: &str) -> Result<Array> {
        self.read_array(path, false)
    }

    /// The array at `path` of a quantised layer: whole numbers of one byte, not divided by their scale.
    pub fn quantised(&self, path: &str) -> Result<Array> {
        self.read_array(path, true)
    }

    /// Whether the array at `path` holds whole numbers of one byte.
    pub fn is_quantised(&self, path: &str) -> bool {
        let datatype = found(path, || self.file.dataset(path)?.datatype());
        matches!(datatype, Ok(Some(Datatype::FixedPoint { size: 1, .. })))
    }

    fn read_array(&self, path: &str, quantised: bool) -> Result<Array> {
        let dataset = found(path, || self.file.dataset(path))?.ok_or_else(|| {
            format!(
                "{path}: there is no such array in the file (links to other files or places are not followed)"
            )
        })?;
        panics::contain(|| self.read(path, &dataset, quantised))
            .unwrap_or_else(|| Err(format!("{path}: {DAMAGED}")))
    }

    /// How the values of an array are written, and the bytes of one.
    fn decode(path: &str, dataset: &Dataset, quantised: bool) -> Result<(Decode, u32)> {
        let fail = |error: Error| format!("{path}: {error}");
        let little = |kind, size| Ok((Decode { kind, big_endian: false }, size));
        match dataset.datatype().map_err(fail)? {
            Datatype::FloatingPoint { size, byte_order, layout } => Decode::find(size, byte_order, &layout)
                .map(|decode| (decode, size))
                .ok_or_else(|| format!("{path}: its floats of {size} bytes are of no known kind")),
            Datatype::FixedPoint { size: 1, .. } if quantised => little(Float::I8, 1),
            _ if quantised => {
                Err(format!("{path}: holds no whole numbers of 8 bits, as a quantised layer has"))
            }
            // NumPy has no such type, so h5py writes bare bytes, and Keras beside them what they are.
            Datatype::Opaque { size, .. } => {
                let attributes = dataset.attrs().map_err(fail)?;
                match attributes.get("dtype").and_then(AttrValue::as_str) {
                    Some("bfloat16") if size == 2 => little(Float::Bf16, 2),
                    Some(other) => Err(format!("{path}: holds {other}, which is not read, expected floats")),
                    None => Err(format!("{path}: holds bytes of no known type, expected floats")),
                }
            }
            other => Err(format!("{path}: holds {}, expected floats", kind_of(&other))),
        }
    }

    fn read(&self, path: &str, dataset: &Dataset, quantised: bool) -> Result<Array> {
        let fail = |error: Error| format!("{path}: {error}");
        let shape = dataset.shape().map_err(fail)?;
        let (decode, size) = Self::decode(path, dataset, quantised)?;
        let too_large = || format!("{path}: claims shape {shape:?}, far more than the file can hold");
        let count = shape.iter().try_fold(1_u64, |count, &axis| count.checked_mul(axis));
        let count = count.and_then(|count| usize::try_from(count).ok()).ok_or_else(too_large)?;
        let bytes = count.checked_mul(size.max(4) as usize).ok_or_else(too_large)?;
        self.spend(bytes).ok_or_else(too_large)?;
        // A chunk is unpacked whole, however little of it the array needs.
        if let Some(chunk) = dataset.chunk_shape().map_err(fail)? {
            let chunks = dataset.chunks().map_err(fail)?.len();
            let bytes = chunk
                .iter()
                .try_fold(u64::from(size), |bytes, &axis| bytes.checked_mul(axis))
                .and_then(|bytes| usize::try_from(bytes).ok()?.checked_mul(chunks.max(1)))
                .ok_or_else(too_large)?;
            self.spend(bytes).ok_or_else(too_large)?;
        }
        let raw = dataset.read_raw().map_err(fail)?;
        if raw.len() != count * size as usize {
            return Err(format!("{path}: {} bytes stand where shape {shape:?} was promised", raw.len()));
        }
        let shape = shape.iter().map(|&axis| axis as usize).collect();
        Ok(Array { shape, values: decode.values(&raw) })
    }

    fn spend(&self, bytes: usize) -> Option<()> {
        self.budget.set(self.budget.get().checked_sub(bytes)?);
        Some(())
    }
}

/// How a type is called in messages.
fn kind_of(datatype: &Datatype) -> &'static str {
    match datatype {
        Datatype::FixedPoint { .. } => "whole numbers",
        Datatype::String { .. } | Datatype::VariableLength { .. } => "text",
        _ => "no numbers",
    }
}

/// The attributes without which a file is another one.
const NEEDED: [&str; 3] = ["model_config", "layer_names", "weight_names"];

/// Attributes of a group.
pub(super) struct Attributes(HashMap<String, AttrValue>);

impl Attributes {
    /// Whether there is one of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A list of texts. Long ones are cut into `NAME0`, `NAME1`, …. A list without elements has no type.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        let list = |value: &AttrValue| value.as_strings().map(<[String]>::to_vec).unwrap_or_default();
        if let Some(value) = self.0.get(name) {
            return Some(list(value));
        }
        let mut parts = (0..).map_while(|part| self.0.get(&format!("{name}{part}"))).peekable();
        parts.peek()?;
        Some(parts.flat_map(list).collect())
    }
}

/// How the bytes of a number are read.
struct Decode {
    kind: Float,
    big_endian: bool,
}

enum Float {
    /// Of a quantised layer.
    I8,
    F16,
    Bf16,
    F32,
    F64,
}

impl Decode {
    fn find(size: u32, order: DatatypeByteOrder, layout: &FloatingPointLayout) -> Option<Self> {
        let kind = match (size, layout.exponent_size, layout.mantissa_size) {
            (2, 5, 10) => Float::F16,
            (2, 8, 7) => Float::Bf16,
            (4, 8, 23) => Float::F32,
            (8, 11, 52) => Float::F64,
            _ => return None,
        };
        match order {
            DatatypeByteOrder::LittleEndian => Some(Self { kind, big_endian: false }),
            DatatypeByteOrder::BigEndian => Some(Self { kind, big_endian: true }),
            _ => None,
        }
    }

    fn values(&self, raw: &[u8]) -> Vec<f32> {
        match self.kind {
            Float::I8 => self.each(raw, |bytes| f32::from(i8::from_le_bytes(bytes))),
            Float::F16 => self.each(raw, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
            Float::Bf16 => self.each(raw, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            Float::F32 => self.each(raw, f32::from_le_bytes),
            Float::F64 => self.each(raw, |bytes| f64::from_le_bytes(bytes) as f32),
        }
    }

    fn each<const N: usize>(&self, raw: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (chunks, _) = raw.as_chunks::<N>();
        chunks
            .iter()
            .map(|&chunk| {
                let mut bytes = chunk;
                if self.big_endian {
                    bytes.reverse();
                }
                read(bytes)
            })
            .collect()
    }
}

//! NumPy's `.npy`: one array.

use super::format::{ArrayHead, Format, Holds, Opened, Put, Sink};
use super::mapped::Map;
use super::stored::{Bytes, Kind, StoredArray, in_c_order};
use super::texts::{Places, StoredTexts};
use super::writer::Plain;
use crate::{Error, Result};
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use pulp::bytemuck;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

/// The format.
pub(super) struct Npy;

impl Format for Npy {
    fn suffixes(&self) -> &'static [&'static str] {
        &["npy"]
    }

    fn holds(&self) -> Holds {
        Holds::One
    }

    fn open<'a>(&self, path: &'a Path) -> Result<Opened<'a>> {
        let map = Arc::new(Map::open(path)?);
        let all = Bytes::of_map(&map, 0..map.bytes().len()).unwrap_or_else(|| Bytes::of_memory(vec![]));
        let words = all.clone();
        let cannot = move |what: String| Error::file(path, format!("cannot be read: {what}"));
        let array = move |_: &str| stored(&all).map_err(cannot);
        let texts = move |_: &str| texts(&words).map_err(cannot);
        Ok(Opened { names: vec!["x".into()], array: Box::new(array), texts: Some(Box::new(texts)) })
    }

    fn sink(&self, out: BufWriter<File>, _: &[ArrayHead]) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Plain { out, head: |array| header(&array.shape) }))
    }

    fn encode(&self, rows: &Tensor, put: Put) -> Result<()> {
        put_numbers(rows, put)
    }
}

/// An array's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The type: `<f4`.
    pub descr: String,
    /// Whether the first axis runs fastest.
    pub fortran_order: bool,
    /// The length of each axis.
    pub shape: Vec<usize>,
}

impl Header {
    /// Splits the bytes of a `.npy` into header and content.
    pub fn parse(bytes: &[u8]) -> std::result::Result<(Self, &[u8]), String> {
        let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("not a NumPy array")?;
        let (length, rest) = match *rest {
            [1, _, a, b, ref rest @ ..] => (usize::from(u16::from_le_bytes([a, b])), rest),
            [2 | 3, _, a, b, c, d, ref rest @ ..] => (u32::from_le_bytes([a, b, c, d]) as usize, rest),
            _ => return Err("a NumPy array of an unknown version".into()),
        };
        let (text, content) = rest.split_at_checked(length).ok_or("the array's header ends too early")?;
        let text = std::str::from_utf8(text).map_err(|_| "the array's header is not text")?;
        let field = |name: &str| {
            let at = text.find(&format!("'{name}':")).ok_or(format!("the array's header lacks {name}"))?;
            Ok::<_, String>(text[at + name.len() + 3..].trim_start())
        };
        let descr = field("descr")?
            .strip_prefix('\'')
            .and_then(|text| text.split_once('\''))
            .ok_or("the array is a record array, expected whole numbers or lists")?
            .0;
        let shape = field("shape")?
            .strip_prefix('(')
            .and_then(|text| text.split_once(')'))
            .ok_or("the array's header has no shape")?
            .0
            .split(',')
            .map(str::trim)
            .filter(|size| !size.is_empty())
            .map(|size| size.parse().map_err(|_| format!("the array's shape holds {size:?}")))
            .collect::<std::result::Result<_, String>>()?;
        let fortran_order = field("fortran_order")?.starts_with("True");
        Ok((Self { descr: descr.into(), fortran_order, shape }, content))
    }

    /// The bytes of the header that begins so, up to the first number; nothing where that cannot be told, or is more than
    /// any header has.
    pub fn length(start: &[u8]) -> Option<usize> {
        const MOST: usize = 1 << 20;
        let length = match *start.strip_prefix(b"\x93NUMPY")? {
            [1, _, a, b, ..] => 10 + usize::from(u16::from_le_bytes([a, b])),
            [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize).checked_add(12)?,
            _ => return None,
        };
        (start.len()..=MOST).contains(&length).then_some(length)
    }

    /// The number of elements; `None` where it overflows.
    pub fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))
    }
}

/// How an array's numbers stand, by its header.
pub(super) struct Layout {
    kind: Kind,
    is_big_endian: bool,
    /// The bytes of all numbers.
    pub length: usize,
    header: Header,
}

impl Layout {
    /// The layout that a header names, of which `there` bytes are there.
    pub fn of(header: Header, there: usize) -> std::result::Result<Self, String> {
        let (order, kind) = header.descr.split_at_checked(1).unwrap_or_default();
        let kind = match kind {
            "b1" | "u1" => Kind::U8,
            "i1" => Kind::I8,
            "u2" => Kind::U16,
            "i2" => Kind::I16,
            "f2" => Kind::F16,
            "u4" => Kind::U32,
            "i4" => Kind::I32,
            "f4" => Kind::F32,
            "u8" => Kind::U64,
            "i8" => Kind::I64,
            "f8" => Kind::F64,
            _ => return Err(format!("an array of type {}, expected floats or whole numbers", header.descr)),
        };
        let is_big_endian = order == ">";
        let length = header.count().and_then(|count| count.checked_mul(kind.size()));
        let length = length
            .filter(|&length| length <= there)
            .ok_or_else(|| format!("the array ends too early for its shape {:?}", header.shape))?;
        // An empty array is refused where it is asked for.
        if there > length && length > 0 {
            return Err(format!(
                "{} bytes follow the array of shape {:?}; save one array a file, or several in a .npz",
                there - length,
                header.shape
            ));
        }
        Ok(Self { kind, is_big_endian, length, header })
    }

    /// The array of these numbers.
    pub fn array(self, content: Bytes) -> std::result::Result<StoredArray, String> {
        let content = match self.header.fortran_order && self.header.shape.len() > 1 {
            true => Bytes::of_memory(in_c_order(content.get(), self.kind.size(), &self.header.shape)),
            false => content,
        };
        StoredArray::new(content, self.kind, self.is_big_endian, self.header.shape)
    }
}

/// The array in the bytes of a `.npy`: in C's order or in Fortran's, as a transposed array or a table of pandas is saved,
/// with the low byte first or the high one. Memory is asked for by what is there, not by what the header says.
pub(super) fn stored(bytes: &Bytes) -> std::result::Result<StoredArray, String> {
    let whole = bytes.get();
    let (header, content) = Header::parse(whole)?;
    let from = whole.len() - content.len();
    let layout = Layout::of(header, content.len())?;
    let content = bytes.part(from..from + layout.length).ok_or("the array ends too early")?;
    layout.array(content)
}

/// The texts in the bytes of a `.npy`: NumPy's `U` of so many characters, or `S` of so many bytes of UTF-8.
pub(super) fn texts(bytes: &Bytes) -> std::result::Result<StoredTexts, String> {
    let whole = bytes.get();
    let (header, content) = Header::parse(whole)?;
    let unknown = || {
        let hint =
            if header.descr.ends_with('O') { "; save it as numpy.array(texts, dtype=str)" } else { "" };
        format!("an array of type {}, expected texts{hint}", header.descr)
    };
    let (order, kind) = header.descr.split_at_checked(1).unwrap_or_default();
    let (kind, width) = kind.split_at_checked(1).ok_or_else(unknown)?;
    let width: usize = width.parse().map_err(|_| unknown())?;
    let places = match kind {
        "U" => Places::Characters { width, is_big_endian: order == ">" },
        "S" => Places::Utf8 { width },
        _ => return Err(unknown()),
    };
    let count = header.count().unwrap_or(0);
    if width == 0 && count > 1 << 20 {
        return Err(format!("{count} texts of no characters"));
    }
    let content = bytes.part(whole.len() - content.len()..whole.len());
    let is_turned = header.fortran_order && header.shape.len() > 1;
    let texts = content.filter(|_| !is_turned);
    let texts = texts.and_then(|content| StoredTexts::new(content, places, header.shape.clone()));
    texts.ok_or_else(|| format!("the array does not fill its shape {:?} in C's order", header.shape))
}

/// The numbers of an integer or boolean array.
pub(super) fn integers(header: &Header, content: &[u8]) -> std::result::Result<Vec<i64>, String> {
    let unknown = || format!("type {}, expected whole numbers", header.descr);
    let mut kind = header.descr.chars();
    let (Some(order), Some(sign)) = (kind.next(), kind.next()) else { return Err(unknown()) };
    let width = match (sign, kind.as_str()) {
        ('b', "1") | ('i' | 'u', "1") => 1,
        ('i' | 'u', "2") => 2,
        ('i' | 'u', "4") => 4,
        ('i' | 'u', "8") => 8,
        _ => return Err(unknown()),
    };
    let expected = header.count().and_then(|count| count.checked_mul(width));
    if expected != Some(content.len()) {
        return Err(format!(
            "the header promises shape {:?} of {}, but {} bytes follow; download or copy the file again",
            header.shape,
            header.descr,
            content.len()
        ));
    }
    let shift = 64 - 8 * width as u32;
    content
        .chunks_exact(width)
        .map(|bytes| {
            let join = |number: u64, &byte: &u8| (number << 8) | u64::from(byte);
            let number = match order {
                '>' => bytes.iter().fold(0, join),
                _ => bytes.iter().rev().fold(0, join),
            };
            match sign {
                'i' => Ok(((number << shift) as i64) >> shift),
                _ => i64::try_from(number).map_err(|_| format!("the number {number} is too large")),
            }
        })
        .collect()
}

/// The header of an array of little-endian f32 in C's order.
pub(super) fn header(shape: &[usize]) -> Vec<u8> {
    let axes: Vec<String> = shape.iter().map(|axis| format!("{axis},")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", axes.join(" "));
    // The values begin at a multiple of 64 bytes, the line before them ends with a newline. Two bytes are enough for the
    // header's length: models' outputs have no thousands of axes.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(length - header.len() - 1));
    header.push('\n');
    [b"\x93NUMPY\x01\x00", (header.len() as u16).to_le_bytes().as_slice(), header.as_bytes()].concat()
}

/// Hands numbers on as little-endian f32, without a copy where they lie so in memory.
pub(super) fn put_numbers(rows: &Tensor, put: Put) -> Result<()> {
    let rows = rows.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
    let (storage, layout) = rows.storage_and_layout();
    let values = match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) => values.get(from..to),
        _ => None,
    };
    let values = values.ok_or_else(|| Error::argument("rows", "are not in memory"))?;
    match cfg!(target_endian = "little") {
        true => put(bytemuck::cast_slice(values)),
        false => put(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the bytes are, there is an array of what is there or one line that says what is wrong.
        #[test]
        fn no_bytes_bring_the_reader_down(
            descr in "[<>|=]?[bifuSU]?[0-9]{0,2}",
            order in "(True|False|)",
            shape in proptest::collection::vec(prop_oneof![0_usize..5, Just(usize::MAX), Just(1 << 40)], 0..4),
            content in proptest::collection::vec(any::<u8>(), 0..80),
            cut in 0_usize..250,
        ) {
            let axes: Vec<String> = shape.iter().map(|axis| format!("{axis},")).collect();
            let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({}), }}\n", axes.join(" "));
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend((header.len() as u16).to_le_bytes());
            bytes.extend(header.into_bytes());
            bytes.extend(&content);
            bytes.truncate(cut.max(1));
            if let Ok(array) = stored(&Bytes::of_memory(bytes.clone())) {
                prop_assert_eq!(array.shape(), shape.as_slice());
                prop_assert!(array.count() <= content.len());
                if array.count() > 0 {
                    prop_assert_eq!(array.tensor().expect("a tensor").elem_count(), array.count());
                }
            }
            if let Ok(texts) = texts(&Bytes::of_memory(bytes)) {
                let _ = texts.read(0..texts.shape().iter().product());
            }
        }
    }
}

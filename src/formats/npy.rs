//! NumPy's `.npy`: one array.

use super::format::{Format, Holds, Opened, TextArray};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::path::Path;
use std::rc::Rc;

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
        let cannot = |what: &dyn std::fmt::Display| Error::file(path, format!("cannot be read: {what}"));
        let bytes = std::fs::read(path).map_err(|error| cannot(&error).with_source(error))?;
        let bytes = Rc::new(bytes);
        let (numbers, words) = (bytes.clone(), bytes);
        let cannot = move |what: String| Error::file(path, format!("cannot be read: {what}"));
        let array = move |_: &str| tensor(&numbers).map_err(cannot);
        let texts = move |_: &str| texts(&words).map_err(cannot);
        Ok(Opened { names: vec!["x".into()], array: Box::new(array), texts: Some(Box::new(texts)) })
    }

    fn bytes(&self, arrays: &[(&str, &Tensor)]) -> Result<Vec<u8>> {
        arrays.iter().try_fold(vec![], |file, (_, tensor)| Ok([file, bytes(tensor)?].concat()))
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

    /// The number of elements; `None` where it overflows.
    pub fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))
    }
}

/// The array in the bytes of a `.npy`: in C's order or in Fortran's, as a transposed array or a table of pandas is saved,
/// with the low byte first or the high one. Memory is asked for by what is there, not by what the header says.
pub(super) fn tensor(bytes: &[u8]) -> std::result::Result<Tensor, String> {
    let (header, whole) = Header::parse(bytes)?;
    let unknown = || format!("an array of type {}, expected floats or whole numbers", header.descr);
    let (order, kind) = header.descr.split_at_checked(1).unwrap_or_default();
    let size = match kind {
        "i1" | "u1" | "b1" => 1,
        "i2" | "u2" | "f2" => 2,
        "i4" | "u4" | "f4" => 4,
        "i8" | "u8" | "f8" => 8,
        _ => return Err(unknown()),
    };
    let length = header.count().and_then(|count| count.checked_mul(size));
    let content = length
        .and_then(|length| whole.get(..length))
        .ok_or_else(|| format!("the array ends too early for its shape {:?}", header.shape))?;
    // An empty array is refused where it is asked for.
    let rest = whole.len() - content.len();
    if rest > 0 && !content.is_empty() {
        return Err(format!(
            "{rest} bytes follow the array of shape {:?}; save one array a file, or several in a .npz",
            header.shape
        ));
    }
    values(&header, order, kind, size, content).map_err(|error| error.to_string())
}

/// The texts in the bytes of a `.npy`: NumPy's `U` of so many characters, or `S` of so many bytes of UTF-8.
pub(super) fn texts(bytes: &[u8]) -> std::result::Result<TextArray, String> {
    let (header, content) = Header::parse(bytes)?;
    let unknown = || {
        let hint =
            if header.descr.ends_with('O') { "; save it as numpy.array(texts, dtype=str)" } else { "" };
        format!("an array of type {}, expected texts{hint}", header.descr)
    };
    let (order, kind) = header.descr.split_at_checked(1).unwrap_or_default();
    let (kind, width) = kind.split_at_checked(1).ok_or_else(unknown)?;
    let width: usize = width.parse().map_err(|_| unknown())?;
    let size = match kind {
        "U" => width.checked_mul(4),
        "S" => Some(width),
        _ => return Err(unknown()),
    };
    let length = size.and_then(|size| header.count()?.checked_mul(size));
    if length != Some(content.len()) || header.fortran_order && header.shape.len() > 1 {
        return Err(format!("the array does not fill its shape {:?} in C's order", header.shape));
    }
    let count = header.count().unwrap_or(0);
    if width == 0 && count > 1 << 20 {
        return Err(format!("{count} texts of no characters"));
    }
    let text = |index: usize| {
        let size = size.unwrap_or(0);
        let bytes = content.get(index * size..(index + 1) * size).unwrap_or_default();
        let text = match kind {
            "U" => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&unit| {
                    char::from_u32(if order == ">" {
                        u32::from_be_bytes(unit)
                    } else {
                        u32::from_le_bytes(unit)
                    })
                })
                .collect::<Option<String>>(),
            _ => String::from_utf8(bytes.to_vec()).ok(),
        };
        let text = text.ok_or_else(|| format!("text {index} is not Unicode"))?;
        Ok(text.trim_end_matches('\0').to_string())
    };
    Ok(((0..count).map(text).collect::<std::result::Result<_, String>>()?, header.shape.clone()))
}

/// The numbers in `content`, each of `size` bytes of the type `kind`, as an array of the header's shape.
fn values(
    header: &Header,
    order: &str,
    kind: &str,
    size: usize,
    content: &[u8],
) -> candle_core::Result<Tensor> {
    // The bytes of each number, low byte first.
    let numbers = content.chunks_exact(size).map(|chunk| {
        let mut low = [0; 8];
        low[..size].copy_from_slice(chunk);
        if order == ">" {
            low[..size].reverse();
        }
        low
    });
    let low4 = |low: [u8; 8]| [low[0], low[1], low[2], low[3]];
    let device = &Device::Cpu;
    let tensor = match kind {
        "f8" => Tensor::from_iter(numbers.map(f64::from_le_bytes), device)?,
        "f4" => Tensor::from_iter(numbers.map(|low| f32::from_le_bytes(low4(low))), device)?,
        "f2" => {
            let half = |low: [u8; 8]| half::f16::from_le_bytes([low[0], low[1]]).to_f32();
            Tensor::from_iter(numbers.map(half), device)?
        }
        "u1" | "b1" => Tensor::from_slice(content, content.len(), device)?,
        _ => {
            let unused = 64 - 8 * size as u32;
            let signed = kind.starts_with('i');
            let whole = |low: [u8; 8]| match signed {
                // The sign stands in the highest bit that is used.
                true => (i64::from_le_bytes(low) << unused) >> unused,
                false => i64::try_from(u64::from_le_bytes(low)).unwrap_or(i64::MAX),
            };
            Tensor::from_iter(numbers.map(whole), device)?
        }
    };
    if !header.fortran_order {
        return tensor.reshape(header.shape.as_slice());
    }
    let axes: Vec<usize> = (0..header.shape.len()).rev().collect();
    let reversed: Vec<usize> = header.shape.iter().rev().copied().collect();
    tensor.reshape(reversed)?.permute(axes)?.contiguous()
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

/// A `.npy` of little-endian f32.
pub(super) fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let axes: Vec<String> = tensor.dims().iter().map(|axis| format!("{axis},")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", axes.join(" "));
    // The values begin at a multiple of 64 bytes, the line before them ends with a newline.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(length - header.len() - 1));
    header.push('\n');
    let length =
        u16::try_from(header.len()).map_err(|_| Error::argument("npy", "the array has too many axes"))?;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.into_bytes());
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    Ok(bytes)
}

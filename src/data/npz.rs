//! NumPy's `.npz` and `.npy`, as far as data sets need them: integer arrays, and object arrays of integer lists.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::pickle::{self, Rows};
use crate::quietly::quietly;
use crate::{Error, Result};

/// What a member may unpack to: this many bytes, and more only for files that are large themselves.
const SMALL: u64 = 64 << 20;

/// An array's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
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

/// Whether the file begins as a zip archive does; one that cannot be read is left to be complained of elsewhere.
pub(super) fn is_archive(path: &Path) -> bool {
    let mut start = [0; 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).map_or(true, |()| start == *b"PK")
}

fn open(path: &Path) -> Result<zip::ZipArchive<BufReader<File>>> {
    let file = File::open(path).map_err(|error| Error::file(path, error))?;
    zip::ZipArchive::new(BufReader::with_capacity(1 << 17, file)).map_err(|error| {
        Error::file(path, format!("not a complete .npz file ({error}); download or copy it again"))
    })
}

/// What `work` returns; where the zip crate panics, an error.
fn contained<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    quietly(work)
        .unwrap_or_else(|| Err(Error::file(path, "is a damaged .npz file; download or copy it again")))
}

/// The names of the arrays in the archive `path`.
pub fn names(path: &Path) -> Result<Vec<String>> {
    contained(path, || {
        let archive = open(path)?;
        let array = |name: &str| Some(name.strip_suffix(".npy")?.to_string());
        Ok(archive.file_names().filter_map(|name| array(&name.ok()?)).collect())
    })
}

/// The bytes of the member `name`.npy of the archive `path`.
pub fn member(path: &Path, name: &str) -> Result<Vec<u8>> {
    contained(path, || unpack(path, name))
}

fn unpack(path: &Path, name: &str) -> Result<Vec<u8>> {
    let mut archive = open(path)?;
    let has: Vec<String> =
        archive.file_names().take(8).filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let member = match archive.by_name(&format!("{name}.npy")) {
        Ok(member) => member,
        Err(zip::result::ZipError::FileNotFound) => {
            let what = format!(
                "holds no array {name}; expected Keras's imdb.npz with x_train, y_train, x_test and y_test, found {}",
                if has.is_empty() { "nothing".into() } else { has.join(", ") }
            );
            return Err(Error::file(path, what));
        }
        Err(error) => return Err(Error::file(path, format!("{name}: {error}"))),
    };
    // The archive's own figure for the size may lie: it is a hint, and never more than the limit.
    let limit = SMALL.saturating_add(member.compressed_size().saturating_mul(16));
    let mut bytes = Vec::with_capacity(member.size().min(SMALL).min(limit) as usize);
    member.take(limit + 1).read_to_end(&mut bytes).map_err(|error| {
        Error::file(path, format!("{name} is damaged ({error}); download or copy the file again"))
    })?;
    if bytes.len() as u64 > limit {
        return Err(Error::file(path, format!("{name} unpacks to more than {} MB", limit >> 20)));
    }
    Ok(bytes)
}

/// The rows of the array `name` of `path`: lists of token ids in an object array, or a two-dimensional integer array.
///
/// # Errors
/// [`Error::File`] where the file is missing, damaged, or holds something else.
pub fn rows(path: &Path, name: &str) -> Result<Rows> {
    let bytes = member(path, name)?;
    let wrong = |what: String| Error::file(path, format!("{name}: {what}"));
    let (header, content) = Header::parse(&bytes).map_err(wrong)?;
    match (header.descr.as_str(), header.shape.as_slice()) {
        ("|O" | "O", shape) => pickle::read_rows(content, shape).map_err(wrong),
        (_, &[count, width]) if !header.fortran_order && !header.descr.ends_with('O') => {
            let values = integers(&header, content)
                .map_err(wrong)?
                .into_iter()
                .map(|value| {
                    u32::try_from(value)
                        .map_err(|_| wrong(format!("token id {value} is negative or too large")))
                })
                .collect::<Result<_>>()?;
            Rows::from_table(values, count, width)
                .ok_or_else(|| wrong(format!("no table of token ids has the shape {:?}", header.shape)))
        }
        (descr, shape) => Err(wrong(format!(
            "type {descr} of shape {shape:?}, expected a list of token ids for each review"
        ))),
    }
}

/// The labels, 0 or 1, of the one-dimensional integer array `name` of `path`.
///
/// # Errors
/// [`Error::File`] where the file is missing, damaged, or holds something else.
pub fn labels(path: &Path, name: &str) -> Result<Vec<u8>> {
    let bytes = member(path, name)?;
    let wrong = |what: String| Error::file(path, format!("{name}: {what}"));
    let (header, content) = Header::parse(&bytes).map_err(wrong)?;
    if header.shape.len() != 1 {
        return Err(wrong(format!("shape {:?}, expected one label for each review", header.shape)));
    }
    integers(&header, content)
        .map_err(wrong)?
        .into_iter()
        .map(|label| match label {
            0 => Ok(0),
            1 => Ok(1),
            other => Err(wrong(format!("label {other}, expected 0 (negative) or 1 (positive)"))),
        })
        .collect()
}

/// The numbers of an integer or boolean array.
fn integers(header: &Header, content: &[u8]) -> std::result::Result<Vec<i64>, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_zip_crate_is_a_damaged_file() {
        let result = contained(Path::new("x.npz"), || -> Result<()> { panic!("within") });
        let error = result.expect_err("an error").to_string();
        assert_eq!(error, "x.npz: is a damaged .npz file; download or copy it again");
    }
}

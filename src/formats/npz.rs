//! NumPy's `.npz`: arrays by name, each a `.npy` in a zip; and, for data sets, integers and lists of integers.

use super::archive::archive;
use super::format::{Format, Holds, Opened};
use super::npy::{self, Header, integers};
use super::pickle::{self, Rows};
use crate::panics;
use crate::{Error, Result};
use candle_core::Tensor;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The format.
pub(super) struct Npz;

impl Format for Npz {
    fn suffixes(&self) -> &'static [&'static str] {
        &["npz"]
    }

    fn holds(&self) -> Holds {
        Holds::Arrays
    }

    fn open<'a>(&self, path: &'a Path) -> Result<Opened<'a>> {
        let array = move |name: &str| {
            let bytes = member(path, name)?;
            npy::tensor(&bytes).map_err(|what| Error::file(path, format!("{name}: {what}")))
        };
        let texts = move |name: &str| {
            let bytes = member(path, name)?;
            npy::texts(&bytes).map_err(|what| Error::file(path, format!("{name}: {what}")))
        };
        Ok(Opened { names: names(path)?, array: Box::new(array), texts: Some(Box::new(texts)) })
    }

    fn bytes(&self, arrays: &[(&str, &Tensor)]) -> Result<Vec<u8>> {
        let member = |(name, tensor): &(&str, &Tensor)| Ok((format!("{name}.npy"), npy::bytes(tensor)?));
        archive(&arrays.iter().map(member).collect::<Result<Vec<_>>>()?)
    }
}

/// What a member may unpack to: this many bytes, and more only for files that are large themselves.
const SMALL: u64 = 128 << 20;

/// Whether the file begins as a zip archive does; one that cannot be read is left to be complained of elsewhere.
pub(crate) fn is_archive(path: &Path) -> bool {
    let mut start = [0; 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).map_or(true, |()| start == *b"PK")
}

fn open(path: &Path) -> Result<zip::ZipArchive<BufReader<File>>> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    zip::ZipArchive::new(BufReader::with_capacity(1 << 17, file)).map_err(|error| {
        let what = format!("not a complete .npz file ({error}); download or copy it again");
        Error::file(path, what).with_source(error)
    })
}

/// What `work` returns; where the zip crate panics, an error.
fn contained<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    panics::contain(work)
        .unwrap_or_else(|| Err(Error::file(path, "is a damaged .npz file; download or copy it again")))
}

/// How many members the end of the archive says that it has; none where it cannot be found, or has no room for the
/// number.
fn members(path: &Path) -> Option<usize> {
    // Without a comment, as NumPy writes it, the end is 22 bytes long.
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::End(-22)).ok()?;
    let mut end = [0; 22];
    file.read_exact(&mut end).ok()?;
    let count = u16::from_le_bytes([end[10], end[11]]);
    (end.starts_with(b"PK\x05\x06") && count != u16::MAX).then_some(count.into())
}

/// The names of the arrays in the archive `path`.
fn names(path: &Path) -> Result<Vec<String>> {
    contained(path, || {
        let archive = open(path)?;
        let array = |name: &str| Some(name.strip_suffix(".npy")?.to_string());
        // The archive's list has each name once, whichever of its members that is.
        if let Some(listed) = members(path).filter(|&listed| listed > archive.len()) {
            let what = format!("holds {listed} arrays of {} names: one name is there twice", archive.len());
            return Err(Error::file(path, what));
        }
        Ok(archive.file_names().filter_map(|name| array(&name.ok()?)).collect())
    })
}

/// The bytes of the member `name`.npy of the archive `path`.
fn member(path: &Path, name: &str) -> Result<Vec<u8>> {
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
        Err(error) => return Err(Error::file(path, format!("{name}: {error}")).with_source(error)),
    };
    // The archive's own figure for the size may lie: it is a hint, and never more than the limit.
    let limit = SMALL.saturating_add(member.compressed_size().saturating_mul(16));
    let mut bytes = Vec::with_capacity(member.size().min(SMALL).min(limit) as usize);
    member.take(limit + 1).read_to_end(&mut bytes).map_err(|error| {
        let what = format!("{name} is damaged ({error}); download or copy the file again");
        Error::file(path, what).with_source(error)
    })?;
    if bytes.len() as u64 > limit {
        let what = format!(
            "{name} unpacks to more than {} MB; save it with numpy.savez, without compression",
            limit >> 20
        );
        return Err(Error::file(path, what));
    }
    Ok(bytes)
}

/// The rows of the array `name` of `path`: lists of token ids in an object array, or a two-dimensional integer array.
///
/// # Errors
/// [`Error::File`] where the file is missing, damaged, or holds something else.
pub(crate) fn rows(path: &Path, name: &str) -> Result<Rows> {
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
pub(crate) fn labels(path: &Path, name: &str) -> Result<Vec<u8>> {
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

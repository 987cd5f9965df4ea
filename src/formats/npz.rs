//! NumPy's `.npz`: arrays by name, each a `.npy` in a zip; and, for data sets, integers and lists of integers.

use super::archive::{self, member_options};
use super::format::{ArrayHead, Format, Holds, Opened, Put, Sink};
use super::mapped::Map;
use super::npy::{self, Header, Layout, integers};
use super::pickle::{self, Rows};
use super::stored::{Bytes, StoredArray};
use super::texts::StoredTexts;
use crate::panics;
use crate::{Error, Result};
use candle_core::Tensor;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

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
        let names = names(path)?;
        let map = Arc::new(Map::open(path)?);
        let words = map.clone();
        let array = move |name: &str| contained(path, || stored(path, &map, name));
        let texts = move |name: &str| contained(path, || texts(path, &words, name));
        Ok(Opened { names, array: Box::new(array), texts: Some(Box::new(texts)) })
    }

    fn sink(&self, out: BufWriter<File>, _: &[ArrayHead]) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Members(zip::ZipWriter::new(out))))
    }

    fn encode(&self, rows: &Tensor, put: Put) -> Result<()> {
        npy::put_numbers(rows, put)
    }
}

/// An archive that is being written. Checksums and sizes are put into the members' heads afterwards.
struct Members(zip::ZipWriter<BufWriter<File>>);

impl Sink for Members {
    fn begin(&mut self, array: &ArrayHead) -> std::io::Result<()> {
        let head = npy::header(&array.shape);
        let options = member_options(head.len().saturating_add(array.count().saturating_mul(4)));
        self.0.start_file(format!("{}.npy", array.name), options)?;
        self.0.write_all(&head)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    fn finish(self: Box<Self>) -> std::io::Result<()> {
        self.0.finish()?.flush()
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
    // Little at a time: a list of members is read all over the file, and what unpacks them reads more by itself.
    let archive = zip::ZipArchive::new(BufReader::with_capacity(1 << 13, file));
    let mut archive = archive.map_err(|error| {
        let what = format!("not a complete .npz file ({error}); download or copy it again");
        Error::file(path, what).with_source(error)
    })?;
    archive::check(&mut archive).map_err(|what| Error::file(path, what))?;
    Ok(archive)
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
    let member = find(path, &mut archive, name)?;
    let (size, limit) = (member.size(), limit(member.compressed_size()));
    if size > limit {
        return Err(too_large(path, name, limit));
    }
    // The archive's own figure for the size may lie: memory is asked for as bytes come, and one more finds the lie.
    let mut bytes = Vec::new();
    member.take(size + 1).read_to_end(&mut bytes).map_err(|error| damaged(path, name, error))?;
    if bytes.len() as u64 != size {
        return Err(damaged(path, name, std::io::Error::other("it is not as long as the archive says")));
    }
    Ok(bytes)
}

/// What a member of so many compressed bytes may unpack to.
fn limit(compressed: u64) -> u64 {
    SMALL.saturating_add(compressed.saturating_mul(16))
}

fn too_large(path: &Path, name: &str, limit: u64) -> Error {
    let what = format!(
        "{name} unpacks to more than {} MB; save it with numpy.savez, without compression",
        limit >> 20
    );
    Error::file(path, what)
}

fn damaged(path: &Path, name: &str, error: std::io::Error) -> Error {
    Error::file(path, format!("{name} is damaged ({error}); download or copy the file again"))
        .with_source(error)
}

/// The member `name`.npy.
fn find<'a, R: Read + Seek>(
    path: &Path,
    archive: &'a mut zip::ZipArchive<R>,
    name: &str,
) -> Result<zip::read::ZipFile<'a, R>> {
    let has: Vec<String> =
        archive.file_names().take(8).filter_map(|name| Some(name.ok()?.into_owned())).collect();
    match archive.by_name(&format!("{name}.npy")) {
        Ok(member) => Ok(member),
        Err(zip::result::ZipError::FileNotFound) => {
            let what = format!(
                "holds no array {name}; expected Keras's imdb.npz with x_train, y_train, x_test and y_test, found {}",
                if has.is_empty() { "nothing".into() } else { has.join(", ") }
            );
            Err(Error::file(path, what))
        }
        Err(error) => Err(Error::file(path, format!("{name}: {error}")).with_source(error)),
    }
}

/// The array `name` of the archive: where it stands in the file if it is stored, else unpacked into memory.
fn stored(path: &Path, map: &Arc<Map>, name: &str) -> Result<StoredArray> {
    let mut archive = open(path)?;
    let member = find(path, &mut archive, name)?;
    let wrong = |what: String| Error::file(path, format!("{name}: {what}"));
    let Some(bytes) = plain(path, map, name, &member)? else { return unpacked(path, name, member) };
    let array = npy::stored(&bytes).map_err(wrong)?;
    check(path, name, &bytes, &member)?;
    Ok(array)
}

/// The same of an array of texts.
fn texts(path: &Path, map: &Arc<Map>, name: &str) -> Result<StoredTexts> {
    let mut archive = open(path)?;
    let member = find(path, &mut archive, name)?;
    let bytes = match plain(path, map, name, &member)? {
        Some(bytes) => {
            check(path, name, &bytes, &member)?;
            bytes
        }
        None => {
            drop(member);
            Bytes::of_memory(unpack(path, name)?)
        }
    };
    npy::texts(&bytes).map_err(|what| Error::file(path, format!("{name}: {what}")))
}

/// Where the bytes of a member stand in the file; nothing where it is compressed.
fn plain(
    path: &Path,
    map: &Arc<Map>,
    name: &str,
    member: &zip::read::ZipFile<impl Read>,
) -> Result<Option<Bytes>> {
    let is_plain =
        member.compression() == zip::CompressionMethod::Stored && member.size() == member.compressed_size();
    let (Some(start), true) = (member.data_start(), is_plain) else { return Ok(None) };
    let range = usize::try_from(start).ok().zip(usize::try_from(member.size()).ok());
    let range = range.and_then(|(start, size)| Some(start..start.checked_add(size)?));
    let bytes = range.and_then(|range| Bytes::of_map(map, range));
    bytes.map(Some).ok_or_else(|| damaged(path, name, std::io::ErrorKind::UnexpectedEof.into()))
}

/// Refuses bytes that are not those that were stored, as the crate does that reads archives, and NumPy.
fn check(path: &Path, name: &str, bytes: &Bytes, member: &zip::read::ZipFile<impl Read>) -> Result<()> {
    match checksum(bytes) == member.crc32() {
        true => Ok(()),
        false => Err(damaged(path, name, std::io::Error::other("Invalid checksum"))),
    }
}

/// The CRC-32 of bytes, a part at a time.
fn checksum(bytes: &Bytes) -> u32 {
    const PART: usize = 1 << 20;
    let mut hasher = crc32fast::Hasher::new();
    let mut from = 0;
    for part in bytes.get().chunks(PART) {
        hasher.update(part);
        bytes.pass(from..from + part.len());
        from += part.len();
    }
    hasher.finalize()
}

/// The array of a compressed member, unpacked once into where it stays: as much memory as its header's shape takes, which is
/// held against the size of the member before any is asked for.
fn unpacked(path: &Path, name: &str, mut member: zip::read::ZipFile<impl Read>) -> Result<StoredArray> {
    let wrong = |what: String| Error::file(path, format!("{name}: {what}"));
    let (size, limit) = (member.size(), limit(member.compressed_size()));
    if size > limit {
        return Err(too_large(path, name, limit));
    }
    let mut head = Vec::new();
    let mut read = |head: &mut Vec<u8>, count: usize| {
        let count = (count - head.len()) as u64;
        member.by_ref().take(count).read_to_end(head).map_err(|error| damaged(path, name, error))
    };
    read(&mut head, 12)?;
    if let Some(length) = Header::length(&head) {
        read(&mut head, length)?;
    }
    let (header, _) = Header::parse(&head).map_err(wrong)?;
    let there = usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(head.len());
    let layout = Layout::of(header, there).map_err(wrong)?;
    let mut content = Vec::new();
    content.try_reserve_exact(layout.length).map_err(|error| wrong(error.to_string()))?;
    // One byte more finds the end, where the checksum is looked at.
    let length = layout.length as u64;
    let count = match length {
        0 => 0,
        _ => member.take(length + 1).read_to_end(&mut content).map_err(|error| damaged(path, name, error))?,
    };
    if count as u64 != length {
        return Err(damaged(path, name, std::io::ErrorKind::UnexpectedEof.into()));
    }
    layout.array(Bytes::of_memory(content)).map_err(wrong)
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

//! Files of text as they are, or packed by gzip or Zstandard, which are read as streams.

use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

/// So many bytes may come of a packed file: a small one can hold any number of zeros.
const MOST: u64 = 16 << 30;

/// A file's bytes, unpacked where they are packed.
pub(super) struct Unpacked {
    bytes: Bytes,
    /// How many more may come.
    left: u64,
}

enum Bytes {
    Plain(File),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
    #[cfg(feature = "parquet")]
    Zstandard(Box<zstd::Decoder<'static, BufReader<File>>>),
}

/// What packs files and is not read, by the bytes at the beginning.
const OTHERS: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "zip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"\x1f\x9d", "compress"),
    #[cfg(not(feature = "parquet"))]
    (ZSTANDARD, "Zstandard, which this build cannot read (feature `parquet`)"),
];

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTANDARD: &[u8] = b"\x28\xb5\x2f\xfd";

impl Unpacked {
    /// Opens a file, and finds out by its first bytes how it is packed.
    ///
    /// # Errors
    /// What cannot be opened; what is packed in another way, of kind [`Other`](io::ErrorKind::Other), in words.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut first = vec![];
        (&mut file).take(10).read_to_end(&mut first)?;
        file.rewind()?;
        let is_bzip2 = first.starts_with(b"BZh") && first.ends_with(b"1AY&SY");
        let other = OTHERS.iter().find(|(mark, _)| first.starts_with(mark)).map(|(_, name)| *name);
        if let Some(name) = other.or(is_bzip2.then_some("bzip2")) {
            return Err(io::Error::other(format!("is packed by {name}; unpack it first")));
        }
        let bytes = match first.as_slice() {
            first if first.starts_with(GZIP) => {
                Bytes::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file))))
            }
            #[cfg(feature = "parquet")]
            first if first.starts_with(ZSTANDARD) => Bytes::Zstandard(Box::new(zstd::Decoder::with_buffer(
                BufReader::with_capacity(1 << 16, file),
            )?)),
            _ => Bytes::Plain(file),
        };
        Ok(Self { bytes, left: MOST })
    }

    /// What it is packed by.
    pub(super) fn packed_by(&self) -> Option<&'static str> {
        match &self.bytes {
            Bytes::Plain(_) => None,
            Bytes::Gzip(_) => Some("gzip"),
            #[cfg(feature = "parquet")]
            Bytes::Zstandard(_) => Some("Zstandard"),
        }
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.bytes {
            Bytes::Plain(file) => return file.read(buffer),
            Bytes::Gzip(bytes) => bytes.read(buffer),
            #[cfg(feature = "parquet")]
            Bytes::Zstandard(bytes) => bytes.read(buffer),
        };
        let count = match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            // Of another kind it would be taken for a text that is in another encoding.
            read => {
                read.map_err(|error| io::Error::other(format!("cannot be unpacked to its end: {error}")))?
            }
        };
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(format!("unpacks to more than {} GiB; unpack it first", MOST >> 30))
        })?;
        Ok(count)
    }
}

//! Zip archives: how they are made (stored members with no time in them, around a `.keras` and a `.npz`), and what one may
//! unpack to.

use crate::{Error, Result};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The bytes that the parts of a file of `length` bytes may take in memory together: a small multiple, and more only
/// where the file is small.
pub(crate) fn limit(length: usize) -> usize {
    length.saturating_mul(16).saturating_add(16 << 20)
}

/// How a member of so many bytes is made.
pub(super) fn member_options(length: usize) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        .large_file(length >= u32::MAX as usize)
}

/// A zip of these members, in this order.
pub(crate) fn archive<N: AsRef<str>>(members: &[(N, Vec<u8>)]) -> Result<Vec<u8>> {
    let fail = |error: zip::result::ZipError| {
        Error::argument("archive", format!("cannot be made: {error}")).with_source(error)
    };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(name.as_ref(), member_options(bytes.len())).map_err(fail)?;
        zip.write_all(bytes).map_err(|error| fail(error.into()))?;
    }
    let bytes = zip.finish().map_err(fail)?;
    Ok(bytes.into_inner())
}

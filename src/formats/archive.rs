//! Zip archives: how they are made (stored members with no time in them, around a `.keras` and a `.npz`), which are refused, and
//! what one may unpack to.

use crate::{Error, Result};
use std::io::{Cursor, Read, Seek, Write};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// The bytes that the parts of a file of `length` bytes may take in memory together: a small multiple, and more only
/// where the file is small.
pub(crate) fn limit(length: usize) -> usize {
    length.saturating_mul(16).saturating_add(16 << 20)
}

/// The most members of an archive: a model of PyTorch's has one a tensor.
const MOST: usize = 1 << 16;

/// Refuses an archive whose members share bytes: each of a thousand names would unpack the same to as much again, and nothing
/// that writes models or arrays makes such a file.
///
/// # Errors
/// In words that follow the file's name.
pub(crate) fn check<R: Read + Seek>(archive: &mut ZipArchive<R>) -> std::result::Result<(), String> {
    if archive.len() > MOST {
        return Err(format!(
            "is an archive of {} members, more than any model or file of arrays has",
            archive.len()
        ));
    }
    match archive.has_overlapping_entries() {
        Ok(false) => Ok(()),
        Ok(true) => {
            Err("is an archive whose members are in part the same bytes, as no model's or array's are".into())
        }
        Err(error) => Err(format!("is a damaged zip archive ({error}); download or copy it again")),
    }
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
    let fail =
        |error: ZipError| Error::argument("archive", format!("cannot be made: {error}")).with_source(error);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(name.as_ref(), member_options(bytes.len())).map_err(fail)?;
        zip.write_all(bytes).map_err(|error| fail(error.into()))?;
    }
    let bytes = zip.finish().map_err(fail)?;
    Ok(bytes.into_inner())
}

//! A zip of stored members with no time in them: what is around a `.keras` and a `.npz`.

use crate::{Error, Result};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// A zip of these members, in this order.
pub(crate) fn archive<N: AsRef<str>>(members: &[(N, Vec<u8>)]) -> Result<Vec<u8>> {
    let fail = |error: zip::result::ZipError| {
        Error::argument("archive", format!("cannot be made: {error}")).with_source(error)
    };
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = options.large_file(bytes.len() >= u32::MAX as usize);
        zip.start_file(name.as_ref(), options).map_err(fail)?;
        zip.write_all(bytes).map_err(|error| fail(error.into()))?;
    }
    let bytes = zip.finish().map_err(fail)?;
    Ok(bytes.into_inner())
}

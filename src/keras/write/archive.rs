//! The zip around a `.keras`: stored members with no time in them.

use crate::{Error, Result};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// A zip of these members, in this order.
pub(super) fn archive(members: &[(&str, Vec<u8>)]) -> Result<Vec<u8>> {
    let fail = |error: String| Error::argument(".keras", format!("the archive cannot be made: {error}"));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = options.large_file(bytes.len() >= u32::MAX as usize);
        zip.start_file(*name, options).map_err(|error| fail(error.to_string()))?;
        zip.write_all(bytes).map_err(|error| fail(error.to_string()))?;
    }
    let bytes = zip.finish().map_err(|error| fail(error.to_string()))?;
    Ok(bytes.into_inner())
}

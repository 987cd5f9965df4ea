//! The zip of PyTorch since 1.6: `NAME/data.pkl`, the numbers in `NAME/data/KEY`, their order of bytes in `NAME/byteorder`.

use super::Storages;
use crate::formats::archive::{self, limit};
use crate::formats::pickle::Reason;
use crate::panics;
use std::borrow::Cow;
use std::io::{Cursor, Read, copy, sink};
use zip::{CompressionMethod, ZipArchive};

const PICKLE: &str = "data.pkl";
const DAMAGED: &str = "is a damaged PyTorch file; download or copy it again";

struct Archive<'a> {
    bytes: &'a [u8],
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// What stands before the names of members: the name that the file had when it was written.
    folder: String,
    big_endian: bool,
}

/// Whether a zip archive is PyTorch's.
pub(crate) fn is_archive(bytes: &[u8]) -> bool {
    panics::contain(|| open(bytes).is_ok()).unwrap_or(false)
}

fn open(bytes: &[u8]) -> Result<Archive<'_>, Reason> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| {
        format!("is not a whole zip archive ({error}); was it cut off? download or copy it again")
    })?;
    archive::check(&mut zip)?;
    let folder = zip.file_names().find_map(|name| {
        let folder = name.ok()?.strip_suffix(PICKLE)?.to_string();
        // At the top or in one folder.
        (folder.is_empty() || folder.find('/') == Some(folder.len() - 1)).then_some(folder)
    });
    let folder = folder.ok_or("is no PyTorch file: it holds no data.pkl")?;
    Ok(Archive { bytes, zip, folder, big_endian: false })
}

/// Runs `work` on the pickle, the bytes of memory that are left, and the storages.
pub(super) fn with<'a, T>(
    bytes: &'a [u8],
    work: impl FnOnce(&[u8], usize, &mut dyn Storages<'a>) -> Result<T, Reason>,
) -> Result<T, Reason> {
    let unpacked = || {
        let mut archive = open(bytes)?;
        let mut budget = limit(bytes.len());
        if archive.has("constants.pkl") {
            return Err(
                "is a TorchScript file (torch.jit.save), whose program is not read; save the weights alone: \
                        `torch.save(model.state_dict(), \"NAME.pt\")`"
                    .into(),
            );
        }
        if archive.has("byteorder") {
            archive.big_endian = match &*archive.member("byteorder", &mut budget)? {
                b"little" => false,
                b"big" => true,
                _ => return Err("its byteorder is neither `little` nor `big`; is the file damaged?".into()),
            };
        }
        let pickle = archive.member(PICKLE, &mut budget)?;
        work(&pickle, budget, &mut archive)
    };
    panics::contain(unpacked).unwrap_or_else(|| Err(DAMAGED.into()))
}

impl<'a> Archive<'a> {
    fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{}{name}", self.folder)).is_some()
    }

    /// A member's bytes: the file's own where they are not compressed, as PyTorch writes them. What is read is taken off
    /// the budget either way, for an archive can hold the same bytes under many names.
    fn member(&mut self, name: &str, budget: &mut usize) -> Result<Cow<'a, [u8]>, Reason> {
        let damaged = |what: &dyn std::fmt::Display| {
            format!("its {name} is damaged ({what}); download or copy the file again")
        };
        let index = self.zip.index_for_name(&format!("{}{name}", self.folder));
        let index = index.ok_or_else(|| format!("holds no {name}; is the file damaged?"))?;
        let mut member = self.zip.by_index(index).map_err(|error| damaged(&error))?;
        let too_large = || format!("its {name} unpacks to far more than the file's size; it is not opened");
        if member.size() > *budget as u64 {
            return Err(too_large());
        }
        let start = member.data_start().filter(|_| member.compression() == CompressionMethod::Stored);
        // Read to the end, where its checksum is compared.
        let mut limited = (&mut member).take((*budget as u64).saturating_add(1));
        let mut unpacked = Vec::new();
        let length = match start {
            Some(_) => copy(&mut limited, &mut sink()).map(|length| length as usize),
            None => limited.read_to_end(&mut unpacked),
        };
        let length = length.map_err(|error| damaged(&error))?;
        *budget = budget.checked_sub(length).ok_or_else(too_large)?;
        let Some(start) = start else { return Ok(Cow::Owned(unpacked)) };
        let start = usize::try_from(start).map_err(|_| DAMAGED)?;
        let own = self.bytes.get(start..).and_then(|rest| rest.get(..length));
        own.map(Cow::Borrowed).ok_or_else(|| damaged(&"it ends too early"))
    }
}

impl<'a> Storages<'a> for Archive<'a> {
    fn bytes(&mut self, key: &str, budget: &mut usize) -> Result<Cow<'a, [u8]>, Reason> {
        self.member(&format!("data/{key}"), budget)
    }

    fn big_endian(&self) -> bool {
        self.big_endian
    }
}

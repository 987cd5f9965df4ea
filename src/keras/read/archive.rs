//! The zip archive around a `.keras`: `metadata.json`, `config.json` and `model.weights.h5`.

use super::assets::{Assets, group_of};
use crate::formats::archive::{self, limit};
use crate::{Error, Result, panics};
use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::path::Path;
use zip::ZipArchive;
use zip::result::{ZipError, ZipResult};

/// The members that matter.
pub(super) struct Members {
    /// The architecture.
    pub config: Vec<u8>,
    /// Which Keras wrote it; early files have none.
    pub metadata: Option<Vec<u8>>,
    /// The variables, an HDF5 file.
    pub weights: Vec<u8>,
    /// Vocabularies.
    pub assets: Assets,
}

/// Unpacks the archive `bytes`, the content of the file `path`.
pub(super) fn unpack(path: &Path, bytes: &[u8]) -> Result<Members> {
    panics::contain(|| members(path, bytes))
        .unwrap_or_else(|| Err(Error::file(path, "is a damaged zip archive; download or copy it again")))
}

fn members(path: &Path, bytes: &[u8]) -> Result<Members> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| {
        let what = format!("is not a whole zip archive ({error}); was it cut off? download or copy it again");
        Error::file(path, what).with_source(error)
    })?;
    archive::check(&mut archive).map_err(|what| Error::file(path, what))?;
    // A name that is none keeps its place: members are asked for by their number.
    let shown =
        |name: ZipResult<Cow<str>>| name.map_or_else(|_| String::new(), |name| name.replace('\\', "/"));
    let names: Vec<String> = archive.file_names().map(shown).collect();
    let mut budget = limit(bytes.len());
    let config = match find(&names, "config.json") {
        Some(index) => member(path, &mut archive, index, &mut budget)?,
        None => return Err(Error::file(path, foreign(&names))),
    };
    let metadata = match find(&names, "metadata.json") {
        Some(index) => Some(member(path, &mut archive, index, &mut budget)?),
        None => None,
    };
    let weights = match find(&names, "model.weights.h5") {
        Some(index) => member(path, &mut archive, index, &mut budget)?,
        None if names.iter().any(|name| name.ends_with("model.weights.json")) => {
            let what = "keeps its weights in several files, which is not read; save it again without `max_shard_size`";
            return Err(Error::file(path, what));
        }
        None => {
            let what = "holds an architecture (config.json) but no weights (model.weights.h5 is missing)";
            return Err(Error::file(path, what));
        }
    };
    let mut assets = Assets::new();
    for (index, name) in names.iter().enumerate() {
        if let Some(group) = group_of(name) {
            assets.insert(group.into(), member(path, &mut archive, index, &mut budget)?);
        }
    }
    Ok(Members { config, metadata, weights, assets })
}

/// The member `name`, at the top or in the one folder that the archive was packed from.
fn find(names: &[String], name: &str) -> Option<usize> {
    names.iter().position(|found| found == name).or_else(|| {
        names.iter().position(|found| match found.split_once('/') {
            Some((folder, rest)) => rest == name && !folder.starts_with("__MACOSX"),
            None => false,
        })
    })
}

fn member(
    path: &Path,
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    index: usize,
    budget: &mut usize,
) -> Result<Vec<u8>> {
    let member = archive.by_index(index).map_err(|error| {
        let what = match &error {
            ZipError::UnsupportedArchive(what) => {
                format!("a member of the zip archive cannot be unpacked: {what}")
            }
            error => format!("is a damaged zip archive ({error})"),
        };
        Error::file(path, what).with_source(error)
    })?;
    let name = member.name().map(|name| name.into_owned()).unwrap_or_default();
    let too_large =
        || Error::file(path, format!("{name} unpacks to far more than the file's size; it is not opened"));
    if member.size() > *budget as u64 {
        return Err(too_large());
    }
    // The archive's own figure for the size may lie: memory is asked for as bytes come.
    let mut bytes = Vec::new();
    member.take(*budget as u64 + 1).read_to_end(&mut bytes).map_err(|error| {
        let what = format!("{name} is damaged ({error}); download or copy the file again");
        Error::file(path, what).with_source(error)
    })?;
    *budget = budget.checked_sub(bytes.len()).ok_or_else(too_large)?;
    Ok(bytes)
}

/// What to say of a zip archive that is not Keras's.
fn foreign(names: &[String]) -> String {
    let any = |end: &str| names.iter().any(|name| name.ends_with(end));
    if any("saved_model.pb") {
        "is a zipped TensorFlow SavedModel, which is not read; save the model with Keras's `model.save(\"NAME.keras\")`"
            .into()
    } else if names.iter().all(|name| name.ends_with(".npy")) {
        "is a NumPy archive of arrays, not a model; is it the input rather than the model?".into()
    } else {
        let some: Vec<&str> = names.iter().take(4).map(String::as_str).collect();
        format!("is a zip archive but not a .keras file: it holds no config.json (but {})", some.join(", "))
    }
}

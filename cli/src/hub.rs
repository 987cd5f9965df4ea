//! `hf://`: what addresses of the Hugging Face Hub stand for on this machine.

use super::device::status;
use super::output::message;
use candle_recurrent::hub::{Address, Hub};
use candle_recurrent::sharing::{DataFiles, Needed, Wanted, find_data, find_model};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The address that a text is, if it is meant as one.
fn address(text: &str) -> anyhow::Result<Option<Address>> {
    Ok(Address::is_one(text).then(|| text.parse()).transpose()?)
}

/// Whether a path is meant as an address.
pub(super) fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(Address::is_one)
}

/// What others may see of a path: an address whole, of a file or folder the name.
pub(super) fn public_name(path: &Path) -> String {
    let name = if is_address(path) { None } else { path.file_name() };
    name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The folder or file of the model that an address names, if the argument is one.
pub(super) fn model(argument: &str, needed: Needed) -> anyhow::Result<Option<PathBuf>> {
    let Some(address) = address(argument)? else { return Ok(None) };
    let found = find_model(&Hub::from_env()?, &address, needed, &mut status(false))?;
    warn(found.is_old.as_deref());
    Ok(Some(found.path))
}

/// The files of the data set that an address names, if the path is one.
pub(super) fn data(path: &Path, wanted: Wanted, quiet: bool) -> anyhow::Result<Option<DataFiles>> {
    let Some(address) = address(path.to_str().unwrap_or_default())? else { return Ok(None) };
    let found = find_data(&Hub::from_env()?, &address, wanted, &mut status(quiet))?;
    warn(found.is_old.as_deref());
    for note in found.notes.iter().filter(|_| !quiet) {
        message(&format!("{address}: {note}"));
    }
    Ok(Some(found))
}

/// The one file that an address names, or the path itself.
pub(super) fn one_file(path: &Path) -> anyhow::Result<Cow<'_, Path>> {
    let Some(files) = data(path, Wanted::Test, false)? else { return Ok(path.into()) };
    let parts = [files.test, files.validation, files.train];
    let part = parts.into_iter().find(|part| !part.is_empty()).unwrap_or_default();
    match <[PathBuf; 1]>::try_from(part) {
        Ok([file]) => Ok(file.into()),
        Err(part) => anyhow::bail!(
            "{}: has {} files where one is to be read; name one: hf://datasets/OWNER/NAME/FILE",
            path.display(),
            part.len()
        ),
    }
}

fn warn(is_old: Option<&str>) {
    if let Some(why) = is_old {
        message(&format!("warning: {why}"));
    }
}

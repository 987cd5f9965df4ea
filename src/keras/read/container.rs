//! Which kind of file it is, by its first bytes.

use crate::formats::file::check_regular;
use crate::formats::read_text;
use crate::formats::torch::is_legacy;
use crate::{Error, Result};
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The kinds of files that hold a model or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// HDF5: Keras's `.h5` or `.weights.h5`.
    Hdf5,
    /// A zip archive: Keras's `.keras`, or PyTorch's `.pt`, which are told apart by what is in them.
    Zip,
    /// JSON: an architecture without weights.
    Json,
    /// `.safetensors`: weights without an architecture.
    Safetensors,
    /// What PyTorch wrote before 1.6: weights without an architecture.
    Torch,
}

/// How an HDF5 file begins.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// The kind of the file at `path`.
///
/// # Errors
/// [`Error::File`] where it cannot be read, or is another kind of file: the message says which.
pub fn kind(path: impl AsRef<Path>) -> Result<Kind> {
    let path = path.as_ref();
    let fail = |error: std::io::Error| Error::io(path, error);
    check_regular(path)?;
    let file = File::open(path).map_err(fail)?;
    let mut start = Vec::with_capacity(START);
    (&file).take(START as u64).read_to_end(&mut start).map_err(fail)?;
    let sniffed = match sniff(&start) {
        // What is no file of any known kind may be a user block.
        Err(_) if has_user_block(&file).map_err(fail)? => Ok(Kind::Hdf5),
        other => other,
    };
    let kind = sniffed.map_err(|what| Error::file(path, what))?;
    if kind == Kind::Json
        && let Ok(text) = read_text(path)
        && let Some(what) = foreign_json(&text)
    {
        return Err(Error::file(path, what));
    }
    Ok(kind)
}

/// How many bytes tell the kind of a file, but for a long user block.
const START: usize = 2048;

/// The places where an HDF5 file of `length` bytes may begin: after 0, 512, 1024, 2048, … bytes of the user's own.
fn hdf5_starts(length: u64) -> impl Iterator<Item = u64> {
    let blocks = (9..40).map(|power| 1_u64 << power);
    std::iter::once(0).chain(blocks).take_while(move |&at| at < length)
}

/// Whether an HDF5 file stands after a block of the user's own.
fn has_user_block(mut file: &File) -> std::io::Result<bool> {
    for at in hdf5_starts(file.metadata()?.len()).skip(1) {
        let mut signature = Vec::with_capacity(HDF5.len());
        file.seek(SeekFrom::Start(at))?;
        file.take(HDF5.len() as u64).read_to_end(&mut signature)?;
        if signature == HDF5 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The kind of a file by all its bytes.
pub(crate) fn sniff_whole(bytes: &[u8]) -> std::result::Result<Kind, String> {
    let sniffed = sniff(bytes.get(..START).unwrap_or(bytes));
    let begins = |at: u64| bytes.get(at as usize..).is_some_and(|rest| rest.starts_with(HDF5));
    match sniffed {
        Err(_) if hdf5_starts(bytes.len() as u64).any(begins) => Ok(Kind::Hdf5),
        other => other,
    }
}

/// What to say of JSON that is no architecture, told by its fields; nothing where it may be one.
pub(crate) fn foreign_json(text: &str) -> Option<&'static str> {
    let fields = serde_json::from_str::<HashMap<String, IgnoredAny>>(text).ok()?;
    let has = |name: &str| fields.contains_key(name);
    match () {
        () if has("modelTopology") || has("weightsManifest") => Some(
            "is a model of TensorFlow.js, which is not read; convert it with `tensorflowjs_converter --input_format \
             tfjs_layers_model --output_format keras model.json NAME.h5`",
        ),
        () if has("weight_map") => Some(
            "is the list of the files that a model's weights are cut into, which are not read; save them again without \
             `max_shard_size`",
        ),
        () if has("word_index") || has("class_name") && text.contains("\"word_counts\"") => {
            Some("is a vocabulary, not a model; it goes with --tokenizer")
        }
        () => None,
    }
}

/// The kind that the first bytes of a file (up to 2048 of them) tell.
pub(crate) fn sniff(start: &[u8]) -> std::result::Result<Kind, String> {
    // HDF5 allows 512, 1024, … bytes of the user's own before its signature.
    if [0, 512, 1024].iter().any(|&at| start.get(at..).is_some_and(|rest| rest.starts_with(HDF5))) {
        return Ok(Kind::Hdf5);
    }
    if start.starts_with(b"PK\x03\x04") {
        return Ok(Kind::Zip);
    }
    if is_legacy(start) {
        return Ok(Kind::Torch);
    }
    if is_safetensors(start) {
        return Ok(Kind::Safetensors);
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    if text.starts_with(b"{") {
        return Ok(Kind::Json);
    }
    Err(foreign(start).into())
}

/// A safetensors file begins with the length of its header, and the header is a JSON object.
fn is_safetensors(start: &[u8]) -> bool {
    let Some((length, header)) = start.split_first_chunk::<8>() else { return false };
    (2..=100 << 20).contains(&u64::from_le_bytes(*length)) && header.starts_with(b"{")
}

/// What to say of a file that is none of Keras's.
fn foreign(start: &[u8]) -> &'static str {
    match start {
        [] => "is empty",
        [b'P', b'K', 5, 6, ..] => "is an empty zip archive: it holds no model",
        // Pickle protocols 2 to 5.
        [0x80, 2..=5, ..] => {
            "is a Python pickle (of scikit-learn or joblib?), which is not read, for it can hold code; save the model with \
             Keras's `model.save(\"NAME.keras\")`, or PyTorch's `torch.save(model.state_dict(), \"NAME.pt\")`"
        }
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', b'h', b't', ..] => {
            "is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`"
        }
        [b'<', ..] => "is a web page or XML, not a model; was the download refused?",
        [0x1f, 0x8b, ..] => "is gzip-compressed; unpack it with `gunzip` first",
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => {
            "is a TensorFlow Lite model, from which Keras's layers cannot be read; take the model it was made of"
        }
        [0x0a, ..] | [0x08, ..] if is_protobuf(start) => {
            "looks like a TensorFlow SavedModel, graph or ONNX file, which is not read; save the model with Keras's \
             `model.save(\"NAME.keras\")`"
        }
        _ => {
            "is no model that can be read: expected Keras's .keras, .h5 or .weights.h5, a .safetensors, PyTorch's .pt, a \
             model folder or a config.json (told apart by their first bytes, not by their names)"
        }
    }
}

/// Whether text that protocol-buffer files of models hold near their start is there.
fn is_protobuf(start: &[u8]) -> bool {
    [&b"tensorflow"[..], b"serve", b"pytorch", b"onnx", b"keras", b"tf2onnx", b"node"]
        .iter()
        .any(|word| start.windows(word.len()).any(|window| window == *word))
        || start.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        assert_eq!(sniff(HDF5), Ok(Kind::Hdf5));
        let mut with_user_block = vec![0; 512];
        with_user_block.extend_from_slice(HDF5);
        assert_eq!(sniff(&with_user_block), Ok(Kind::Hdf5));
        assert_eq!(sniff(b"PK\x03\x04\x14\0"), Ok(Kind::Zip));
        assert_eq!(sniff(b"\x40\0\0\0\0\0\0\0{\"a\""), Ok(Kind::Safetensors));
        assert_eq!(sniff(b"\n {\"class_name\""), Ok(Kind::Json));
    }

    #[test]
    fn other_files_are_named() {
        let says = |start: &[u8], word: &str| {
            let what = sniff(start).unwrap_err();
            assert!(what.contains(word), "{what}");
        };
        says(b"", "empty");
        says(b"\x80\x04\x95", "pickle");
        assert_eq!(
            sniff(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80"),
            Ok(Kind::Torch)
        );
        says(b"\x1c\0\0\0TFL3", "Lite");
        says(b"version https://git-lfs.github.com/spec/v1\n", "git lfs");
        says(b"<!DOCTYPE html>", "web page");
        says(b"\x08\x01\x12\x10tensorflow\0", "SavedModel");
        says(b"anything else", "expected Keras's");
    }
}

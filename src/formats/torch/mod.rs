//! PyTorch's `torch.save`: the weights in a `.pt`, `.pth`, `.bin` or `.ckpt`, as data.
//!
//! | file | what it does |
//! |---|---|
//! | `archive.rs` | the zip that PyTorch writes since 1.6 |
//! | `legacy.rs` | what it wrote before: pickles in a row, then the numbers |
//! | `find.rs` | which of the pickle's dictionaries are the weights: a `state_dict`, one in a checkpoint, a pickled module |
//! | `tensor.rs` | a tensor of the pickle, out of its storage |
//!
//! The pickle is read by [`pickle`](super::pickle): no class of it is looked up and nothing is called.

mod archive;
mod find;
mod legacy;
mod tensor;

pub(crate) use archive::is_archive;
pub(crate) use legacy::is_legacy;

use super::archive::limit;
use super::pickle::{Pickle, Reason, Value};
use candle_core::Tensor;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tensor::Tensors;

/// Where the numbers are, by the key of their storage.
trait Storages<'a> {
    /// The bytes of a storage, little-endian unless [`big_endian`](Self::big_endian). What is read is taken off `budget`.
    fn bytes(&mut self, key: &str, budget: &mut usize) -> Result<Cow<'a, [u8]>, Reason>;

    fn big_endian(&self) -> bool {
        false
    }
}

/// The floating-point tensors of the weights in the file `bytes`, by name and in their own type.
///
/// # Errors
/// In words that follow the file's name: where it is damaged, holds no weights or more than one set of them, or a tensor
/// of a kind that is not read; where it would call what no file of weights needs.
pub(crate) fn state_dict(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, Reason> {
    match is_legacy(bytes) {
        true => {
            let (pickle, root, mut storages) = legacy::open(bytes)?;
            tensors(&pickle, root, &mut storages, limit(bytes.len()))
        }
        false => archive::with(bytes, |pickle, budget, storages| {
            let (pickle, root) = Pickle::read(pickle).map_err(|what| format!("its data.pkl: {what}"))?;
            tensors(&pickle, root, storages, budget)
        }),
    }
}

fn tensors<'a>(
    pickle: &Pickle,
    root: Value,
    storages: &mut dyn Storages<'a>,
    budget: usize,
) -> Result<BTreeMap<String, Tensor>, Reason> {
    if let Some((module, name)) = pickle.calls().find(|call| is_attack(*call)) {
        return Err(format!(
            "would have Python call {}.{} when it is opened there, as no file of weights does; nothing of it was run, and \
             it should not be opened with `torch.load` either",
            shown(module),
            shown(name)
        ));
    }
    let named = find::weights(pickle, root)?;
    let mut read = Tensors::new(pickle, storages, budget);
    let mut tensors = BTreeMap::new();
    for (name, value) in named {
        let tensor =
            read.tensor(value).map_err(|what| format!("the tensor `{}`: {what}", shown(name.as_bytes())))?;
        tensors.extend(tensor.map(|tensor| (name, tensor)));
    }
    Ok(tensors)
}

/// Whether it is what is called in pickles that are made to harm whoever opens them in Python. Here nothing is called
/// whatever its name.
fn is_attack((module, name): (&[u8], &[u8])) -> bool {
    match module.split(|&byte| byte == b'.').next().unwrap_or_default() {
        b"os" | b"posix" | b"nt" | b"subprocess" | b"pty" | b"sys" | b"runpy" | b"shutil" | b"socket"
        | b"importlib" | b"webbrowser" | b"urllib" | b"requests" | b"code" => true,
        b"builtins" | b"__builtin__" => matches!(
            name,
            b"exec" | b"eval" | b"compile" | b"open" | b"execfile" | b"__import__" | b"breakpoint" | b"input"
        ),
        _ => false,
    }
}

/// A name of the file's in a message.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(80)]).chars().filter(|c| !c.is_control()).collect()
}

//! The files of PyTorch before 1.6 (`_use_new_zipfile_serialization=False`): five pickles in a row (a magic number, a
//! version, facts of the machine, the objects, the keys of the storages), then for each key the number of its elements
//! and they themselves, little-endian on every machine.

use super::tensor::element_type;
use super::{Storages, shown};
use crate::formats::pickle::{Pickle, Reason, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// LONG1 of PyTorch's magic number, and the end of the first pickle.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e";
/// The version of the format, and the only one.
const VERSION: i64 = 1001;
const TRUNCATED: &str = "is a PyTorch file that ends too early; download or copy it again";

/// Whether a file begins as one of these does.
pub(crate) fn is_legacy(start: &[u8]) -> bool {
    let magic = start.get(2..).unwrap_or_default();
    // From protocol 4 on there is a frame around it.
    let framed = magic.strip_prefix(b"\x95").and_then(|rest| rest.get(8..));
    start.first() == Some(&0x80) && framed.unwrap_or(magic).starts_with(MAGIC)
}

/// Storages by their keys.
pub(super) struct Legacy<'a>(HashMap<&'a [u8], &'a [u8]>);

/// The pickle of the objects, its root, and the storages.
pub(super) fn open(bytes: &[u8]) -> Result<(Pickle<'_>, Value<'_>, Legacy<'_>), Reason> {
    let within = |what: Reason| format!("is a PyTorch file that cannot be read: {what}");
    let (_, _, rest) = Pickle::read_first(bytes).map_err(within)?;
    let (_, version, rest) = Pickle::read_first(rest).map_err(within)?;
    if version != Value::Int(VERSION) {
        return Err(
            "is a PyTorch file of an unknown version; open it in PyTorch and save it again with `torch.save`"
                .into(),
        );
    }
    let (_, _, rest) = Pickle::read_first(rest).map_err(within)?;
    let (pickle, root, rest) = Pickle::read_first(rest).map_err(within)?;
    let (keys, list, mut rest) = Pickle::read_first(rest).map_err(within)?;
    // The width of an element is known by those who use it only.
    let mut widths = HashMap::new();
    for id in pickle.ids() {
        if let [_, class, Value::Text(key), ..] = *id
            && let Some(kind) = pickle.name(class).and_then(|(_, name)| element_type(name))
        {
            widths.insert(key, kind.width());
        }
    }
    let mut storages = HashMap::new();
    for key in keys.items(list).ok_or(TRUNCATED)? {
        let Value::Text(key) = *key else { return Err(TRUNCATED.into()) };
        let width = widths.get(key);
        let width = *width.ok_or_else(|| format!("its storage {} is of an unknown type", shown(key)))?;
        let (count, numbers) = rest.split_first_chunk::<8>().ok_or(TRUNCATED)?;
        let length =
            usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(width));
        let (numbers, after) = length.and_then(|length| numbers.split_at_checked(length)).ok_or(TRUNCATED)?;
        storages.insert(key, numbers);
        rest = after;
    }
    Ok((pickle, root, Legacy(storages)))
}

impl<'a> Storages<'a> for Legacy<'a> {
    fn bytes(&mut self, key: &str, _: &mut usize) -> Result<Cow<'a, [u8]>, Reason> {
        let bytes = self
            .0
            .get(key.as_bytes())
            .ok_or_else(|| format!("holds no storage {}", shown(key.as_bytes())))?;
        Ok(Cow::Borrowed(bytes))
    }
}

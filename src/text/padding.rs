//! Keras's `pad_sequences`: rows of ids of one length.

use super::PAD;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The end of a row at which something is put in or taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The beginning.
    #[default]
    Pre,
    /// The end.
    Post,
}

impl Side {
    /// Whether it is Keras's default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pre" => Ok(Self::Pre),
            "post" => Ok(Self::Post),
            _ => Err("give pre or post".into()),
        }
    }
}

/// How rows of ids come to one length: where zeros are put to short ones, and where long ones are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Where the zeros stand.
    pub padding: Side,
    /// Where ids are left out.
    pub truncating: Side,
}

impl Padding {
    /// Writes a row's ids into `out`, a row of its final length that holds zeros.
    pub fn place(self, row: &[u32], out: &mut [u32]) {
        let kept = row.len().min(out.len());
        let (rest, free) = (row.len() - kept, out.len() - kept);
        let row = match self.truncating {
            Side::Pre => &row[rest..],
            Side::Post => &row[..kept],
        };
        match self.padding {
            Side::Pre => out[free..].copy_from_slice(row),
            Side::Post => out[..kept].copy_from_slice(row),
        }
    }
}

/// Keras's `pad_sequences(maxlen=max_len)`: a table (rows × `max_len`, row-major) with zeros before short rows, and of
/// long rows the end.
pub fn pad_sequences<R: AsRef<[u32]>>(rows: &[R], max_len: usize) -> Vec<u32> {
    pad_sequences_with(rows, max_len, Padding::default())
}

/// The same with Keras's `padding` and `truncating`.
pub fn pad_sequences_with<R: AsRef<[u32]>>(rows: &[R], max_len: usize, padding: Padding) -> Vec<u32> {
    let mut ids = vec![PAD; rows.len() * max_len];
    // Of rows of no length there are none to walk over.
    for (out, row) in ids.chunks_exact_mut(max_len.max(1)).zip(rows) {
        padding.place(row.as_ref(), out);
    }
    ids
}

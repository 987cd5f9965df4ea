//! Rows of token ids with their labels.

use crate::{Error, Result};

/// Rows of token ids of equal length, with their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    ids: Vec<u32>,
    labels: Vec<u8>,
    max_len: usize,
}

impl Dataset {
    /// A data set of `labels.len()` rows; `ids` is (rows × `max_len`), row-major.
    ///
    /// # Errors
    /// [`Error::Argument`] for a `max_len` of 0; [`Error::Data`] where the lengths do not fit together or a label is not
    /// 0 or 1.
    pub fn new(ids: Vec<u32>, labels: Vec<u8>, max_len: usize) -> Result<Self> {
        if max_len == 0 {
            return Err(Error::argument("max_len", "0, expected at least 1"));
        }
        if labels.len().checked_mul(max_len) != Some(ids.len()) {
            let what =
                format!("{} ids for {} labels, expected {max_len} ids a label", ids.len(), labels.len());
            return Err(Error::Data(what));
        }
        if let Some(label) = labels.iter().find(|&&label| label > 1) {
            return Err(Error::Data(format!("label {label}, expected 0 (negative) or 1 (positive)")));
        }
        Ok(Self { ids, labels, max_len })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of ids in a row.
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// All ids, (rows × `max_len`), row-major.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The ids of row `index`.
    ///
    /// # Panics
    /// Where there is no such row, as indexing a slice does.
    pub fn row(&self, index: usize) -> &[u32] {
        &self.ids[index * self.max_len..(index + 1) * self.max_len]
    }

    /// The labels: 0 negative, 1 positive.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The number of positive rows.
    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|&&label| label == 1).count()
    }

    /// Copies `rows` into the buffers of a batch, which are emptied first and keep their room: `ids` becomes
    /// (`rows.len()` × `max_len`), `labels` 0.0 or 1.0 for each.
    ///
    /// # Panics
    /// Where a row does not exist, as indexing a slice does.
    pub fn gather(&self, rows: &[u32], ids: &mut Vec<u32>, labels: &mut Vec<f32>) {
        ids.clear();
        labels.clear();
        for &row in rows {
            ids.extend_from_slice(self.row(row as usize));
            labels.push(f32::from(self.labels[row as usize]));
        }
    }
}

/// Refuses what cannot be learnt from.
pub(super) fn check_trainable(labels: &[u8]) -> Result<()> {
    let positives = labels.iter().filter(|&&label| label == 1).count();
    let what = match positives {
        _ if labels.is_empty() => "no reviews to train on",
        0 => "all training reviews are negative, expected both classes",
        all if all == labels.len() => "all training reviews are positive, expected both classes",
        _ => return Ok(()),
    };
    Err(Error::Data(what.into()))
}

/// Refuses a table of ids that no machine should be asked for, beyond 2³² (16 GiB), or for which this one has no memory.
pub(super) fn check_table(rows: usize, max_len: usize) -> Result<()> {
    const MOST: usize = 1 << 32;
    let ids = rows.saturating_mul(max_len);
    let refuse = |what: String| {
        let what = format!("{max_len} for {rows} reviews would take {} GiB; {what}", (ids >> 28).max(1));
        Err(Error::argument("max_len", what))
    };
    if ids > MOST {
        return refuse(format!("give at most {}", MOST / rows));
    }
    match Vec::<u32>::new().try_reserve_exact(ids) {
        Ok(()) => Ok(()),
        Err(_) => refuse("this machine has not so much memory to give; give less".into()),
    }
}

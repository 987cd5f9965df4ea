//! Keras's `imdb.load_data`: its shuffle, and its start and out-of-vocabulary ids.

use super::RandomState;
use crate::formats::pickle::Rows;
use crate::text::{INDEX_FROM, Padding, START, UNKNOWN};

/// The seed of `keras.datasets.imdb.load_data`.
const SHUFFLE_SEED: u32 = 113;

/// The orders in which Keras hands out `train` and `test` reviews: both drawn, one after the other, from one stream.
pub fn shuffle(train: u32, test: u32) -> (Vec<u32>, Vec<u32>) {
    let mut random = RandomState::new(SHUFFLE_SEED);
    let first = random.permutation(train);
    (first, random.permutation(test))
}

/// The table (`order.len()` × `max_len`) of the reviews `rows`, lists of the words' ranks, taken in `order`: the start
/// id, then each rank + 3, or the unknown id where that is not below `vocab_size`; padded and cut as `padding` says.
pub fn table(rows: &Rows, order: &[u32], vocab_size: usize, max_len: usize, padding: Padding) -> Vec<u32> {
    let mut ids = vec![0; order.len() * max_len];
    let mut review = Vec::new();
    for (out, &row) in ids.chunks_exact_mut(max_len.max(1)).zip(order) {
        review.clear();
        review.push(START);
        review.extend(rows.row(row as usize).iter().map(|rank| {
            let full = rank.saturating_add(INDEX_FROM);
            if (full as usize) < vocab_size { full } else { UNKNOWN }
        }));
        padding.place(&review, out);
    }
    ids
}

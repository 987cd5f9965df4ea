//! In which order an epoch sees the training rows.

use crate::data::{Array, RandomState};

/// Batches whose rows are sorted by length together.
const SORTED: usize = 50;

/// The order of an epoch, `n` rows: in NumPy `RandomState([seed % 2**32, seed >> 32, epoch]).permutation(n)`.
pub(super) fn shuffled(n: u32, seed: u64, epoch: usize) -> Vec<u32> {
    RandomState::from_key(&[seed as u32, (seed >> 32) as u32, epoch as u32]).permutation(n)
}

/// The order made one of batches of like length: of some batches' rows at a time, the shorter come first; then the batches
/// are shuffled. The batch that is not full stays last.
pub(super) fn grouped(
    mut order: Vec<u32>,
    lengths: &[u32],
    batch_size: usize,
    seed: u64,
    epoch: usize,
) -> Vec<u32> {
    let length = |row: &u32| lengths.get(*row as usize).copied();
    order.chunks_mut(batch_size.saturating_mul(SORTED)).for_each(|rows| rows.sort_by_key(length));
    let full = order.len() / batch_size;
    let mut turns = RandomState::from_key(&[seed as u32, (seed >> 32) as u32, epoch as u32, 1]);
    // There are no more batches than rows, which are counted so.
    let turns = turns.permutation(full as u32).into_iter().map(|turn| turn as usize * batch_size);
    let batches = turns.map(|from| &order[from..from + batch_size]);
    batches.chain([&order[full * batch_size..]]).flatten().copied().collect()
}

/// Of each row of ids, how many there are without the zeros before and behind them.
pub(super) fn lengths(ids: &Array) -> Vec<u32> {
    let width: usize = ids.row_shape().iter().product();
    let mut lengths = Vec::with_capacity(ids.rows());
    let counted = ids.try_for_each_part(|_, ids| {
        lengths.extend(ids.chunks_exact(width.max(1)).map(|row| {
            let first = row.iter().position(|id| *id != 0.0).unwrap_or(width);
            let last = row.iter().rposition(|id| *id != 0.0).map_or(first, |last| last + 1);
            (last - first) as u32
        }));
        Ok::<(), std::convert::Infallible>(())
    });
    match counted {
        Ok(()) => lengths,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_of_like_length_and_hold_every_row() -> crate::Result<()> {
        let ids: Vec<u32> =
            (0..203).flat_map(|row| (0..9).map(move |at| u32::from(at > row % 8 && at < 8))).collect();
        let lengths = lengths(&Array::ids(ids, &[203, 9])?);
        assert_eq!(lengths[..8], [7, 6, 5, 4, 3, 2, 1, 0]);
        let order = grouped(shuffled(203, 42, 1), &lengths, 10, 42, 1);
        let spread = |rows: &[u32]| {
            let lengths = rows.iter().map(|row| lengths[*row as usize]);
            lengths.clone().max().unwrap_or(0) - lengths.min().unwrap_or(0)
        };
        assert!(order.chunks_exact(10).all(|batch| spread(batch) <= 1));
        let means: Vec<u32> = order
            .chunks_exact(10)
            .map(|batch| batch.iter().map(|row| lengths[*row as usize]).sum())
            .collect();
        assert!(!means.is_sorted(), "the batches are shuffled");
        assert_ne!(order, grouped(shuffled(203, 42, 2), &lengths, 10, 42, 2));
        let mut rows = order;
        rows.sort_unstable();
        assert_eq!(rows, (0..203).collect::<Vec<u32>>());
        Ok(())
    }
}

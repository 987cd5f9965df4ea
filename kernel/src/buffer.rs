//! Scratch memory that is kept from one batch to the next: pages touched once stay ours.

use crate::memory::zeros;
use std::sync::Mutex;

/// Buffers waiting for their next use, the latest last, by the thread that asked for them: it may still have them in its
/// cache. Many threads share.
static POOLS: [Mutex<Vec<Vec<f32>>>; 16] = [const { Mutex::new(Vec::new()) }; 16];
/// How many of them a pool keeps at most, and how many floats: larger layers spend their time elsewhere.
const KEPT: usize = 64;
const KEPT_FLOATS: usize = 1 << 26;

/// Floats in a cache line: a buffer begins with one, so that no vector lies across two.
const LINE: usize = 16;

/// A slice of floats with arbitrary contents, given back when dropped.
pub(crate) struct Buffer {
    floats: Vec<f32>,
    start: usize,
    len: usize,
    /// The pool that it goes back to.
    pool: usize,
}

impl Buffer {
    /// `len` floats. Their values are left over from an earlier use: write before you read.
    pub(crate) fn new(len: usize) -> Self {
        let home = rayon::current_thread_index().unwrap_or(0) % POOLS.len();
        let mut pool = POOLS[home].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // The smallest that is large enough, and not wastefully so.
        let fit = pool
            .iter()
            .enumerate()
            .filter(|(_, kept)| kept.len() >= len + LINE && kept.len() / 4 <= len + LINE)
            .min_by_key(|(_, kept)| kept.len())
            .map(|(index, _)| index);
        let floats = fit.map(|index| pool.remove(index));
        drop(pool);
        let floats = floats.unwrap_or_else(|| zeros(len + LINE));
        let start = floats.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { floats, start, len, pool: home }
    }

    /// The same, all zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut buffer = Self::new(len);
        buffer.fill(0.0);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = POOLS[self.pool].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut floats: usize = pool.iter().map(Vec::len).sum::<usize>() + self.floats.len();
        while !pool.is_empty() && (pool.len() >= KEPT || floats > KEPT_FLOATS) {
            floats -= pool.remove(0).len();
        }
        if floats <= KEPT_FLOATS {
            pool.push(std::mem::take(&mut self.floats));
        }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.floats[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.floats[self.start..self.start + self.len]
    }
}

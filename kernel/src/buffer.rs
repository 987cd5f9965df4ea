//! Scratch memory that is kept from one batch to the next: pages touched once stay ours.

use crate::memory::unwritten;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers waiting for their next use, the latest last.
struct Pool {
    buffers: Mutex<Vec<Vec<f32>>>,
    /// How many of them are kept at most, and how many floats.
    most: (usize, usize),
}

/// By the thread that asked for them: it may still have them in its cache. Many threads share.
static OF_THREADS: [Pool; 16] = [const { Pool { buffers: Mutex::new(Vec::new()), most: (64, 1 << 25) } }; 16];
/// Those that fill a cache by themselves, for all threads: whoever had the most blocks of one batch may have the fewest of the
/// next. There is room for two layers that keep as many steps as they may.
static OF_ALL: Pool = Pool { buffers: Mutex::new(Vec::new()), most: (usize::MAX, 1 << 28) };
/// Floats from which a buffer is for all threads.
const FOR_ALL: usize = 1 << 18;

/// Floats in a cache line: a buffer begins with one, so that no vector lies across two.
const LINE: usize = 16;

/// A slice of floats with arbitrary contents, given back when dropped.
pub(crate) struct Buffer {
    floats: Vec<f32>,
    start: usize,
    len: usize,
    /// The pool that it goes back to.
    pool: &'static Pool,
}

impl Pool {
    /// The pool of this thread for buffers of so many floats.
    fn of(len: usize) -> &'static Self {
        match len < FOR_ALL {
            true => &OF_THREADS[rayon::current_thread_index().unwrap_or(0) % OF_THREADS.len()],
            false => &OF_ALL,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<f32>>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The smallest that has room for so many floats, and not wastefully so.
    fn take(&self, len: usize) -> Option<Vec<f32>> {
        let mut buffers = self.lock();
        let fit = buffers
            .iter()
            .enumerate()
            .filter(|(_, kept)| kept.len() >= len && kept.len() / 4 <= len)
            .min_by_key(|(_, kept)| kept.len())
            .map(|(index, _)| index)?;
        Some(buffers.remove(fit))
    }

    /// Keeps a buffer; the oldest go where there are too many.
    fn put(&self, floats: Vec<f32>) {
        if floats.len() > self.most.1 {
            return;
        }
        let mut gone = vec![];
        let mut buffers = self.lock();
        let mut sum: usize = buffers.iter().map(Vec::len).sum::<usize>() + floats.len();
        while !buffers.is_empty() && (buffers.len() >= self.most.0 || sum > self.most.1) {
            let oldest = buffers.remove(0);
            sum -= oldest.len();
            gone.push(oldest);
        }
        buffers.push(floats);
        // Nobody waits for the system to take them back.
        drop(buffers);
    }
}

impl Buffer {
    /// `len` floats. Their values are left over from an earlier use: write before you read.
    pub(crate) fn new(len: usize) -> Self {
        let pool = Pool::of(len);
        let floats = pool.take(len + LINE).unwrap_or_else(|| unwritten(len + LINE));
        let start = floats.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { floats, start, len, pool }
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
        self.pool.put(std::mem::take(&mut self.floats));
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

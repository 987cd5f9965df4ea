//! What a test's code asks of the memory: an allocator that counts, for tests that run one at a time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts the bytes that are held, and ends the program where more is asked for than a test allows: a file's lie would
/// otherwise show only on a machine that has not so much.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

#[global_allocator]
static COUNTING: Counting = Counting;

impl Counting {
    fn add(size: usize) -> bool {
        let held = HELD.fetch_add(size, Relaxed).saturating_add(size);
        PEAK.fetch_max(held, Relaxed);
        let is_allowed = held <= MOST.load(Relaxed);
        if !is_allowed {
            // Once, and with no limit to what is asked for in saying so.
            MOST.store(usize::MAX, Relaxed);
            let about = ABOUT.try_lock().map(|about| about.clone()).unwrap_or_default();
            eprintln!("{size} bytes are asked for, {held} in all, by {about}");
            HELD.fetch_sub(size, Relaxed);
        }
        is_allowed
    }
}

#[allow(unsafe_code)]
// SAFETY: every call goes on to the system's allocator with the arguments that came, but for those that are refused, which
// give null as an allocator without memory does. Counting touches atomics only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match Self::add(layout.size()) {
            // SAFETY: the caller's promises for this layout are the system's.
            true => unsafe { System.alloc(layout) },
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match Self::add(layout.size()) {
            // SAFETY: as above.
            true => unsafe { System.alloc_zeroed(layout) },
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: what is given back came from the system's allocator with this layout.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let is_allowed = Self::add(size);
        HELD.fetch_sub(layout.size(), Relaxed);
        match is_allowed {
            // SAFETY: as above.
            true => unsafe { System.realloc(at, layout, size) },
            false => std::ptr::null_mut(),
        }
    }
}

/// What some work took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Bytes held at once, beyond those before.
    pub bytes: usize,
    /// How long it went on.
    pub time: Duration,
}

/// Says what is being read, for the case that it ends the program.
pub fn about(what: &str) {
    *ABOUT.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
}

static ABOUT: Mutex<String> = Mutex::new(String::new());

/// One test at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work`, which may hold `most` bytes at once: beyond that the program ends, as it does where there is no memory.
pub fn measured<T>(most: usize, work: impl FnOnce() -> T) -> (T, Taken) {
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    MOST.store(before.saturating_add(most), Relaxed);
    let start = Instant::now();
    let result = work();
    let time = start.elapsed();
    MOST.store(usize::MAX, Relaxed);
    (result, Taken { bytes: PEAK.load(Relaxed).saturating_sub(before), time })
}

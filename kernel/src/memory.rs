//! How much memory is kept: by the system's allocator between batches, by a layer between its two passes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a layer keeps for its backward pass.
static BUDGET: AtomicUsize = AtomicUsize::new(512 << 20);

/// How many bytes a recurrent layer keeps of a batch for its backward pass, 512 MiB unless this is called. Of a layer that
/// would need more only the states between stretches of steps are kept, and the backward pass computes the steps of each
/// stretch again: memory grows with the root of the steps, a training step takes about a third longer, and no bit of the
/// result is another, as long as the variables stand still between the two passes. With 0 every layer does so. It holds for the whole process.
pub fn recompute_beyond(bytes: usize) {
    BUDGET.store(bytes, Ordering::Relaxed);
}

/// The bytes in force.
pub(crate) fn budget() -> usize {
    BUDGET.load(Ordering::Relaxed)
}

/// Floats from which an array is asked to lie in large pages.
const LARGE: usize = 1 << 20;

/// So many zeros. For a large array the system is asked for large pages, where it has them: making the usual small ones takes
/// longer than most of what is done with the array.
pub fn zeros(len: usize) -> Vec<f32> {
    let zeros = vec![0.0; len];
    #[cfg(target_os = "linux")]
    if len >= LARGE {
        // Whole pages of any size that there is begin and end here.
        const PAGE: usize = 1 << 16;
        let start = zeros.as_ptr().align_offset(PAGE).min(len);
        let bytes = size_of_val(&zeros[start..]) / PAGE * PAGE;
        // SAFETY: the range is inside of the array, and the advice changes no byte of it; if it is refused, nothing happens.
        unsafe { libc::madvise(zeros[start..].as_ptr().cast_mut().cast(), bytes, libc::MADV_HUGEPAGE) };
    }
    zeros
}

/// Lets the allocator keep what large tensors leave, rather than give it back to the system after every batch and have each
/// page made anew for the next.
///
/// It is for glibc, which as a rule keeps 128 KiB, and for the whole process: up to 1 GiB stays with it until it ends, as far
/// as it has been used. Blocks beyond 32 MiB still go back at once. Other allocators are not bothered. Only the first call does
/// anything.
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: both take any number, from any thread; what they refuse they leave as it is.
            unsafe {
                libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
                libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
            }
        });
    }
}

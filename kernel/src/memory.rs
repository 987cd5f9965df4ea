//! How much memory is kept: by the system's allocator between batches, by a layer between its two passes.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a layer keeps for its backward pass.
static BUDGET: AtomicUsize = AtomicUsize::new(512 << 20);

/// How many bytes a recurrent layer keeps of a batch for its backward pass, 512 MiB unless this is called. Of a layer that
/// would need more only the states between stretches of steps are kept, and the backward pass computes the steps of each
/// stretch again: memory grows with the root of the steps, a training step takes about a third longer, and no bit of the
/// result is another, as long as the variables stand still between the two passes. With 0 every LSTM, GRU and SimpleRNN does
/// so; a ConvLSTM2D keeps its steps. It holds for the whole process.
pub fn recompute_beyond(bytes: usize) {
    BUDGET.store(bytes, Ordering::Relaxed);
}

/// The bytes in force.
pub(crate) fn budget() -> usize {
    BUDGET.load(Ordering::Relaxed)
}

/// Floats from which an array is asked to lie in large pages.
#[cfg(target_os = "linux")]
const LARGE: usize = 1 << 20;
/// Bytes of the smallest page that there is.
#[cfg(not(any(miri, debug_assertions)))]
const PAGE: usize = 1 << 12;

/// So many zeros. For a large array the system is asked for large pages, where it has them: making the usual small ones takes
/// longer than most of what is done with the array.
pub fn zeros(len: usize) -> Vec<f32> {
    let zeros = vec![0.0; len];
    in_large_pages(zeros.as_ptr(), len);
    zeros
}

/// So many floats to be written over: what they are is not told, and differs from call to call. Zeros would be one more pass
/// over memory, on one thread.
pub fn unwritten(len: usize) -> Vec<f32> {
    let mut floats = Vec::with_capacity(len);
    let spare = &mut floats.spare_capacity_mut()[..len];
    in_large_pages(spare.as_ptr().cast(), len);
    make_any(spare);
    // SAFETY: so many fit, and `make_any` has made numbers of them.
    unsafe { floats.set_len(len) };
    floats
}

/// Makes numbers of what memory holds, whatever it is.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(any(miri, debug_assertions))))]
fn make_any(spare: &mut [MaybeUninit<f32>]) {
    // The system may hand out a page whose contents are not settled before it is written to.
    for page in spare.chunks_mut(PAGE / size_of::<f32>()) {
        page[0].write(0.0);
    }
    if let Some(last) = spare.last_mut() {
        last.write(0.0);
    }
    // SAFETY: the block holds no instruction. For all that the compiler knows it wrote any numbers to the memory behind the
    // pointer, to which nobody else has a reference; all bits are a float, and they stay as they are from here on.
    unsafe { std::arch::asm!("/* {} */", in(reg) spare.as_mut_ptr(), options(nostack, preserves_flags)) };
}

/// Where mistakes are looked for, what is not written over is to show.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(any(miri, debug_assertions)))))]
fn make_any(spare: &mut [MaybeUninit<f32>]) {
    spare.fill(MaybeUninit::new(f32::NAN));
}

/// Asks for large pages for a large array, which begins here.
#[cfg(target_os = "linux")]
fn in_large_pages(floats: *const f32, len: usize) {
    if len < LARGE {
        return;
    }
    // Whole pages of any size that there is begin and end here.
    const WHOLE: usize = 1 << 16;
    let start = floats.align_offset(WHOLE).min(len);
    let bytes = (len - start) * size_of::<f32>() / WHOLE * WHOLE;
    // SAFETY: the range is inside of the array, and the advice changes no byte of it; if it is refused, nothing happens.
    unsafe { libc::madvise(floats.wrapping_add(start).cast_mut().cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages(_: *const f32, _: usize) {}

/// Lets the allocator keep what large tensors leave, rather than give it back to the system after every batch and have each
/// page made anew for the next.
///
/// It is for glibc, which as a rule keeps 128 KiB, and for the whole process: up to 1 GiB stays with it until it ends, as far
/// as it has been used. Other allocators are not bothered. Only the first call does anything.
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: both take any number, from any thread; what they refuse they leave as it is.
            unsafe {
                libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
                // None is mapped by itself: however large, it would go back at once.
                libc::mallopt(libc::M_MMAP_MAX, 0);
            }
        });
    }
}

//! Memory that the system's allocator keeps.

use std::hint::black_box;
use std::sync::Once;

/// As much as glibc looks at, a page less.
const LARGE: usize = (32 << 20) - (1 << 12);

/// Lets the allocator keep what large tensors leave, rather than give it back to the system after every batch and have each
/// page made anew for the next.
///
/// glibc learns from the largest block that it has seen freed, up to 32 MiB: smaller ones come from memory that it keeps, at most
/// twice as much. This frees one that nobody has touched. Other allocators are not bothered. Only the first call does anything.
pub fn keep_memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(black_box(Vec::<u8>::with_capacity(LARGE))));
}

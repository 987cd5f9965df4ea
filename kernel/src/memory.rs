//! Memory that the system's allocator keeps.

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

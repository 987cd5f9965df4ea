//! Whether the program was started without a standard output (`>&-`): Rust's runtime puts `/dev/null` in its place before `main`,
//! where results would be lost unsaid.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Before the runtime begins. Nothing but a look at the system's list of open files, where there is one.
#[cfg(target_os = "linux")]
#[ctor::ctor]
fn look() {
    let is_there = |path: &str| std::fs::symlink_metadata(path).is_ok();
    CLOSED.store(is_there("/proc/self/fd") && !is_there("/proc/self/fd/1"), Relaxed);
}

/// Whether there was no standard output.
pub(super) fn stdout() -> bool {
    CLOSED.load(Relaxed)
}

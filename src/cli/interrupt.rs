//! Ctrl-C: the first one asks the training to stop in good order, the second one ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C (and a request to terminate) only sets a flag.
pub(super) fn listen() -> anyhow::Result<()> {
    if !INSTALLED.swap(true, Ordering::SeqCst) {
        ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        })?;
    }
    Ok(())
}

/// Whether it has come.
pub(super) fn requested() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

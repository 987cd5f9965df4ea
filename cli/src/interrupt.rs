//! Ctrl-C: while there is nothing to lose it ends the program; then the first one asks the training to stop in good order,
//! and the second one ends the program.

use super::output::message;
use std::sync::atomic::{AtomicBool, Ordering};

static INSTALLED: AtomicBool = AtomicBool::new(false);
static DEFERRED: AtomicBool = AtomicBool::new(false);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C (and a request to terminate) ends the program with the exit code of interrupted.
pub(super) fn listen() -> anyhow::Result<()> {
    DEFERRED.store(false, Ordering::SeqCst);
    INTERRUPTED.store(false, Ordering::SeqCst);
    if !INSTALLED.swap(true, Ordering::SeqCst) {
        ctrlc::set_handler(|| {
            let again = INTERRUPTED.swap(true, Ordering::SeqCst);
            if !DEFERRED.load(Ordering::SeqCst) {
                message("interrupted before training began: nothing is kept");
            } else if !again {
                return;
            }
            std::process::exit(130);
        })?;
    }
    Ok(())
}

/// From now on the first one only sets a flag.
pub(super) fn defer() {
    DEFERRED.store(true, Ordering::SeqCst);
}

/// Whether it has come.
pub(super) fn requested() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

//! Rayon's threads, kept from falling asleep while there is more to come.

use rayon::Yield;
use std::sync::atomic::{AtomicBool, Ordering};

/// Turns of waiting before a thread asks the system whether somebody else wants its processor.
const SPINS: usize = 64;

/// Runs `work`, and until it returns the other threads of the pool it is called from stay awake: a thread that sleeps
/// takes some 100 us to wake up, and a batch of a small model is done in 300. Does nothing of the kind when called from
/// outside of a pool, whose threads would then only be in the way.
pub fn awake<R>(work: impl FnOnce() -> R) -> R {
    let Some(caller) = rayon::current_thread_index() else { return work() };
    let done = AtomicBool::new(false);
    rayon::in_place_scope(|scope| {
        scope.spawn_broadcast(|_, context| {
            while context.index() != caller && !done.load(Ordering::Relaxed) {
                if rayon::yield_now() != Some(Yield::Executed) {
                    for _ in 0..SPINS {
                        std::hint::spin_loop();
                    }
                    std::thread::yield_now();
                }
            }
        });
        let _end = End(&done);
        work()
    })
}

/// Lets the threads go, however the work ends.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

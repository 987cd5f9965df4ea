//! Rayon's threads, kept from falling asleep while there is more to come.

use rayon::Yield;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Turns of waiting before a thread asks the system whether somebody else wants its processor.
const SPINS: usize = 64;
/// How long the threads have to come.
const PATIENCE: Duration = Duration::from_millis(2);
/// More threads than that are more than small batches keep busy, and their waiting would cost others.
const MOST: usize = 8;
/// Stands in the number of threads that have come once no more may.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Runs `work`, and until it returns the other threads of the pool stay awake: a thread that sleeps takes some 100 µs to
/// wake up, and a batch of a small model is done in 300. It is what the command line trains in.
///
/// It is for a program that does nothing else meanwhile on the pool of the calling thread: a thread that waits here may
/// have set aside other work, which then goes on once this call returns. From outside of a pool, in one of more than eight
/// threads, and inside of another call, `work` just runs.
///
/// ```
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
/// let sum = pool.install(|| candle_recurrent_kernel::awake(|| rayon::join(|| 1, || 2)));
/// assert_eq!(sum, (1, 2));
/// ```
pub fn awake<R>(work: impl FnOnce() -> R) -> R {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let others = rayon::current_num_threads().saturating_sub(1);
    let Some(caller) = rayon::current_thread_index() else { return work() };
    if others == 0 || others >= MOST || TAKEN.swap(true, Ordering::Acquire) {
        return work();
    }
    let _free = Set(&TAKEN, false);
    let state = Arc::new((AtomicUsize::new(0), AtomicBool::new(false)));
    let of_thread = Arc::clone(&state);
    // Nobody waits for these jobs: a thread that takes its own late finds that there is nothing to do.
    rayon::spawn_broadcast(move |context| {
        let (come, done) = &*of_thread;
        // Later than that it may be in the midst of a piece of `work`, which would wait for its own end.
        if context.index() == caller || come.fetch_add(1, Ordering::AcqRel) >= CLOSED {
            return;
        }
        while !done.load(Ordering::Acquire) {
            if rayon::yield_now() != Some(Yield::Executed) {
                for _ in 0..SPINS {
                    std::hint::spin_loop();
                }
                std::thread::yield_now();
            }
        }
    });
    let (come, done) = &*state;
    let start = Instant::now();
    while come.load(Ordering::Acquire) < others && start.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    come.fetch_or(CLOSED, Ordering::AcqRel);
    let _end = Set(done, true);
    work()
}

/// Sets a flag, however the work ends.
struct Set<'a>(&'a AtomicBool, bool);

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.0.store(self.1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    /// Threads that never come for their job, since they run none, are not waited for.
    #[test]
    fn a_thread_that_never_comes_is_not_waited_for() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).use_current_thread().build().unwrap();
        // This thread is one of the two, and does not look for work.
        let answer = std::thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::channel();
            pool.spawn(move || send.send(awake(|| 7)).unwrap());
            scope.spawn(move || receive.recv().unwrap()).join().unwrap()
        });
        assert_eq!(answer, 7);
    }

    /// Pieces that are cut up themselves wait for each other: the call must end all the same, whoever steals what.
    #[test]
    fn nested_work_ends() {
        for threads in [1, 2, 3, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for round in 0..50u64 {
                let row = |n: u64| (0..40u64).into_par_iter().map(|m| n * m + round).sum::<u64>();
                let sum = || (0..40u64).into_par_iter().map(row).sum::<u64>();
                let expected = 780 * 780 + 1600 * round;
                assert_eq!(pool.install(|| awake(sum)), expected);
                assert_eq!(pool.install(|| awake(|| awake(sum))), expected);
                assert_eq!(pool.install(|| rayon::join(|| awake(sum), || awake(sum))), (expected, expected));
            }
        }
    }
}

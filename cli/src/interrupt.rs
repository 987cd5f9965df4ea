//! Signals that end a program: while there is nothing to lose they end it; then the first one asks the training to stop in good
//! order, and the second one ends the program. One that was ignored when the program began, as by `nohup`, stays ignored.

use super::output::message;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

static INSTALLED: AtomicBool = AtomicBool::new(false);
static DEFERRED: AtomicBool = AtomicBool::new(false);
/// The signal that has come; 0 for none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// What is said where a signal ends the program at once.
static WORDS: Mutex<String> = Mutex::new(String::new());

/// Before there is anything to keep.
pub(super) const NOT_BEGUN: &str = "interrupted before training began: nothing is kept";

/// SIGINT, as Ctrl-C sends it; and what shells add to a signal's number to make an exit code of it.
const INTERRUPT: i32 = 2;
const OF_SHELLS: i32 = 128;

/// From now on a signal ends the program with the exit code that shells give it, and with these words.
pub(super) fn listen(words: &str) -> anyhow::Result<()> {
    *WORDS.lock().unwrap_or_else(PoisonError::into_inner) = words.into();
    DEFERRED.store(false, Ordering::SeqCst);
    if !INSTALLED.swap(true, Ordering::SeqCst) {
        install()?;
    }
    Ok(())
}

#[cfg(unix)]
fn install() -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    let ignored = ignored();
    // Where nobody can tell which signals are ignored, SIGHUP keeps its own way: it ends the program unless `nohup` holds.
    let heard = [Some(SIGINT), Some(SIGTERM), ignored.map(|_| SIGHUP)];
    let is_ignored = |signal: &i32| ignored.is_some_and(|ignored| ignored >> (signal - 1) & 1 == 1);
    let heard = heard.into_iter().flatten().filter(|signal| !is_ignored(signal));
    // A file that grows beyond its limit is an error of the write, which says so; the signal would kill first.
    let mut signals = signal_hook::iterator::Signals::new(heard.chain([SIGXFSZ]))?;
    std::thread::spawn(move || signals.forever().filter(|signal| *signal != SIGXFSZ).for_each(heard_of));
    Ok(())
}

/// The signals that are ignored, a bit each, where the system tells.
#[cfg(unix)]
fn ignored() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(not(unix))]
fn install() -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(|| heard_of(INTERRUPT))?)
}

fn heard_of(signal: i32) {
    let again = SIGNAL.swap(signal, Ordering::SeqCst) != 0;
    if !DEFERRED.load(Ordering::SeqCst) {
        message(&WORDS.lock().unwrap_or_else(PoisonError::into_inner));
    } else if !again {
        return;
    }
    std::process::exit(OF_SHELLS + signal);
}

/// From now on the first one only sets a flag.
pub(super) fn defer() {
    DEFERRED.store(true, Ordering::SeqCst);
}

/// Whether it has come.
pub(super) fn requested() -> bool {
    SIGNAL.load(Ordering::SeqCst) != 0
}

/// The exit code of a program that it has ended.
pub(super) fn code() -> ExitCode {
    let signal = match SIGNAL.load(Ordering::SeqCst) {
        0 => INTERRUPT,
        signal => signal,
    };
    ExitCode::from(u8::try_from(OF_SHELLS + signal).unwrap_or(u8::MAX))
}

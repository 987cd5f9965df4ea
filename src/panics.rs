//! Other people's parsers, whose panics on damaged files must not reach the user.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local!(static CONTAINED: Cell<bool> = const { Cell::new(false) });

/// What `work` returns, or nothing where it panics: the caller says what is wrong.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Option<T> {
    // It may be called within itself.
    let before = CONTAINED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work)).ok();
    CONTAINED.set(before);
    result
}

/// Whether this thread is inside a parser of someone else's whose panic would become an [`Error`](crate::Error).
///
/// Such a panic is caught, but before that it goes through the panic hook, which belongs to the whole process and which
/// this crate leaves alone: by default its message is printed. An application that wants to show the error only asks
/// here, in a hook of its own:
///
/// ```
/// let others = std::panic::take_hook();
/// std::panic::set_hook(Box::new(move |info| {
///     if !candle_recurrent::panic_is_contained() {
///         others(info);
///     }
/// }));
/// ```
pub fn panic_is_contained() -> bool {
    CONTAINED.get()
}

#[cfg(test)]
mod tests {
    use super::{contain, panic_is_contained};

    #[test]
    fn a_panic_is_nothing_and_stays_inside() {
        assert_eq!(contain(|| contain(|| -> u8 { panic!("within") }).unwrap_or(7)), Some(7));
        assert_eq!(contain(|| -> u8 { panic!("outside") }), None);
        assert!(std::panic::catch_unwind(|| contain(|| 1)).is_ok());
    }

    #[test]
    fn a_hook_can_tell() {
        assert!(!panic_is_contained());
        assert_eq!(contain(|| (contain(panic_is_contained), panic_is_contained())), Some((Some(true), true)));
        assert!(!panic_is_contained());
    }
}

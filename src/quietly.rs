//! Other people's parsers, whose panics on damaged files must not reach the user.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// What `work` returns, or nothing where it panics. The panic's message is not printed: the caller says what is wrong.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let other = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                other(info);
            }
        }));
    });
    // It may be called within itself.
    let before = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work)).ok();
    QUIET.set(before);
    result
}

#[cfg(test)]
mod tests {
    use super::quietly;

    #[test]
    fn a_panic_is_nothing_and_stays_inside() {
        assert_eq!(quietly(|| quietly(|| -> u8 { panic!("within") }).unwrap_or(7)), Some(7));
        assert_eq!(quietly(|| -> u8 { panic!("outside") }), None);
        assert!(std::panic::catch_unwind(|| quietly(|| 1)).is_ok());
    }
}

//! What all targets do: bytes become a file, the file goes through every way that a reader has, and neither a panic of this
//! crate's nor memory beyond the bound of `tests/mutations.rs` is let through.

#[allow(dead_code)]
#[path = "../../tests/common/memory.rs"]
mod memory;
#[allow(dead_code)]
#[path = "../../tests/common/readers.rs"]
mod readers;

pub use libfuzzer_sys;

use readers::{READERS, Reader};
use std::path::PathBuf;
use std::sync::OnceLock;

/// What a file may take: so much, and a multiple of its size.
const MEMORY: usize = 256 << 20;
const TIMES: usize = 64;

/// The reader, and the file that every input becomes: in memory where the system has such a place.
fn prepared(name: &str) -> &'static (Reader, PathBuf) {
    static PREPARED: OnceLock<(Reader, PathBuf)> = OnceLock::new();
    PREPARED.get_or_init(|| {
        // Panics of other people's parsers stay inside the library, as a message of a damaged file.
        std::panic::set_hook(Box::new(|info| {
            if !candle_recurrent::panic_is_contained() {
                eprintln!("{info}\n{}", std::backtrace::Backtrace::force_capture());
                std::process::abort();
            }
        }));
        let reader = *READERS.iter().find(|reader| reader.name == name).expect("a reader of that name");
        let place = PathBuf::from("/dev/shm");
        let place = if place.is_dir() { place } else { std::env::temp_dir() };
        (reader, place.join(format!("fuzz-{}-{}.{}", name, std::process::id(), reader.suffix)))
    })
}

/// Gives the bytes to a reader.
pub fn run(name: &str, bytes: &[u8]) {
    let (reader, path) = prepared(name);
    std::fs::write(path, bytes).expect("a file can be written");
    memory::about(name);
    memory::measured(MEMORY + TIMES * bytes.len(), || (reader.read)(path));
}

/// The target of a reader.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::run($name, bytes));
    };
}

//! Data that is too large for the repository.

use std::io::Write;
use std::path::{Path, PathBuf};

/// A file or folder beside the repository; where it is absent the test that asks is skipped, and says so aloud.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")).join(name);
    if path.exists() {
        return Some(path);
    }
    // Past the test harness, which keeps what a passing test prints to itself.
    let test = std::thread::current().name().unwrap_or("a test").to_string();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {} is absent", path.display());
    None
}

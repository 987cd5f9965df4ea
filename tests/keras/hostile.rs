//! Damaged files: an error or a model, never a panic, and memory within bounds.

use super::fixtures::FIXTURES;
use candle_recurrent::keras;
use proptest::prelude::*;
use std::path::Path;

/// One file of each kind.
const FILES: [&str; 3] = ["old_keras_2_1.h5", "k3_half.keras", "refused_soft_link.h5"];

fn read(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    std::fs::write(&path, bytes).unwrap();
    if let Err(error) = keras::load(&path) {
        let text = error.to_string();
        assert!(!text.contains('\n'), "{text}");
    }
}

/// The most memory that this process has held, in MiB, where the system tells.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib / 1024)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn flipped_bytes_do_no_harm(
        file in 0..FILES.len(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = std::fs::read(Path::new(FIXTURES).join(FILES[file])).unwrap();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read(&bytes);
        prop_assert!(peak().is_none_or(|mib| mib < 1024), "{:?} MiB", peak());
    }

    #[test]
    fn files_that_are_cut_off_do_no_harm(file in 0..FILES.len(), at in any::<prop::sample::Index>()) {
        let mut bytes = std::fs::read(Path::new(FIXTURES).join(FILES[file])).unwrap();
        bytes.truncate(at.index(bytes.len()));
        read(&bytes);
    }
}

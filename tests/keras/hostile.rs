//! Damaged files: an error or a model, never a panic, and memory within bounds.

use super::fixtures::FIXTURES;
use candle_recurrent::keras::{self, Options};
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

/// Headers with checksums: whichever byte of them is another, the file is damaged, not one without weights.
#[test]
fn a_damaged_header_is_not_called_missing_weights() {
    let folder = tempfile::tempdir().unwrap();
    let config = Path::new(FIXTURES).join("k3_half.keras");
    let (model, weights) = keras::load(&config).unwrap();
    let variables = weights.iter().map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect();
    let whole = keras::to_weights_h5(&model, &variables).unwrap().bytes;
    let path = folder.path().join("m.weights.h5");
    let options = Options { config: Some(config.into()), ..Options::default() };
    let mut damaged = 0;
    for at in 8..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x15;
        std::fs::write(&path, &bytes).unwrap();
        let Err(error) = keras::load_with(&path, &options) else { continue };
        let text = error.to_string();
        damaged += usize::from(text.contains("damaged") || text.contains("checksum"));
        assert!(
            !text.contains("no weights") && !text.contains("missing") && !text.contains('\n'),
            "{at}: {text}"
        );
    }
    assert!(damaged > 500, "{damaged}");
}

/// The architecture stands elsewhere in the file than its attribute says where. What is damaged is not called a file
/// that never had an architecture.
#[test]
fn a_damaged_architecture_is_not_called_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.h5");
    let whole = std::fs::read(Path::new(FIXTURES).join("k2_text.h5")).unwrap();
    let mut unreadable = 0;
    for at in 0..4096 {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x15;
        std::fs::write(&path, &bytes).unwrap();
        let Err(error) = keras::load_config(&path) else { continue };
        let text = error.to_string();
        assert!(!text.contains("without an architecture") && !text.contains('\n'), "{at}: {text}");
        unreadable += usize::from(text.contains("attribute model_config"));
    }
    assert!(unreadable > 0);
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

//! Small files of every kind, made by `scripts/keras_fixtures.py` with real Keras 3.15 and tf_keras 2.21.

use super::support::check_with;
use candle_recurrent::keras::Options;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// `NAME.golden.npz` is the answer of every other file called NAME.
#[test]
fn every_kind_of_file_opens_and_agrees() {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(FIXTURES).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    let (mut failures, mut worst) = (vec![], BTreeMap::<String, f64>::new());
    let mut count = 0;
    for path in &paths {
        let file = path.file_name().unwrap().to_str().unwrap();
        let (name, kind) = file.split_once('.').unwrap();
        let others = ["refused", "trained", "texts", "compiled", "goes_on"];
        if matches!(kind, "golden.npz" | "json") || others.iter().any(|other| name.starts_with(other)) {
            continue;
        }
        let config = (kind == "weights.h5").then(|| Path::new(FIXTURES).join(format!("{name}.json")));
        let golden = Path::new(FIXTURES).join(format!("{name}.golden.npz"));
        // Keras computes float16 layers in float16.
        let limit = if name.ends_with("half") { 2e-3 } else { 1e-5 };
        count += 1;
        match check_with(path, &golden, &Options { config: config.map(Into::into), ..Options::default() }) {
            Ok(error) if error <= limit => {
                let of = worst.entry(format!("{} {kind}", &name[..2])).or_default();
                *of = of.max(error);
                println!("{error:8.1e}  {file}");
            }
            Ok(error) => failures.push(format!("{file}: relative error {error:.1e}")),
            Err(what) => failures.push(format!("{file}: {what}")),
        }
    }
    for (kind, error) in worst {
        println!("{kind}: worst error {error:.1e}");
    }
    assert!(count > 20, "the fixtures are missing");
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
}

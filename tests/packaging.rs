//! What somebody gets who adds the crate: which crates come along, under which licences, and which files.

use serde_json::Value;
use std::process::Command;

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(args)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The triple of this machine: crates for other systems need not be there.
fn host() -> String {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc runs").stdout;
    let text = String::from_utf8(rustc).expect("text");
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host").to_string()
}

/// The names of the crates that the library needs to run, with default features.
fn library() -> Vec<String> {
    let tree = cargo(&["tree", "-p", "candle-recurrent", "-e", "normal", "--prefix", "none"]);
    let mut names: Vec<String> =
        tree.lines().filter_map(|line| Some(line.split(' ').next()?.to_string())).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_library_brings_no_program_no_plots_no_network_and_no_c() {
    let names = library();
    assert!(names.iter().any(|name| name == "candle-core") && names.len() > 50, "{names:?}");
    for unwanted in
        ["anyhow", "clap", "ctrlc", "indicatif", "kuva", "hf-hub", "ureq", "rustls", "ring", "zstd-sys", "cc"]
    {
        assert!(!names.iter().any(|name| name == unwanted), "{unwanted} comes with the library");
    }
}

/// Licences that ask for no more than to be named; of several that may be chosen from, one is enough.
const LICENCES: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "Apache-2.0 WITH LLVM-exception",
];

fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], "").replace('/', " OR ");
    let all = expression.split(" AND ");
    all.into_iter().all(|any| any.split(" OR ").any(|licence| LICENCES.contains(&licence.trim())))
}

#[test]
fn licences_are_known() {
    let host = host();
    let metadata = cargo(&["metadata", "--format-version", "1", "--locked", "--filter-platform", &host]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 100);
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_allowed(licence), "{}: {licence}", package["name"]);
    }
    assert!(!is_allowed("GPL-3.0-only") && !is_allowed("MIT AND GPL-3.0-only") && !is_allowed("none"));
}

#[test]
fn the_package_holds_the_crate_and_nothing_else() {
    let list = cargo(&["package", "--list", "--allow-dirty", "-p", "candle-recurrent"]);
    let files: Vec<&str> = list.lines().collect();
    assert!(files.contains(&"src/lib.rs") && files.contains(&"models/gru/model.safetensors"));
    assert!(files.len() < 600, "{} files", files.len());
    let others = ["tests/", "scripts/", "benches/", "cli/", "kernel/", ".ci/"];
    assert!(!files.iter().any(|file| others.iter().any(|other| file.starts_with(other))), "{files:?}");
}

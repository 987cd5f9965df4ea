//! Running the program, for the tests of measurements.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::path::Path;

/// Runs the program in a folder.
pub fn run(folder: &Path, args: &[&str]) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_candle-recurrent")).current_dir(folder).args(args).assert()
}

/// That it ends with one line, which says this.
pub fn fails(assert: Assert, line: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.starts_with("error: "));
    assert.failure().stdout("").stderr(one_line).stderr(contains(line));
}

/// The JSON that it prints.
pub fn json(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).expect("JSON")
}

/// What it prints.
pub fn text(assert: Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).expect("text")
}

//! `convert` from outside.

use assert_cmd::Command;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn convert(folder: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
    command.current_dir(folder).arg("convert").args(args).assert()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Fails with `code` and one line on standard error.
fn fails(assert: assert_cmd::assert::Assert, code: i32, line: &str) {
    let assert = assert.code(code).stdout("").stderr(contains(line));
    let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(text.lines().count() == 1 && text.starts_with("error: "), "{text}");
}

#[test]
fn the_zoo_goes_round() {
    let folder = folder();
    let path = folder.path();
    for (input, output) in [
        ("lstm", "a.keras"),
        ("lstm", "a.weights.h5"),
        ("a.keras", "model"),
        ("model", "b.keras"),
        ("model", "t.safetensors"),
    ] {
        convert(path, &[input, output]).success().stdout(contains(format!("written: {output} (8809")));
    }
    convert(path, &["a.weights.h5", "c.keras", "--config", "model/config.json"]).success();
    convert(path, &["t.safetensors", "d.keras", "--config", "a.keras"]).success();
    let bytes = |name: &str| fs::read(path.join(name)).expect("a file");
    assert!(bytes("a.keras") == bytes("b.keras"), "b.keras has other bytes");
    // Weights alone say nothing of how they were trained, so these are not compiled.
    assert!(bytes("c.keras") == bytes("d.keras") && bytes("a.keras") != bytes("c.keras"));
}

#[test]
fn layouts_go_round() {
    let folder = folder();
    let path = folder.path();
    convert(path, &["gru", "ours.safetensors"]).success();
    for layout in ["pytorch", "candle-nn"] {
        convert(path, &["gru", "theirs.safetensors", "--layout", layout]).success();
        convert(path, &["gru", "gru.keras"]).success();
        convert(path, &["theirs.safetensors", "back.safetensors", "--config", "gru.keras"]).success();
        let bytes = |name: &str| fs::read(path.join(name)).expect("a file");
        assert!(bytes("ours.safetensors") == bytes("back.safetensors"), "{layout}");
        assert!(bytes("ours.safetensors") != bytes("theirs.safetensors"), "{layout}");
    }
}

/// Weights alone say which of Keras's functions named hard_sigmoid they were made for, whatever the file of the
/// architecture means by the name.
#[test]
fn weights_keep_their_hard_sigmoid() {
    let folder = folder();
    let path = folder.path();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/k2_recurrent.h5");
    let old = old.to_str().expect("a path");
    convert(path, &[old, "new.keras"]).success();
    convert(path, &[old, "old.safetensors"]).success();
    convert(path, &[old, "rescaled.weights.h5"]).success();
    convert(path, &["new.keras", "rescaled.safetensors"]).success();
    let bytes = |name: &str| fs::read(path.join(name)).expect("a file");
    for (weights, config) in [
        ("old.safetensors", "new.keras"),
        (old, "new.keras"),
        ("rescaled.weights.h5", old),
        ("rescaled.safetensors", old),
    ] {
        let said = convert(path, &[weights, "again.keras", "--config", config]).success();
        said.stderr(contains("note: hard_sigmoid is clip("));
        assert!(bytes("again.keras") == bytes("new.keras"), "{weights} with --config {config}");
    }
    convert(path, &["rescaled.weights.h5", "again.keras", "--config", "new.keras"]).success().stderr("");
}

/// Vocabulary, figures and pictures of a model folder go along into a folder.
#[test]
fn a_folder_keeps_what_it_has() {
    let folder = folder();
    let path = folder.path();
    convert(path, &["lstm", "model"]).success();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/lstm");
    for name in ["config.json", "model.safetensors", "tokenizer.json", "history.csv", "README.md"] {
        let (copy, original) = (fs::read(path.join("model").join(name)), fs::read(shipped.join(name)));
        let (copy, original) = (copy.expect(name), original.expect(name));
        if name == "config.json" {
            // The copy has the sums of its files too.
            let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
            let (mut copy, original) = (json(&copy), json(&original));
            copy.as_object_mut().and_then(|copy| copy.remove("checkpoint")).expect("sums");
            assert_eq!(copy, original);
        } else {
            assert!(copy == original, "{name}");
        }
    }
    // A file of Keras's has none of it, and none of the older model's stays.
    convert(path, &["gru", "gru.keras"]).success();
    fs::remove_file(path.join("model/history.csv")).expect("removed");
    convert(path, &["gru.keras", "model", "--overwrite"]).success();
    assert!(!path.join("model/tokenizer.json").exists() && !path.join("model/loss.svg").exists());
}

/// What has a history was trained: neither it nor a part of it is written over.
#[test]
fn a_training_run_is_not_replaced() {
    let folder = folder();
    let path = folder.path();
    convert(path, &["lstm", "run"]).success();
    let files = || {
        let names = ["config.json", "model.safetensors", "tokenizer.json", "history.csv", "README.md"];
        names.map(|name| fs::read(path.join("run").join(name)).expect(name))
    };
    let before = files();
    fails(convert(path, &["gru", "run"]), 1, "run: holds a model, which would be lost");
    fails(convert(path, &["gru", "run/model.safetensors"]), 1, "belongs to a model folder");
    assert!(files() == before);
    convert(path, &["gru", "run/gru.keras"]).success();
}

#[test]
fn json_says_what_was_done() {
    let folder = folder();
    let assert = convert(folder.path(), &["simple-rnn", "out.safetensors", "--layout", "pytorch", "--json"]);
    let value: Value = serde_json::from_slice(&assert.success().get_output().stdout).expect("JSON");
    let keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["input", "output", "format", "layout", "params", "notes"]);
    assert_eq!((&value["format"], &value["params"]), (&"safetensors".into(), &8209.into()));
}

#[test]
fn wrong_usage_is_said_on_one_line() {
    let folder = folder();
    let path = folder.path();
    fails(
        convert(path, &["lstm", "a.keras", "--layout", "pytorch"]),
        2,
        "--layout pytorch is for a .safetensors",
    );
    fails(convert(path, &["lstm", "a.h5"]), 2, "name it .keras");
    fails(convert(path, &["lstm", "a.onnx"]), 2, "a .safetensors, or a folder");
    fails(convert(path, &["lstm", "a.safetensors", "--layout", "onnx"]), 2, "keras, candle-nn or pytorch");
    assert_eq!(fs::read_dir(path).expect("a folder").count(), 0, "something was written");
}

#[test]
fn what_cannot_be_converted_is_said_on_one_line() {
    let folder = folder();
    let path = folder.path();
    fails(convert(path, &["lstn", "a.keras"]), 1, "did you mean `lstm`?");
    fails(convert(path, &["none.keras", "a.keras"]), 1, "none.keras: there is no such file");
    fails(convert(path, &["simple-rnn", "a.safetensors", "--layout", "candle-nn"]), 1, "layer simple_rnn");
    convert(path, &["lstm", "a.keras"]).success();
    fails(convert(path, &["a.keras", "a.keras"]), 1, "is what is being read");
    fails(convert(path, &["a.keras", "./a.keras"]), 1, "is what is being read");
    convert(path, &["lstm", "a.safetensors"]).success();
    fails(convert(path, &["a.safetensors", "b.keras"]), 1, "--config");
    // Nor a folder's own weights, nor the file that --config names.
    convert(path, &["lstm", "model"]).success();
    fails(convert(path, &["model", "model/model.safetensors"]), 1, "is what is being read");
    fails(convert(path, &["a.safetensors", "a.keras", "--config", "a.keras"]), 1, "is what is being read");
    fails(convert(path, &["lstm", "missing/a.keras"]), 1, "missing/a.keras: cannot be written");
}

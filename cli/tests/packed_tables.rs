//! Tables of texts that are packed by gzip or Zstandard.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::io::Write;
use std::path::Path;

fn run(folder: &Path, args: &[&str]) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_candle-recurrent")).current_dir(folder).args(args).assert()
}

fn fails(assert: Assert, line: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.starts_with("error: "));
    assert.code(1).stdout("").stderr(one_line).stderr(contains(line));
}

fn stdout(assert: Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).expect("text")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    packed.write_all(bytes).expect("packed");
    packed.finish().expect("packed")
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("packed")
}

/// A packed table is the table that is packed, for training, measuring and answering.
#[test]
fn a_packed_table_is_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let row = |at: usize| {
        (format!("a {} film {}", ["dreadful", "lovely"][at % 2], at % 7), ["bad", "good"][at % 2])
    };
    let csv: String = (0..20_000).map(row).map(|(text, label)| format!("{text},{label}\n")).collect();
    let csv = format!("text,label\n{csv}");
    let lines: String = (0..500).map(row).map(|(text, _)| format!("{{\"text\": \"{text}\"}}\n")).collect();
    let small = csv.lines().take(200).collect::<Vec<_>>().join("\n");
    // Files of gzip's may be put one after the other.
    let (first, rest) = small.split_at(500);
    let parts = [gzip(first.as_bytes()), gzip(rest.as_bytes())].concat();
    for (name, bytes) in [
        ("x.csv", csv.clone().into_bytes()),
        ("x.csv.gz", gzip(csv.as_bytes())),
        ("x.csv.zst", zstandard(csv.as_bytes())),
        ("small.csv", small.clone().into_bytes()),
        ("small.csv.gz", parts),
        ("x.jsonl", lines.clone().into_bytes()),
        ("x.jsonl.gz", gzip(lines.as_bytes())),
    ] {
        fs::write(here.join(name), bytes).expect("written");
    }
    let answers = |input: &str| stdout(run(here, &["predict", "lstm", "--input", input]));
    assert!(answers("x.csv") == answers("x.csv.gz") && answers("x.csv") == answers("x.csv.zst"));
    assert_eq!(answers("x.csv").lines().count(), 20_001);
    assert!(answers("x.jsonl") == answers("x.jsonl.gz"));
    for data in ["small.csv", "small.csv.gz"] {
        let args = ["train", "lstm", "--data", data, "--epochs", "2", "--out", &format!("{data}-run")];
        let assert = run(here, &args).success();
        if data.ends_with("gz") {
            assert.stderr(contains(
                "separated by comma, a line of names, UTF-8, packed by gzip; texts from column",
            ));
        }
    }
    let weights = |name: &str| fs::read(here.join(name).join("model.safetensors")).expect("weights");
    assert!(weights("small.csv-run") == weights("small.csv.gz-run"));
    let measured =
        |data: &str| stdout(run(here, &["evaluate", "small.csv-run", "--data", data, "--json", "--quiet"]));
    assert_eq!(measured("x.csv"), measured("x.csv.zst"));
}

/// One clear line each.
#[test]
fn what_cannot_be_unpacked_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let csv: String = (0..2000).map(|at| format!("a film {at},{}\n", at % 2)).collect();
    let whole = gzip(format!("text,label\n{csv}").as_bytes());
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 40].fill(0x55);
    for (name, bytes, line) in [
        ("cut.csv.gz", whole[..whole.len() / 2].to_vec(), "cut.csv.gz: cannot be unpacked to its end: "),
        ("damaged.csv.gz", damaged, "damaged.csv.gz: cannot be unpacked to its end: "),
        ("x.csv.gz", b"PK\x03\x04 and more".to_vec(), "x.csv.gz: is packed by zip; unpack it first"),
        ("y.csv", b"BZh91AY&SY and more".to_vec(), "y.csv: is packed by bzip2; unpack it first"),
        ("z.csv", b"\xfd7zXZ\0 and more".to_vec(), "z.csv: is packed by xz; unpack it first"),
        (
            "l.json.gz",
            gzip(b"[{\"text\": \"a film\"}]"),
            "l.json.gz: is a JSON list packed by gzip; unpack it first",
        ),
        // A small file that a line without an end comes of.
        ("bomb.csv.gz", gzip(&vec![b'a'; 300 << 20]), "bomb.csv.gz: line 1 is longer than 256 MiB"),
        ("bomb.csv.zst", zstandard(&vec![b'a'; 300 << 20]), "bomb.csv.zst: line 1 is longer than 256 MiB"),
    ] {
        fs::write(here.join(name), bytes).expect("written");
        fails(run(here, &["predict", "lstm", "--input", name]), line);
        fails(run(here, &["train", "lstm", "--data", name, "--quiet"]), line);
    }
    fs::write(here.join("x.csv.zip"), b"PK\x03\x04 and more").expect("written");
    fails(
        run(here, &["train", "--data", "x.csv.zip", "--quiet"]),
        "x.csv.zip: is packed by zip; unpack it first",
    );
    for name in ["x.csv.bz2", "x.zip", "x.npz.gz"] {
        run(here, &["predict", "lstm", "--input", name]).code(2).stderr(contains("unpack it first"));
    }
}

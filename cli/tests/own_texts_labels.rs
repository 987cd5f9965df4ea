//! Several labels a text, in files of the kinds that people have.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn run(folder: &Path, args: &[&str]) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_candle-recurrent")).current_dir(folder).args(args).assert()
}

fn fails(assert: Assert, line: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.starts_with("error: "));
    assert.code(1).stdout("").stderr(one_line).stderr(contains(line));
}

fn parsed(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).expect("JSON")
}

/// The report, and what was said.
fn train(folder: &Path, data: &str, out: &str, more: &[&str]) -> (Value, String) {
    let args = ["train", "lstm", "--data", data, "--task", "multi-label", "--out", out, "--json"];
    let quick = ["--epochs", "12", "--optimizer", "adam", "--learning-rate", "0.02"];
    let assert = run(folder, &[&args[..], &quick, more].concat());
    let messages = String::from_utf8(assert.get_output().stderr.clone()).expect("text");
    (parsed(assert), messages)
}

fn config(folder: &Path, run: &str) -> Value {
    let text = fs::read_to_string(folder.join(run).join("config.json")).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

const LABELS: [&str; 3] = ["good, really", "bad", "slow"];

/// Texts with the numbers of their labels, all eight sets in turn.
fn rows() -> Vec<(String, Vec<usize>)> {
    let words = ["lovely", "dreadful", "late"];
    let row = |index: usize| {
        let own: Vec<usize> = (0..3).filter(|label| index >> label & 1 == 1).collect();
        let text: Vec<&str> = own.iter().map(|&label| words[label]).collect();
        (format!("a {} {}", text.join(" "), ["film", "story", "cast", "end"][index / 8 % 4]), own)
    };
    (0..160).map(row).collect()
}

fn csv(rows: &[(String, Vec<usize>)], labels: impl Fn(&[usize]) -> String) -> String {
    rows.iter().fold("text,labels\n".into(), |mut file, (text, own)| {
        writeln!(file, "{text},\"{}\"", labels(own).replace('"', "\"\"")).expect("written");
        file
    })
}

fn joined(own: &[usize], separator: &str) -> String {
    own.iter().map(|&label| LABELS[label]).collect::<Vec<_>>().join(separator)
}

/// What separates the labels is found in the training rows, kept, and so in other files too, whatever these look like by
/// themselves.
#[test]
fn the_separator_of_training_separates_everywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let rows = rows();
    fs::write(here.join("train.csv"), csv(&rows, |own| joined(own, "|"))).expect("written");
    // Every row has one label or none here, and the comma is a part of a label.
    let single: Vec<_> = rows.iter().filter(|(_, own)| own.len() < 2).cloned().collect();
    // A row whose labels hold more commas than bars.
    let mut other = csv(&single, |own| joined(own, "|"));
    other.push_str("\"a lovely film\",\"good, really|\"\n\"a lovely late film\",\"good, really|slow\"\n");
    fs::write(here.join("other.csv"), &other).expect("written");
    let more = ["--validation", "other.csv", "--test", "other.csv"];
    let (report, messages) = train(here, "train.csv", "run", &more);
    assert_eq!(messages.matches("labels separated by bar").count(), 3, "{messages}");
    assert!(!messages.contains("warning"), "{messages}");
    assert!(report["test_f1_score"].as_f64().expect("a figure") > 0.9, "{report}");
    let kept = config(here, "run");
    assert_eq!(kept["classes"], json!(["bad", "good, really", "slow"]));
    assert_eq!(kept["label_separator"], "|");
    let assert = run(here, &["evaluate", "run", "--data", "other.csv", "--json"])
        .success()
        .stderr(contains("labels separated by bar").and(contains("warning").not()));
    assert_eq!(parsed(assert)["samples"], single.len() + 2);
    // Another one is for the command line to say.
    fs::write(here.join("semicolons.csv"), csv(&rows, |own| joined(own, ";"))).expect("written");
    let found =
        run(here, &["evaluate", "run", "--data", "semicolons.csv", "--label-separator", ";", "--json"]);
    assert_eq!(parsed(found)["samples"], 160);
    run(here, &["evaluate", "run", "--data", "semicolons.csv"])
        .success()
        .stderr(contains("has the label \"good, really;bad\", which is no class of the model"));
    // A model of one class a row has no use for it.
    fails(
        run(here, &["evaluate", "lstm", "--data", "other.csv", "--label-separator", "|"]),
        "--label-separator: lstm gives one class a text or a number, so rows have one label",
    );
}

/// As Python and NumPy print lists, also with commas in the labels and over several lines; what is cut short is told.
#[test]
fn lists_of_python_and_numpy_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let rows = rows();
    let quoted = |own: &[usize], between: &str| {
        let labels: Vec<String> = own.iter().map(|&label| format!("'{}'", LABELS[label])).collect();
        format!("[{}]", labels.join(between))
    };
    let classes = json!(["bad", "good, really", "slow"]);
    for (name, text) in [
        ("python.csv", csv(&rows, |own| quoted(own, ", "))),
        ("numpy.csv", csv(&rows, |own| quoted(own, "\n "))),
        (
            "json.csv",
            csv(&rows, |own| json!(own.iter().map(|&at| LABELS[at]).collect::<Vec<_>>()).to_string()),
        ),
    ] {
        fs::write(here.join(name), text).expect("written");
        let (report, messages) = train(here, name, &format!("{name}-run"), &[]);
        assert!(messages.contains("3 labels: bad (80), good, really (80), slow (80)"), "{messages}");
        assert!(report["best_val_f1_score"].as_f64().expect("a figure") > 0.9, "{name}: {report}");
        assert_eq!(config(here, &format!("{name}-run"))["classes"], classes, "{name}");
    }
    let weights = |name: &str| fs::read(here.join(name).join("model.safetensors")).expect("weights");
    assert!(weights("python.csv-run") == weights("numpy.csv-run"));
    assert!(weights("python.csv-run") == weights("json.csv-run"));
    let mut odd = csv(&rows, |own| quoted(own, ", "));
    odd.push_str(
        "a film,\"['bad' ... 'slow']\"\na film,\"[['bad'], ['slow']]\"\na film,\"['bad, 'slow']\"\n",
    );
    fs::write(here.join("odd.csv"), odd).expect("written");
    let (_, messages) = train(here, "odd.csv", "odd-run", &[]);
    for line in [
        "warning: odd.csv, line 162: holds a list that is cut short by `...`, as NumPy prints long ones; the row is left out",
        "warning: odd.csv, line 163: holds a list within a list, expected labels; the row is left out",
        "warning: odd.csv, line 164: holds a list with something behind a quoted label; the row is left out",
    ] {
        assert!(messages.contains(line), "{line}: {messages}");
    }
    assert_eq!(config(here, "odd-run")["classes"], classes);
    fs::write(here.join("bad.csv"), "text,labels\na,\"['x' ... 'y']\"\nb,\"['z' ... 'y']\"\n")
        .expect("written");
    fails(
        run(here, &["train", "--data", "bad.csv", "--task", "multi-label", "--quiet"]),
        "bad.csv: has no label; expected two or more: line 2 holds a list that is cut short",
    );
}

/// Rows that cannot be used are counted, however many there are.
#[test]
fn many_bad_rows_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let mut file = csv(&rows(), |own| joined(own, "|"));
    (0..3000).for_each(|at| writeln!(file, "a film {at},\"bad|strange {at}\"\n,bad").expect("written"));
    fs::write(here.join("train.csv"), csv(&rows(), |own| joined(own, "|"))).expect("written");
    fs::write(here.join("many.csv"), file).expect("written");
    train(here, "train.csv", "run", &[]);
    let places = "line 183, line 185";
    run(here, &["evaluate", "run", "--data", "many.csv"])
        .success()
        .stdout(contains("(160 texts)"))
        .stderr(contains("many.csv: 5990 more rows are left out for such reasons: ").and(contains(places)))
        .stderr(contains("line 163: has no text"));
}

/// A table of targets that no memory holds is refused with its size.
#[test]
fn too_many_labels_for_the_rows_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let mut file = String::from("text,labels\n");
    (0..60_000).for_each(|at| writeln!(file, "a film {at},l{}|all", at % 20_000).expect("written"));
    fs::write(here.join("wide.csv"), file).expect("written");
    fails(
        run(here, &["train", "--data", "wide.csv", "--task", "multi-label", "--quiet"]),
        "wide.csv: 60000 rows of 20001 labels would take 4.5 GiB, expected at most 4; leave rare labels or some rows out",
    );
}

/// Of any number of classes the highest are told like those of one class a text; of numbers there are none.
#[test]
fn the_highest_labels_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("train.csv"), csv(&rows(), |own| joined(own, "|"))).expect("written");
    train(here, "train.csv", "run", &[]);
    fs::write(here.join("x.csv"), "text\na lovely film\n\"\"\n").expect("written");
    let table = |more: &[&str]| {
        let assert = run(here, &[&["predict", "run", "--input", "x.csv", "--top", "2"], more].concat());
        String::from_utf8(assert.success().get_output().stdout.clone()).expect("text")
    };
    let found = table(&[]);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[0], "text,labels,probabilities,top_1,top_1_probability,top_2,top_2_probability");
    assert!(lines[1].starts_with("a lovely film,"), "{found}");
    assert!(lines[1].contains(",\"good, really\",0."), "{found}");
    assert_eq!(lines.len(), 2, "{found}");
    let said = parsed(run(here, &["predict", "run", "--top", "2", "--json", "a lovely film"]));
    let top = said[0]["top"].as_array().expect("a list");
    assert_eq!((top.len(), &top[0]["label"]), (2, &json!("good, really")), "{said}");
    assert!(top[0]["probability"].as_f64() > top[1]["probability"].as_f64(), "{said}");
    let second = top[1]["probability"].as_f64().expect("a number") as f32;
    assert!(lines[1].ends_with(&format!(",{second}")), "{found} {said}");
    run(here, &["predict", "run", "--top", "2", "a lovely film"]).success().stdout(
        predicates::str::starts_with("good, really 0.").and(contains(", bad 0.").or(contains(", slow 0."))),
    );

    // A file that has bars between its columns, and quotes that mean nothing, has no place for several labels.
    fs::write(here.join("bars.txt"), "text|id\n\"so\" lovely|1\n\"oh lovely|2\n").expect("written");
    fails(
        run(here, &["predict", "run", "--input", "bars.txt"]),
        "bars.txt: quotes mean nothing in this file, so it cannot hold \"|\"",
    );

    let numbers: String =
        (0..60).map(|at| format!("a film {},{}\n", at % 7, f64::from(at % 7) + 0.5)).collect();
    fs::write(here.join("numbers.csv"), format!("text,score\n{numbers}")).expect("written");
    let args = ["train", "lstm", "--data", "numbers.csv", "--epochs", "1", "--quiet", "--out", "numbers"];
    run(here, &args).success();
    let line =
        "--top 2: the model gives numbers, and no classes of which there would be likeliest; leave it out";
    fails(run(here, &["predict", "numbers", "--input", "x.csv", "--top", "2"]), line);
    fails(run(here, &["predict", "numbers", "--top", "2", "a film"]), line);
}

//! What `evaluate` says of a model: figures by class, the report's files, mistakes.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn run(folder: &Path, args: &[&str]) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_candle-recurrent")).current_dir(folder).args(args).assert()
}

fn json(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).expect("JSON")
}

fn near(value: &Value, expected: f64) {
    let found = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
}

/// Texts that are told apart by one word, and some whose label is wrong.
fn data(folder: &Path, labels: &[&str]) {
    let words = ["lovely", "dreadful", "late"];
    let row = |index: usize| {
        let class = index % labels.len();
        format!("\"a {} film, <b>{index}</b> & more\",{}\n", words[class], labels[class])
    };
    let rows: String = (0..150).map(row).collect();
    fs::write(folder.join("x.csv"), format!("text,label\n{rows}")).expect("written");
    let wrong = format!("\"a {} film\",{}\n", words[0], labels[1]);
    fs::write(folder.join("test.csv"), format!("text,label\n{rows}{wrong}bad row\n{wrong}"))
        .expect("written");
}

fn train(folder: &Path, more: &[&str]) {
    let args =
        ["train", "gru", "--data", "x.csv", "--epochs", "15", "--optimizer", "adam", "--learning-rate"];
    run(folder, &[&args[..], &["0.02", "--out", "run", "--overwrite", "--quiet"], more].concat()).success();
}

#[test]
fn two_classes() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    data(here, &["good", "bad"]);
    train(here, &[]);
    let found = json(run(here, &["evaluate", "run", "--data", "test.csv", "--json", "--out", "told"]));
    // What there was before is where it was.
    assert!(found["loss"].is_f64() && found["samples"] == 152);
    near(&found["accuracy"], 150.0 / 152.0);
    let report = &found["report"];
    assert_eq!(report["task"], "classification");
    near(&report["accuracy"], 150.0 / 152.0);
    assert_eq!(report["confusion"], serde_json::json!([[75, 2], [0, 75]]));
    let bad = &report["classes"][0];
    assert_eq!((&bad["label"], &bad["support"], &bad["predicted"]), (&"bad".into(), &77.into(), &75.into()));
    near(&bad["precision"], 1.0);
    near(&bad["recall"], 75.0 / 77.0);
    near(&bad["f1"], 150.0 / 152.0);
    near(&report["macro"]["recall"], (75.0 / 77.0 + 1.0) / 2.0);
    near(&report["weighted"]["recall"], 150.0 / 152.0);
    assert!(report["roc_auc"].as_f64().is_some_and(|area| area > 0.9 && area <= 1.0), "{report}");
    assert!(report["brier"].is_f64() && report["expected_calibration_error"].is_f64());
    let bins: u64 =
        report["bins"].as_array().expect("bins").iter().filter_map(|bin| bin["count"].as_u64()).sum();
    assert_eq!(bins, 152);
    // Two rows are wrong, and one that cannot be used counts as a line.
    let mistakes = report["mistakes"].as_array().expect("mistakes");
    assert_eq!(mistakes.len(), 2);
    assert_eq!((&mistakes[0]["place"], &mistakes[1]["place"]), (&"line 152".into(), &"line 154".into()));
    assert_eq!(mistakes[0]["text"], "a lovely film");
    assert_eq!((&mistakes[0]["label"], &mistakes[0]["predicted"]), (&"bad".into(), &"good".into()));

    // The files say the same.
    let read = |name: &str| fs::read_to_string(here.join("told").join(name)).expect(name);
    assert_eq!(serde_json::from_str::<Value>(&read("report.json")).expect("JSON"), found);
    let page = read("report.html");
    for part in ["<h2>By class</h2>", "<svg", "a lovely film", "line 152", "color-scheme", "0.98"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("http://127"));
    assert!(read("confusion.svg").contains("<svg"));
    assert!(fs::read(here.join("told/confusion.png")).expect("a file").starts_with(b"\x89PNG"));
    let answers = read("predictions.csv");
    let mut lines = answers.lines();
    assert_eq!(lines.next(), Some("place,label,predicted,probability of bad,probability of good,text"));
    let first = lines.next().expect("a row");
    assert!(
        first.starts_with("line 2,good,good,") && first.ends_with("\"a lovely film, <b>0</b> & more\""),
        "{first}"
    );
    assert_eq!(answers.lines().count(), 153);

    // Short in the terminal; the mistakes where they are asked for.
    let shown = run(here, &["evaluate", "run", "--data", "test.csv", "--quiet"]).success();
    let shown = String::from_utf8_lossy(&shown.get_output().stdout).into_owned();
    assert!(shown.starts_with("run on test.csv: loss 0."), "{shown}");
    for line in [
        "class          precision  recall      F1  rows",
        "bad               1.0000  0.9740  0.9868    77",
        "ROC-AUC ",
        "is, taken for  bad  good",
        "bad             75     2",
    ] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
    assert!(!shown.contains("a lovely film"));
    let more = ["evaluate", "run", "--data", "test.csv", "--quiet", "--mistakes", "1"];
    run(here, &more).success().stdout(contains("line 152: is bad, taken for good (0.9"));
}

#[test]
fn more_classes_and_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    data(here, &["good", "bad", "slow"]);
    train(here, &[]);
    let found =
        json(run(here, &["evaluate", "run", "--data", "test.csv", "--json", "--quiet", "--mistakes", "1"]));
    let report = &found["report"];
    assert_eq!(report["classes"].as_array().map(Vec::len), Some(3));
    assert_eq!(report["confusion"][0], serde_json::json!([50, 2, 0]));
    assert_eq!(report["mistakes"].as_array().map(Vec::len), Some(1));
    // A class that no row of the test is of.
    fs::write(here.join("two.csv"), "text,label\na lovely film,good\na dreadful film,bad\n")
        .expect("written");
    let report = json(run(here, &["evaluate", "run", "--data", "two.csv", "--json"]))["report"].clone();
    assert_eq!(report["classes"][2]["support"], 0);
    assert!(report["classes"][2]["roc_auc"].is_null() && report["roc_auc"].is_f64());
    near(&report["macro"]["f1"], 1.0);
    run(here, &["evaluate", "run", "--data", "two.csv"])
        .success()
        .stdout(contains("slow                   -"));

    data(here, &["0.5", "-1.5", "2.25"]);
    train(here, &[]);
    let found = json(run(here, &["evaluate", "run", "--data", "test.csv", "--json", "--out", "told"]));
    assert_eq!(found["report"]["task"], "regression");
    near(&found["report"]["mae"], found["mae"].as_f64().expect("a figure"));
    assert!(found["report"]["r2"].as_f64().is_some_and(|r2| r2 > 0.5 && r2 < 1.0));
    assert_eq!(found["report"]["mistakes"].as_array().map(Vec::len), Some(5));
    run(here, &["evaluate", "run", "--data", "test.csv"])
        .success()
        .stdout(contains("MAE ").and(contains("R² ")));
    assert!(here.join("told/report.html").is_file() && !here.join("told/confusion.svg").exists());
}

/// Reviews have the words that the model reads.
#[test]
fn reviews_and_arrays() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let found = json(run(here, &["evaluate", "lstm", "--json", "--out", "told"]));
    let report = &found["report"];
    assert_eq!(report["classes"][0]["label"], "negative");
    assert_eq!(report["confusion"].as_array().map(Vec::len), Some(2));
    let first = &report["mistakes"][0];
    assert!(first["place"].as_str().is_some_and(|place| place.starts_with("review ")));
    assert!(first["text"].as_str().is_some_and(|text| text.split(' ').count() > 3), "{first}");
    assert!(here.join("told/predictions.csv").is_file());
    let classes = format!("{}/../tests/fixtures/goes_on_classes", env!("CARGO_MANIFEST_DIR"));
    let (model, arrays) = (format!("{classes}.keras"), format!("{classes}.npz"));
    let found = json(run(here, &["evaluate", &model, "--data", &arrays, "--json"]));
    if let Some(report) = found.get("report") {
        assert_eq!(report["task"], "classification", "{report}");
    }
    // A folder is made; a file in its place is not taken away.
    fs::write(here.join("file"), "x").expect("written");
    run(here, &["evaluate", "lstm", "--out", "file"]).code(1).stderr(contains("--out file: is no folder"));
    assert_eq!(fs::read(here.join("file")).expect("a file"), b"x");
}

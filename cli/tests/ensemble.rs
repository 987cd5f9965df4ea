//! `ensemble`, and weights in 16 bits, from the command line.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
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

fn train(folder: &Path, out: &str, more: &[&str]) {
    let args = [
        "train",
        "gru",
        "--data",
        "rows.csv",
        "--epochs",
        "3",
        "--learning-rate",
        "0.01",
        "--quiet",
        "--out",
        out,
    ];
    run(folder, &[&args, more].concat()).success();
}

const TEXTS: [&str; 3] = ["a lovely film", "a dreadful story", "film"];

/// The probabilities that a model gives for some texts.
fn answers(folder: &Path, model: &str) -> Vec<f64> {
    let answers = json(run(folder, &[&["predict", model, "--json"], TEXTS.as_slice()].concat()));
    let probability = |answer: &Value| answer["probability"].as_f64().expect("a number");
    answers.as_array().expect("a list").iter().map(probability).collect()
}

fn close(a: &[f64], b: &[f64], most: f64) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < most), "{a:?} and {b:?}");
}

#[test]
fn an_ensemble_gives_the_mean_of_its_members() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let row = |index: usize| match index % 2 {
        0 => format!("a lovely film number {},good\n", index % 7),
        _ => format!("a dreadful story number {},bad\n", index % 5),
    };
    let rows: String = (0..80).map(row).collect();
    fs::write(here.join("rows.csv"), format!("text,label\n{rows}")).expect("written");
    train(here, "a", &["--seed", "1"]);
    train(here, "b", &["--seed", "2"]);
    let report = json(run(here, &["ensemble", "a", "b", "--out", "ab", "--json"]));
    assert_eq!(report["members"], serde_json::json!(["a", "b"]));
    let (a, b, ab) = (answers(here, "a"), answers(here, "b"), answers(here, "ab"));
    let mean: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect();
    close(&ab, &mean, 1e-6);
    let label = json(run(here, &["predict", "ab", "--json", "a lovely film"]));
    assert!(["good", "bad"].contains(&label[0]["label"].as_str().expect("a label")));
    let evaluation = json(run(here, &["evaluate", "ab", "--data", "rows.csv", "--json"]));
    assert_eq!(evaluation["samples"], 80);
    run(here, &["summary", "ab"]).success().stdout(contains("model_2"));

    // Half the size, nearly the same answers; the members can be members again.
    run(here, &["ensemble", "a", "b", "--out", "half", "--float16"]).success();
    let size = |name: &str| fs::metadata(here.join(name).join("model.safetensors")).expect("a file").len();
    assert!(size("half") * 100 < size("ab") * 60);
    close(&answers(here, "half"), &ab, 1e-3);
    run(here, &["convert", "a", "a16", "--float16"]).success();
    close(&answers(here, "a16"), &a, 1e-3);
    run(here, &["convert", "a", "a.keras", "--float16"])
        .code(2)
        .stderr(contains("--float16 is for a model folder"));
    run(here, &["ensemble", "ab", "half", "--out", "four"]).success();
    close(&answers(here, "four"), &ab, 1e-3);

    // What does not fit together.
    train(here, "short", &["--max-len", "3"]);
    run(here, &["ensemble", "a", "short", "--out", "x"])
        .code(1)
        .stderr(contains("reads texts in another way"));
    train(here, "words", &["--vocab-size", "8"]);
    run(here, &["ensemble", "a", "words", "--out", "x"]).code(1).stderr(contains("another vocabulary"));
    run(here, &["ensemble", "a", "--out", "x"]).code(2);
    run(here, &["ensemble", "a", "b", "--out", "a"]).code(1).stderr(contains("is what is being read"));
    run(here, &["ensemble", "a", "b", "--out", "short"]).code(1).stderr(contains("would be lost"));
    assert!(!here.join("x").exists());
}

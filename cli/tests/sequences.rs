//! Sequences of measurements with a class each, from the command line.

mod common;

use common::{fails, json, run, text};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;

/// The steps of `count` people from the one of number `from` on: who sits keeps still, who walks swings, who runs swings fast.
fn steps(from: usize, count: usize) -> String {
    let mut rows = String::from("id,activity,x,y,note\n");
    for id in from..from + count {
        let class = id % 3;
        for step in 0..20 + id % 9 {
            let swing = (step as f64 * [0.0, 0.7, 2.1][class] + id as f64).sin()
                * if class == 0 { 0.05 } else { 1.0 };
            let noise = ((id * 31 + step * 17) % 13) as f64 / 100.0;
            rows.push_str(&format!(
                "p{id},{},{:.3},{:.3},a\n",
                ["sit", "walk", "run"][class],
                swing + noise,
                noise - swing
            ));
        }
    }
    rows
}

const QUICK: [&str; 11] = [
    "--label-column",
    "activity",
    "--group-column",
    "id",
    "--epochs",
    "40",
    "--learning-rate",
    "0.01",
    "--batch-size",
    "8",
    "--json",
];

#[test]
fn whole_sequences_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("steps.csv"), steps(0, 90)).expect("written");
    fs::write(here.join("more.csv"), steps(300, 12)).expect("written");
    let args = [&["train", "gru", "--data", "steps.csv", "--out", "run"], QUICK.as_slice()].concat();
    let trained = run(here, &args).stderr(
        contains("90 sequences: 54 to train on, 18 for validation and 18 for the test, each class alike")
            .and(contains("3 classes: run (30), sit (30), walk (30)"))
            .and(contains("lengths: from 20 to 28 steps")),
    );
    let trained = json(trained);
    assert!(trained["test_accuracy"].as_f64().expect("a figure") > 0.9, "{trained:#}");
    let config: Value =
        serde_json::from_slice(&fs::read(here.join("run/config.json")).expect("read")).expect("JSON");
    assert_eq!(config["sequences"]["features"], serde_json::json!(["x", "y"]));
    assert_eq!(config["model"]["layers"][1]["class_name"], "Masking");

    let answers = text(run(here, &["predict", "run", "--data", "more.csv"]));
    let lines: Vec<&str> = answers.lines().collect();
    assert_eq!((lines[0], lines.len()), ("id,activity,probability", 13));
    let right = (300..312)
        .zip(&lines[1..])
        .filter(|(id, line)| line.starts_with(&format!("p{id},{},", ["sit", "walk", "run"][id % 3])));
    assert!(right.count() >= 10, "{answers}");
    let measured = json(run(here, &["evaluate", "run", "--data", "more.csv", "--json", "-q"]));
    assert_eq!(measured["samples"], 12);
    assert!(measured["accuracy"].as_f64().expect("a figure") > 0.8);
}

#[test]
fn windows_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("steps.csv"), steps(0, 60)).expect("written");
    let args =
        [&["train", "lstm", "--data", "steps.csv", "--window", "10", "--out", "run"], QUICK.as_slice()]
            .concat();
    let trained = run(here, &args).stderr(contains("windows of 10 rows, one every 5"));
    assert!(json(trained)["test_accuracy"].as_f64().expect("a figure") > 0.8);
    let answers = json(run(here, &["predict", "run", "--data", "steps.csv", "--json"]));
    assert_eq!(answers[1]["from"], "6");
    assert_eq!(answers[1]["to"], "15");
    let table = text(run(here, &["predict", "run", "--data", "steps.csv"]));
    assert!(table.starts_with("id,from,to,activity,probability\np0,1,10,"), "{table}");
}

#[test]
fn what_cannot_be_used_is_told_in_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let train = |content: String, more: &[&str]| {
        fs::write(here.join("x.csv"), content).expect("written");
        let quick = ["train", "gru", "--data", "x.csv", "-q", "--epochs", "1"];
        run(here, &[quick.as_slice(), more].concat())
    };
    let columns = ["--label-column", "activity", "--group-column", "id"];
    let and = |more: &[&'static str]| [columns.as_slice(), more].concat();
    let changing = steps(0, 30).replacen("p0,sit", "p0,walk", 1);
    fails(train(changing, &columns), "--label-column: the labels of sequence \"p0\" change (sit, walk)");
    fails(train(steps(0, 2), &columns), "--validation-split: keeps none of the 2 sequences");
    fails(
        train(steps(0, 30), &and(&["--features", "note"])),
        "x.csv, line 2: \"a\" in column \"note\" is no number",
    );
    fails(train(steps(0, 30), &and(&["--horizon", "2"])), "--horizon is of forecasts (--target)");
    fails(train(steps(0, 30), &and(&["--target", "x"])), "--label-column is of classes");
    fails(train(steps(0, 30), &and(&["--window", "50"])), "x.csv leaves a part without a sample");
    let same = steps(0, 30).replace("walk", "sit").replace("run", "sit");
    fails(train(same, &columns), "every row has the label \"sit\"");
}

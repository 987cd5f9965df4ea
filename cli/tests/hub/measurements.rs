//! Measurements by their addresses.

use super::{Desk, fails, json};
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;

fn days(rows: std::ops::Range<usize>) -> Vec<u8> {
    let row = |at: usize| format!("{at},{:.2}\n", (at as f64 / 3.0).sin() + at as f64 / 50.0);
    format!("time,level\n{}", rows.map(row).collect::<String>()).into_bytes()
}

const TARGET: [&str; 6] = ["--target", "level", "--window", "8", "--epochs", "1"];

#[test]
fn series_come_from_the_hub() {
    let desk = Desk::new();
    let test = days(120..160);
    let parts: [(&str, &[u8]); 4] = [
        ("README.md", b"#"),
        ("train-0.csv", &days(0..60)),
        ("train-1.csv", &days(60..120)),
        ("test.csv", &test),
    ];
    desk.hub.put("datasets/me/levels", "main", &parts);
    let data = "hf://datasets/me/levels";
    let train = |data: &str, out: &str| {
        desk.run(&[["train", "gru", "--data", data, "--out", out].as_slice(), &TARGET].concat())
    };
    train(data, "run").success().stdout(contains("predict run --data hf://datasets/me/levels")).stderr(
        contains("hf://datasets/me/levels: 2 files, separated by comma, a line of names, UTF-8; 120 rows")
            .and(contains("its part for training alone is read")),
    );
    // As from a file.
    fs::write(desk.path().join("all.csv"), days(0..120)).unwrap();
    train("all.csv", "local").success();
    let weights = |run: &str| fs::read(desk.path().join(run).join("model.safetensors")).unwrap();
    assert!(weights("run") == weights("local"));
    // What is measured, and gone on from, is the latest part.
    fs::write(desk.path().join("test.csv"), &test).unwrap();
    for command in ["evaluate", "predict", "backtest"] {
        let given = |data: &str| json(desk.run(&[command, "run", "--data", data, "--json"]));
        assert_eq!(given(data), given("test.csv"), "{command}");
    }
    let one = "hf://datasets/me/levels/train-1.csv";
    json(desk.offline(&["predict", "run", "--data", one, "--json"]));
    fails(desk.run(&["predict", "run", "--data", "hf://datasets/me/none"]), "there is no such repository");
}

#[test]
fn sequences_come_from_the_hub() {
    let desk = Desk::new();
    let mut rows = String::from("id,class,x\n");
    for id in 0..40 {
        for step in 0..6 {
            rows.push_str(&format!("{id},{},{}\n", ["up", "down"][id % 2], [step, 9 - step][id % 2]));
        }
    }
    desk.hub.put("datasets/me/steps", "main", &[("data/steps.csv", rows.as_bytes())]);
    let data = "hf://datasets/me/steps";
    let columns = ["--label-column", "class", "--group-column", "id", "--epochs", "1", "--out", "run"];
    desk.run(&[["train", "gru", "--data", data].as_slice(), &columns].concat()).success();
    let measured = json(desk.run(&["evaluate", "run", "--data", data, "--json"]));
    assert_eq!(measured["samples"], 40);
    let answers = json(desk.run(&["predict", "run", "--data", data, "--json"]));
    assert_eq!(answers.as_array().map(Vec::len), Some(40));
}

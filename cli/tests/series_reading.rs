//! Files of measurements as people have them: times in many forms, numbers that are not there, encodings.

mod common;

use assert_cmd::assert::Assert;
use common::{fails, json, run, text};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn train(folder: &Path, file: &str, more: &[&str]) -> Assert {
    let quick = ["train", "gru", "--data", file, "--epochs", "1", "--out", "run", "--overwrite"];
    run(folder, &[quick.as_slice(), more].concat())
}

const DEMAND: [&str; 6] = ["--target", "demand", "--window", "6", "--horizon", "2"];

fn demand(at: usize) -> f64 {
    100.0 + 20.0 * (at as f64 * std::f64::consts::TAU / 12.0).sin() + at as f64
}

/// A table of 60 rows, whose times are written so.
fn rows(time: &dyn Fn(usize) -> String) -> String {
    let row = |at: usize| format!("{},{:.2}\n", time(at), demand(at));
    format!("date,demand\n{}", (0..60).map(row).collect::<String>())
}

/// Times that go on, of what follows the file's end.
fn next(folder: &Path) -> Vec<String> {
    let ahead = json(run(folder, &["predict", "run", "--data", "x.csv", "--json"]));
    let steps = ahead["forecasts"][0]["steps"].as_array().expect("steps").clone();
    steps.iter().map(|step| step["time"].as_str().expect("a time").to_string()).collect()
}

#[test]
fn days_and_months_are_told_by_the_whole_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let write = |content: String| fs::write(here.join("x.csv"), content).expect("written");
    // Four hours apart, for ten days of March: no number tells, and the third of each month is in order too.
    write(rows(&|at| format!("{:02}/03/2024 {:02}:00", 1 + at / 6, 4 * (at % 6))));
    train(here, "x.csv", &DEMAND).success().stderr(contains(
        "\"01/03/2024 00:00\" is taken as day before month: so the rows are at a regular distance",
    ));
    assert_eq!(next(here), ["11/03/2024 00:00", "11/03/2024 04:00"]);
    let config: Value =
        serde_json::from_slice(&fs::read(here.join("run/config.json")).expect("read")).expect("JSON");
    assert_eq!(config["series"]["day_first"], true);
    // What was learnt counts where a later file does not tell.
    let few: Vec<String> = (0..8)
        .map(|at| format!("{:02}/{:02}/2024 00:00,{:.2}", at + 1, at + 1 + at / 4, demand(at)))
        .collect();
    write(format!("date,demand\n{}\n", few.join("\n")));
    run(here, &["predict", "run", "--data", "x.csv"]).success();

    // The first of each month.
    write(rows(&|at| format!("01/{:02}/{}", at % 12 + 1, 2000 + at / 12)));
    train(here, "x.csv", &DEMAND).success().stderr(contains("a row every month"));
    assert_eq!(next(here), ["01/01/2005", "01/02/2005"]);

    // Neither order nor distance tells.
    write(rows(&|at| format!("{:02}/{:02}/{}", at % 11 + 1, at % 11 + 2, 2000 + at / 11)));
    fails(
        train(here, "x.csv", &[DEMAND.as_slice(), &["-q"]].concat()),
        "column \"date\" may be month and day or day and month: say which (--day-first yes or no)",
    );
    train(here, "x.csv", &[DEMAND.as_slice(), &["--day-first", "yes"]].concat()).success();
    let other = train(here, "x.csv", &["--day-first", "yes"]);
    other.failure().stderr(contains("--day-first goes with measurements"));
}

#[test]
fn digits_alone_are_months_and_days() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("x.csv"), rows(&|at| format!("{}{:02}", 2000 + at / 12, at % 12 + 1)))
        .expect("written");
    train(here, "x.csv", &DEMAND)
        .success()
        .stderr(contains("a row every month").and(contains("season: 12 rows, a year")));
    assert_eq!(next(here), ["200501", "200502"]);
    fs::write(here.join("x.csv"), rows(&|at| (202401 + at).to_string())).expect("written");
    train(here, "x.csv", &DEMAND).success().stderr(contains("a row every 1"));
    assert_eq!(next(here), ["202461", "202462"]);
}

/// Sequences of people; some of x are not there, and n counts rows.
fn steps(gap: &str) -> String {
    let mut rows = String::from("id,activity,n,x,note,empty\n");
    for id in 0..40 {
        for step in 0..8 + id % 9 {
            let x = match step {
                3 if id % 4 == 0 => gap.to_string(),
                _ => format!("{:.3}", (step as f64 * [0.1, 0.9][id % 2]).sin()),
            };
            rows.push_str(&format!("p{id},{},{step},{x},fine,NA\n", ["sit", "walk"][id % 2]));
        }
    }
    rows
}

#[test]
fn the_features_that_are_taken_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let columns = ["--label-column", "activity", "--group-column", "id"];
    for gap in ["", "NA", "NaN", "null", "-", "<NA>", "#N/A"] {
        fs::write(here.join("x.csv"), steps(gap)).expect("written");
        train(here, "x.csv", &[columns.as_slice(), &["--missing", "forward"]].concat()).success().stderr(
            contains("features are all columns of numbers: n, x\n")
                .and(contains("left out, for they hold no numbers: note (\"fine\"), empty (empty)\n"))
                .and(contains("10 rows lack a number, which is filled with the last one before")),
        );
        fails(
            train(here, "x.csv", &[columns.as_slice(), &["-q"]].concat()),
            "x.csv, line 5: column \"x\" has no number; fill it, or say what is to be done (--missing)",
        );
    }
    // Of a Parquet file, or of JSON, as well.
    let lines: String = steps("-")
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let x = if cells[3] == "-" { "null" } else { cells[3] };
            format!(
                "{{\"id\": \"{}\", \"activity\": \"{}\", \"n\": {}, \"x\": {x}, \"note\": \"a\"}}\n",
                cells[0], cells[1], cells[2]
            )
        })
        .collect();
    fs::write(here.join("x.jsonl"), lines).expect("written");
    train(here, "x.jsonl", &[columns.as_slice(), &["--missing", "skip"]].concat())
        .success()
        .stderr(contains("features are all columns of numbers: n, x\n"));
    // One text among numbers is no reason to leave a column out.
    fs::write(here.join("x.csv"), steps("many")).expect("written");
    fails(
        train(here, "x.csv", &[columns.as_slice(), &["-q"]].concat()),
        "x.csv, line 5: \"many\" in column \"x\" is no number",
    );
}

#[test]
fn what_is_shorter_than_a_window_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("x.csv"), steps("0")).expect("written");
    let columns = ["--label-column", "activity", "--group-column", "id", "--features", "x", "--window", "12"];
    train(here, "x.csv", &columns).success();
    let line =
        "warning: 20 of 40 sequences have fewer than 12 rows and are left out: \"p0\", \"p1\", \"p2\", …";
    let answers = run(here, &["predict", "run", "--data", "x.csv"]).stderr(contains(line));
    assert!(!text(answers).contains("p0,"));
    run(here, &["evaluate", "run", "--data", "x.csv", "-q"]).success().stderr(contains(line));

    let mut shops = String::from("shop,date,demand\n");
    for at in 0..60 {
        shops.push_str(&format!("a,{at},{:.2}\n", demand(at)));
        if at >= 55 {
            shops.push_str(&format!("b,{at},{:.2}\n", demand(at)));
        }
    }
    fs::write(here.join("x.csv"), shops).expect("written");
    train(here, "x.csv", &[DEMAND.as_slice(), &["--group-column", "shop"]].concat()).success();
    let short = |rows: usize| format!("1 of 2 series have fewer than {rows} rows and are left out: \"b\"");
    run(here, &["evaluate", "run", "--data", "x.csv"]).success().stderr(contains(short(8)));
    run(here, &["backtest", "run", "--data", "x.csv"]).success().stderr(contains(short(8)));
    run(here, &["predict", "run", "--data", "x.csv"]).success().stderr(contains(short(6)));
}

#[test]
fn encodings_are_heeded() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let latin: Vec<u8> =
        rows(&|at| at.to_string()).replace("demand", "température").chars().map(|c| c as u8).collect();
    fs::write(here.join("x.csv"), latin).expect("written");
    let columns = ["--target", "température", "--window", "6"];
    let encoding = ["--encoding", "latin1"];
    train(here, "x.csv", &[columns.as_slice(), &["--encoding", "gb18030"]].concat())
        .failure()
        .stderr(contains("has no column \"température\""));
    train(here, "x.csv", &[columns.as_slice(), &encoding].concat()).success();
    for command in ["predict", "evaluate", "backtest"] {
        run(here, &[[command, "run", "--data", "x.csv"].as_slice(), &encoding].concat()).success();
    }
    let shown = text(run(here, &[["predict", "run", "--data", "x.csv"].as_slice(), &encoding].concat()));
    assert!(shown.starts_with("date,température,low,high\n60,"), "{shown}");
    run(here, &["predict", "lstm", "a film", "--encoding", "latin1"]).failure();
}

/// A file is whole and in the form that its name says; what the columns are called does no harm.
#[test]
fn answers_are_written_in_one_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let odd = rows(&|at| at.to_string()).replace("date,demand", "date,low");
    fs::write(here.join("x.csv"), odd).expect("written");
    let rest = ["--window", "6", "--horizon", "2"];
    train(here, "x.csv", &[["--target", "low"].as_slice(), &rest].concat()).success();
    let shown = text(run(here, &["predict", "run", "--data", "x.csv"]));
    assert!(shown.starts_with("date,low,forecast_low,high\n"), "{shown}");
    let ahead = run(here, &["predict", "run", "--data", "x.csv", "--json"]);
    let ahead = json(ahead);
    let step = ahead["forecasts"][0]["steps"][0].clone();
    assert!(
        step["low"].as_f64() <= step["value"].as_f64() && step["value"].as_f64() <= step["high"].as_f64()
    );

    let write = |out: &str, more: &[&str]| {
        run(here, &[["predict", "run", "--data", "x.csv", "--output", out].as_slice(), more].concat())
    };
    assert_eq!(text(write("ahead.csv", &[])), "ahead.csv: 1 series, 2 steps each\n");
    assert_eq!(fs::read_to_string(here.join("ahead.csv")).expect("read"), shown);
    let said = json(write("ahead.json", &["--json"]));
    assert_eq!(said, serde_json::json!({ "series": 1, "steps": 2, "output": "ahead.json" }));
    let written: Value =
        serde_json::from_slice(&fs::read(here.join("ahead.json")).expect("read")).expect("JSON");
    assert_eq!(written, ahead);
    write("ahead.parquet", &[]).failure().stderr(contains("give a .csv or .json"));
    write("none/ahead.csv", &[]).failure().stderr(contains("there is no folder none; make it first"));

    // Without times the steps are numbered.
    let plain: String = (0..60).map(|at| format!("{:.2},{at}\n", demand(at))).collect();
    fs::write(here.join("x.csv"), format!("step,other\n{plain}")).expect("written");
    train(here, "x.csv", &[["--target", "step"].as_slice(), &rest].concat()).success();
    let shown = text(run(here, &["predict", "run", "--data", "x.csv"]));
    assert!(shown.starts_with("forecast_step,step,low,high\n1,"), "{shown}");
    let ahead = json(run(here, &["predict", "run", "--data", "x.csv", "--json"]));
    assert_eq!(ahead["forecasts"][0]["steps"][1]["step"], 2);
    assert!(ahead["forecasts"][0]["steps"][1]["value"].is_number());
}

/// What a run said of its data does not go on to other data.
#[test]
fn a_config_goes_on_with_other_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let config = |run: &str| -> Value {
        serde_json::from_slice(&fs::read(here.join(run).join("config.json")).expect("read")).expect("JSON")
    };
    fs::write(here.join("x.csv"), rows(&|at| at.to_string())).expect("written");
    train(here, "x.csv", &[DEMAND.as_slice(), &["--quantiles", "0.1,0.5,0.9"]].concat()).success();
    // Arrays: two columns in windows of six, and a number.
    let values: String = (0..40).map(|at| format!("{}\n", at as f64 / 10.0)).collect();
    fs::write(here.join("y.csv"), &values).expect("written");
    let model = here.join("run/config.json");
    let mut changed = config("run");
    changed["model"]["layers"] = serde_json::json!([
        { "class_name": "InputLayer", "config": { "name": "input", "batch_shape": [null, 1] } },
        { "class_name": "Dense", "config": { "name": "dense", "units": 1 } }
    ]);
    changed["recipe"]["loss"] = "mse".into();
    fs::write(&model, changed.to_string()).expect("written");
    let args =
        ["train", "run/config.json", "--x", "y.csv", "--y", "y.csv", "--epochs", "1", "--out", "arrays"];
    run(here, &args).success();
    assert!(config("arrays").get("series").is_none());

    // Texts whose labels are numbers end in a Rescaling, which a forecaster does not take.
    let texts: String = (0..60).map(|at| format!("film number {at},{}\n", 100 + at)).collect();
    fs::write(here.join("texts.csv"), format!("text,label\n{texts}")).expect("written");
    let args =
        ["train", "gru", "--data", "texts.csv", "--task", "regression", "--epochs", "1", "--out", "texts"];
    run(here, &args).success();
    let layers = config("texts")["model"]["layers"].clone();
    assert!(layers.to_string().contains("Rescaling"), "{layers:#}");
    let args = ["train", "texts/config.json", "--data", "x.csv", "--epochs", "1", "--out", "series"];
    run(here, &[args.as_slice(), &DEMAND].concat()).success();
    assert!(!config("series")["model"].to_string().contains("Rescaling"));
}
